"""A fleet in virtual time: its group (`localcloud.fleet`), instances, job queue and scaler, and the rules for it."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ghosthands_agent.ports import GroupState, Member
from ghosthands_agent.replacement import LAUNCHES, WINDOW_SECONDS
from model.agent_conf import LAUNCH_HOOK, SECRET, TERMINATION_HOOK
from model.host import Container
from model.job_queue import Job, JobEvent, MemoryJobQueue
from model.timeline import Timeline
from model.verdict import fate_of
from model.worker import RAW, RUNNING_SECONDS, Guard, WorkerOptions

from localcloud import fleet
from schedules.fleet_host import FleetHost
from schedules.schedule import Schedule

START = 1_785_585_600.0  # 2026-08-01T12:00:00Z
SUBNETS = (fleet.Subnet("subnet-a", "zone-a"), fleet.Subnet("subnet-b", "zone-b"))
RUNBOOK_HEARTBEAT_TIMEOUT = 300
MIN_SIZE = 1
HEARTBEAT_MARGIN_SECONDS = 30.0  # for a start, and for calls that are slow or throttled: the back-off is 10 s at most
PROTECTION_SECONDS = 10.0  # a worker busy for so long, its agent able, is protected
BACK_OFF_SECONDS = 45.0  # the same while the API throttles or is down, and soon afterwards: it backs off for 30 s
RACE_SECONDS = 12.0  # a job taken no longer ago than this may have been taken after the status that the agent acts on
SWEEP_SECONDS = 60.0  # VALET's instance discovery
IN_VIEW = ("InService", "Pending", "Standby")  # the instances that it sees
POST_SECONDS = 20.0  # an agent that is able has posted `drain` by then: a check of it, and two calls that time out
REPLACEMENT_MARGIN_SECONDS = 10.0  # between the reading of the group and the request
SEEN_SECONDS = 2.0  # an agent has seen a job that its worker had for so long

Log = Callable[[str], None]
MakeHost = Callable[["SimulatedFleet", str, str], FleetHost]  # the instance of an id in a zone


@dataclass
class Conditions:
    """Until when something is the case."""

    api_down: float = -math.inf
    throttled: float = -math.inf
    answers_lost: float = -math.inf
    secret_denied: float = -math.inf
    secret_missing: float = -math.inf
    image_missing: float = -math.inf
    container_refused: float = -math.inf
    late_jobs: float = -math.inf
    kills_in_drains: float = -math.inf
    wall_jump: float = 0.0


@dataclass
class Counts:
    """What is counted; see `simulation.Outcome`."""

    drains: list[float] = field(default_factory=list)
    overheads: list[float] = field(default_factory=list)
    completed: int = 0
    defaulted: int = 0
    retained: int = 0
    called_clean: int = 0
    replacements: int = 0
    faults: Counter[str] = field(default_factory=Counter)


class SimulatedFleet:
    """A group, its instances and its job queue under a schedule.

    Attributes:
        with_agent: whether instances and group are as the playbooks make them; otherwise all is as in the runbook.
        guard: what the guard in Compose's workers changes, if there is one.
        inside_call: an agent's call is taking its time; see `agent_service.AgentService`.
        ended: nothing happens any more.
        wish: what is wanted of every instance, also of those that are launched later.
        secret: the worker's secret.
        bad_images: worker images that do not work, and how.
    """

    def __init__(
        self,
        schedule: Schedule,
        make_host: MakeHost,
        *,
        with_agent: bool,
        guard: Guard | None = None,
        log: Log | None = None,
    ) -> None:
        self.schedule = schedule
        self.with_agent = with_agent
        self.guard = guard
        self.timeline = Timeline(START)
        self.random = schedule.random("kit" if with_agent else "runbook")  # a part of the seed
        self.jobs = MemoryJobQueue()
        self.worker_options = WorkerOptions(
            schedule.mode, guard, claim_seconds=schedule.claim_seconds, running_seconds=RUNNING_SECONDS
        )
        self.conditions = Conditions()
        self.counts = Counts()
        self.broken_rules: list[str] = []
        self.hosts: dict[str, FleetHost] = {}
        self._sandboxes: dict[str, bool] = {}  # VALET's records of instances: whether it takes them for active
        self._make_host = make_host
        self.wish = ""  # the group's tag, which is propagated at launch
        self.secret = SECRET
        self.bad_images: dict[str, Literal["silent", "crashes"]] = {}
        self.image_is_baked = self.random.random() < 0.8
        self.inside_call = False
        self.logs_steps = log is not None
        self._log = log
        self.ended = False
        self._late_jobs_left = 3
        self._tick_at = math.inf
        self._numbers = itertools.count(1)
        self.group = _group(schedule, with_agent=with_agent)

    @property
    def wall_jump(self) -> float:
        return self.conditions.wall_jump

    def delay(self, shortest: float, longest: float) -> float:
        return self.random.uniform(shortest, longest)

    def log(self, host: FleetHost | None, *words: object) -> None:
        if self._log:
            self._log(f"{self.timeline.now - START:9.2f}  {host.id if host else '-':5} {' '.join(map(str, words))}")

    def rule_broken(self, host: FleetHost | None, rule: str) -> None:
        """Record that a rule is broken."""
        where = f" {host.id}" if host else ""
        self.broken_rules.append(f"at {self.timeline.now - START:.1f} s{where}: {rule}")
        self.log(host, "BROKEN RULE:", rule)

    # --- the queue and its scaler -------------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Add a job to the queue."""
        self.log(None, f"{job.id} of {job.seconds} s is submitted")
        self.jobs.submit(job, self.timeline.now, self.schedule.submitted)
        self.jobs_may_wait()

    @property
    def is_exclusive(self) -> bool:
        """Whether no worker takes a row that another one has claimed."""
        return self.guard is not None and self.guard.exclusive

    def waits_from(self) -> float:
        """From when on a job waits for a worker; infinity: none does."""
        return self.jobs.available_at(self.schedule.mode, exclusive=self.is_exclusive)

    def jobs_may_wait(self) -> None:
        if self.jobs.taken_over or self.waits_from() < math.inf:
            for host in self.hosts.values():
                host.look_at_queue()

    def sweep(self) -> None:
        """VALET's instance discovery, each minute: what is not in its view of the group is deregistered, once."""
        if self.ended:
            return
        now = self.timeline.now
        if any(host.workers for host in self.hosts.values()):
            self.jobs.forget_silent(now)
        in_view = {each.id for each in self.group.instances.values() if each.state in IN_VIEW}
        for id in [id for id, active in self._sandboxes.items() if active and id not in in_view]:
            self._sandboxes[id] = False
            self.jobs.sweep(id, now)
            if id in self.hosts:
                self.hosts[id].wake_agent()
        self._sandboxes |= dict.fromkeys(in_view, True)
        self.timeline.after(SWEEP_SECONDS, self.sweep)

    def scale(self) -> None:
        """VALET's AutoScaleService: desired capacity from the number of waiting jobs, running ones not counted."""
        if not self.ended:
            self.set_desired(self.jobs.length)
            self.timeline.after(self.schedule.scaler_interval, self.scale)

    def set_desired(self, capacity: int) -> None:
        """UpdateAutoScalingGroup with a desired capacity, within the bounds."""
        desired = max(MIN_SIZE, min(self.schedule.max_size, capacity))
        if desired != self.group.settings.desired:
            self.log(None, f"desired capacity {self.group.settings.desired} -> {desired}")
            settings = fleet.resized(self.group.settings, min_size=None, max_size=None, desired=desired)
            self.apply(self.group.update(settings, self.timeline.now))

    # --- the group ----------------------------------------------------------------------------------------------------

    def apply(self, effects: list[fleet.Effect]) -> None:
        """Do what the group wants to be done, and what its instances' changes of state mean for them."""
        for effect in effects:
            if isinstance(effect, fleet.Launch):
                self.timeline.after(self.delay(3, 15), self._launched, effect)
            elif host := self.hosts.get(effect.instance_id):
                self.timeline.after(1, host.terminate)
            else:
                self.timeline.after(1, self._forget, effect.instance_id)
        moves, self.group.state_changes = self.group.state_changes, []
        for move in moves:
            self._moved(move)
        if (due := self.group.next_deadline()) is not None and due < self._tick_at:
            self._tick_at = due
            self.timeline.at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        if due == self._tick_at:
            self._tick_at = math.inf
            self.apply(self.group.tick(self.timeline.now))

    def _launched(self, effect: fleet.Launch) -> None:
        id = f"i-{next(self._numbers)}"
        self.hosts[id] = self._make_host(self, id, effect.subnet.zone)
        self.apply(self.group.launched(effect.activity, id, effect.template, "t3.medium", "ami-1", self.timeline.now))

    def _forget(self, id: str) -> None:
        if id in self.group.instances:
            self.group.terminated(id, self.timeline.now)
            self.apply([])

    def host_terminated(self, host: FleetHost) -> None:
        """EC2 has terminated an instance, or lost it; in the latter case a health check finds out."""
        self.log(host, "is gone")
        self.hosts.pop(host.id, None)
        instance = self.group.instances.get(host.id)
        if instance and instance.state == "Terminating:Proceed":
            self._forget(host.id)
        else:
            self.timeline.after(self.delay(10, 60), self._found_lost, host.id)

    def _found_lost(self, id: str) -> None:
        if id in self.group.instances:
            self.apply(self.group.lost(id, self.timeline.now))

    def _moved(self, move: fleet.StateChange) -> None:
        host = self.hosts.get(move.instance_id)
        if host is None:
            return
        self.log(host, f"{move.before or 'outside'} -> {move.after or 'outside'}")
        host.target = _target_state(move.after)
        host.wake_agent()
        now = self.timeline.now
        if move.after == "Terminating":
            cause = self.group.activities[self.group.instances[host.id].activity].cause
            host.termination_reason = _reason(cause)
            if move.before == "InService":  # AWS takes no protection before
                self._check_protection(host, cause)
        elif move.after == "InService" and host.busy_since is not None:
            host.worker_took_job()  # only from now on AWS takes its protection
        elif move.after == "Terminating:Wait":
            host.waiting_since = now
            host.heartbeat_accepted()
            self.timeline.after(POST_SECONDS, self._check_posted, host, host.able_for())
            if now < self.conditions.kills_in_drains:
                host.kill_agent_at_calls([int(self.random.expovariate(1 / 12)) for _ in range(3)])
        elif move.before == "Terminating:Wait" and host.waiting_since is not None:
            if not self.with_agent:
                self.counts.drains.append(now - host.waiting_since)
            if not host.completed:
                self.counts.defaulted += 1
                if host.alive:
                    self._check_heartbeats(host, "the hook's timeout")
            self.counts.retained += move.after == "Terminating:Retained"

    # --- the API for agents (model.ports.GroupApi), workers and operators ---------------------------------------------

    @property
    def api_down_until(self) -> float:
        """For the rules about what an agent could do."""
        return self.conditions.api_down

    def api_conditions(self) -> tuple[float, str, bool]:
        """How a call to the API goes: the seconds it takes, the error or "", whether its answer is lost."""
        now, conditions = self.timeline.now, self.conditions
        if now < conditions.api_down:
            return self.random.choice(((0.1, "http 503", False), (5.0, "Timeout", False)))
        if now < conditions.throttled and self.random.random() < 0.4:
            return 0.1, "Throttling", False
        if now < conditions.answers_lost and self.random.random() < 0.3:
            return 5.0, "", True
        return self.delay(0.02, 0.15), "", False

    def heartbeat(self, host: FleetHost, hook: str) -> None:
        """RecordLifecycleActionHeartbeat."""
        self.group.heartbeat(hook, self.timeline.now, instance_id=host.id, token=None)
        if hook == TERMINATION_HOOK:
            self._check_heartbeats(host, "a heartbeat")
            host.heartbeat_accepted()
        self.apply([])

    def complete(self, host: FleetHost, hook: str, result: fleet.Result) -> None:
        """CompleteLifecycleAction by the agent."""
        self.log(host, f"the agent completes {hook} with {result}")
        if hook == LAUNCH_HOOK and result == "ABANDON":
            self._check_replacement(host)
        instance = self.group.instances.get(host.id)
        waits = instance is not None and any(wait.hook.name == hook for wait in instance.waits)
        if hook == TERMINATION_HOOK and waits:
            self._check_completion(host, result)
        if hook == TERMINATION_HOOK and host.knows_completion():
            self.rule_broken(host, "the agent completes a hook again that it knows to be completed")
        self.apply(self.group.complete(hook, result, self.timeline.now, instance_id=host.id, token=None))

    def completion_answered(self, host: FleetHost, hook: str) -> None:
        if hook == TERMINATION_HOOK:
            host.completion_answered()

    def protect(self, host: FleetHost, protected: bool) -> None:
        """SetInstanceProtection."""
        self.log(host, f"the agent sets protection to {protected}")
        self.apply(self.group.protect([host.id], protected, self.timeline.now))

    def report_unhealthy(self, host: FleetHost) -> None:
        """SetInstanceHealth."""
        self.log(host, "the agent reports it unhealthy")
        self._check_replacement(host)
        if host.id in self.group.instances:
            self.apply(self.group.set_health(host.id, False, False, self.timeline.now))

    def group_state(self, host: FleetHost) -> GroupState:
        """DescribeAutoScalingGroups."""
        settings = self.group.settings
        return GroupState(
            settings.desired,
            _template(settings.template),
            [
                Member(each.id, each.state, each.healthy, _template(each.template))
                for each in sorted(self.group.instances.values(), key=lambda each: each.id)
            ],
        )

    def launches(self, since: float) -> list[float]:
        """DescribeScalingActivities: those that are launches. Its pages are in test_aws.py."""
        return [
            each.started_at
            for each in self.group.activities.values()
            if each.description.startswith("Launching a new EC2 instance") and each.started_at >= since
        ]

    def _check_replacement(self, host: FleetHost) -> None:
        """An agent asks for a replacement only within the limit of launches, and of no busy worker."""
        if self.conditions.wall_jump:
            return  # a clock that is wrong by an hour counts other launches
        recent = len(self.launches(self.timeline.now - WINDOW_SECONDS + REPLACEMENT_MARGIN_SECONDS))
        own = self.group.instances.get(host.id)
        if own is not None and recent >= LAUNCHES and own.template == self.group.settings.template:
            self.rule_broken(host, f"a replacement is asked for although the group launched {recent} in the last hour")
        if host.worker is not None and host.worker.job is not None:
            self.rule_broken(host, "a replacement is asked for of an instance whose worker has a job")
        self.counts.replacements += 1

    def worker_completes_hook(self, host: FleetHost) -> None:
        """The worker's own CompleteLifecycleAction at SIGTERM; its errors are only logged."""
        try:
            effects = self.group.complete(
                host.worker_hook, "CONTINUE", self.timeline.now, instance_id=host.id, token=None
            )
        except fleet.Refused:
            return
        self.log(host, "the worker completes the hook")
        if self.with_agent:
            self.rule_broken(host, "the worker completes the hook that the agent has to complete")
        self.apply(effects)

    def terminate(self, id: str, *, decrement: bool) -> None:
        """TerminateInstanceInAutoScalingGroup by an operator."""
        if id not in self.group.instances:
            return
        try:
            self.apply(self.group.terminate(id, decrement, self.timeline.now)[1])
        except fleet.Refused:
            self.apply(self.group.terminate(id, False, self.timeline.now)[1])

    def operator_terminates(self, host: FleetHost) -> None:
        """An operator had the agent drain the instance, and now terminates it."""
        self.terminate(host.id, decrement=False)

    # --- rules that are checked on the way ----------------------------------------------------------------------------

    def _check_heartbeats(self, host: FleetHost, until: str) -> None:
        """No heartbeat later than a third of the timeout and a margin, while the agent could send one."""
        timeout = self.schedule.heartbeat_timeout
        gap = host.able_since_heartbeat()
        if gap > timeout / 3 + HEARTBEAT_MARGIN_SECONDS:
            self.rule_broken(
                host, f"no heartbeat for {gap:.0f} s of {timeout} s in which the agent was able to, until {until}"
            )

    def _check_protection(self, host: FleetHost, cause: str) -> None:
        """Scale-in does not choose an instance that has been busy for a while."""
        if not self.with_agent or "was selected for termination" not in cause or host.busy_since is None:
            return
        busy = host.able_since_busy()
        backs_off = self.timeline.now <= max(self.conditions.throttled, self.api_down_until) + BACK_OFF_SECONDS
        if busy > (BACK_OFF_SECONDS if backs_off else PROTECTION_SECONDS):
            self.rule_broken(
                host, f"scale-in chose a worker that was busy for {busy:.0f} s, its agent able to protect it"
            )

    def _check_posted(self, host: FleetHost, able: float) -> None:
        """A worker with a guard is draining soon after its instance began to wait."""
        if not host.alive or host.completed or host.shutting_down or self.schedule.policy == "sigterm":
            return
        missing = able + POST_SECONDS - host.able_for()
        if missing > 0.1:
            self.timeline.after(missing, self._check_posted, host, able)
            return
        worker = host.worker
        old = worker is not None and self.timeline.now - worker.started_at > POST_SECONDS
        hung = self.timeline.now <= host.worker_hangs_until + POST_SECONDS
        guarded = worker is not None and worker.options.guard is not None and worker.options.guard.attached
        if worker and guarded and old and not hung and not worker.is_draining:
            self.rule_broken(host, f"no drain was posted in {POST_SECONDS:.0f} s to a worker with a guard")

    def _check_completion(self, host: FleetHost, result: fleet.Result) -> None:
        """The hook is completed when the worker is down, and the result says whether a job was lost."""
        now = self.timeline.now
        since = host.waiting_since if host.waiting_since is not None else now
        self._check_heartbeats(host, "the completion")
        host.completed = True
        self.counts.completed += 1
        self.counts.drains.append(now - since)
        self.counts.overheads.append(now - max(since, host.last_job_ended))
        if any(container.state == "running" for container in host.containers):
            self.rule_broken(host, "the hook is completed while the worker runs")
        cut_off = self._cut_off_in_drain(host)
        if result == "ABANDON":
            unsure = self._was_forced(host) or not host.docker_up or host.docker_started_at > host.drain_began()
            reason = cut_off or self._released_without_guard(host) or unsure
            if not reason and (self.guard or host.abandons_without_reason()):
                self.rule_broken(host, "the agent abandons although nothing was lost")
            return
        for event, seen in cut_off.items():
            row = self.jobs.rows[event.job]
            fate, _ = fate_of(self.jobs, row, self.schedule.mode)
            if fate not in ("lost", "gap", "raw") or host.said_lost:
                continue
            self.counts.called_clean += 1
            if seen:
                self.rule_broken(host, f"the agent calls the drain clean that lost {event.job}: {event.reason}")

    def _released_without_guard(self, host: FleetHost) -> bool:
        """Whether a worker without a guard released a job in the drain: it may have been paused, or in review."""
        return any(
            event.action == "release"
            and event.at >= host.drain_began()
            and event.worker.startswith(f"{host.id}/")
            and (self.guard is None or RAW in event.worker)
            for event in self.jobs.events
        )

    def _was_forced(self, host: FleetHost) -> bool:
        """Whether deploy-server and the agent have signalled a worker at once: a job of it would be lost then."""
        return any(each.signals > 1 and (self.guard is None or each.raw) for each in host.containers)

    def _cut_off_in_drain(self, host: FleetHost) -> dict[JobEvent, bool]:
        """Where a process of the host ended in its drain with a job that it had not put back.

        And whether the agent has seen that it had the job: it was able to for some time.
        """
        began = host.drain_began()
        taken: dict[str, float] = {}
        cut_off: dict[JobEvent, bool] = {}
        for event in self.jobs.events:
            if not event.worker.startswith(f"{host.id}/"):
                continue
            if event.action == "take":
                taken[event.job] = event.at
            elif event.action in ("release", "finish"):
                taken.pop(event.job, None)
            elif event.action == "leave" and event.at >= began and event.job in taken:
                cut_off[event] = event.at - max(taken.pop(event.job), began) > SEEN_SECONDS
        return cut_off

    def agent_drains_worker(self, host: FleetHost) -> None:
        """The agent is about to POST drain: not to a busy worker without a guard, which releases the job as it runs."""
        worker = host.worker
        recent = host.busy_since is not None and host.busy_since > self.timeline.now - RACE_SECONDS
        if worker and worker.job and worker.options.works is None and not worker.is_draining and not recent:
            self.rule_broken(host, "a busy worker is drained without a guard")

    def agent_stops_worker(self, host: FleetHost, container: Container) -> None:
        """The agent is about to send SIGTERM to a worker: not to a busy one before the drain's limit."""
        worker = container.worker
        self.log(host, f"the agent stops the worker ({'busy' if worker and worker.job else 'idle'})")
        if worker is None or worker.job is None:
            return
        if container.signals and worker.options.works is None and worker.options.mode == "queue":
            self.rule_broken(host, "a second SIGTERM to a queue worker without a guard loses its job")
        is_drained = worker.is_draining and worker.options.works is None
        if is_drained or self.schedule.policy == "sigterm":
            return
        recent = host.busy_since is not None and host.busy_since > self.timeline.now - RACE_SECONDS
        hung = self.timeline.now <= host.worker_hangs_until + RACE_SECONDS
        if not recent and host.stops_without_reason() and not hung:
            self.rule_broken(host, "a busy worker is stopped before the drain's limit")

    # --- jobs at the worst time ---------------------------------------------------------------------------------------

    def job_after_idle_reading(self, host: FleetHost) -> bool:
        """The agent of an instance that terminates has just read "idle". Whether a job comes now."""
        if self.timeline.now < self.conditions.late_jobs and self._late_jobs_left and self.random.random() < 0.5:
            self._late_jobs_left -= 1
            job = Job(f"late-{3 - self._late_jobs_left}", round(self.delay(30, 300), 1))
            self.timeline.after(self.random.choice((0.0, self.delay(0, 1))), self._submit_late, host, job)
            return True
        return False

    def _submit_late(self, host: FleetHost, job: Job) -> None:
        self.counts.faults["job after an idle reading"] += 1
        self.submit(job)
        host.poll_queue()


def _group(schedule: Schedule, *, with_agent: bool) -> fleet.Group:
    """The group as the playbooks make it, or as the runbook does."""
    ids = itertools.count(1)
    template = fleet.Template("lt-1", "workers", "1")
    retains = "retain" if with_agent and schedule.retains else None
    settings = fleet.Settings(
        template,
        SUBNETS,
        MIN_SIZE,
        schedule.max_size,
        MIN_SIZE,
        default_instance_warmup=0,
        terminate_hook_abandon=retains,
    )
    group = fleet.Group("workers", settings, START, lambda: f"id-{next(ids)}")
    timeout = schedule.heartbeat_timeout if with_agent else RUNBOOK_HEARTBEAT_TIMEOUT
    group.put_hook(fleet.Hook(TERMINATION_HOOK, fleet.TERMINATING, timeout, "ABANDON"))
    if with_agent:
        group.suspend(["AZRebalance"], START)
        if schedule.launch_hook:
            group.put_hook(fleet.Hook(LAUNCH_HOOK, fleet.LAUNCHING, 900, "ABANDON"))
    return group


def _template(template: fleet.Template | None) -> str:
    return f"{template.id}:{template.version}" if template else ""


def _target_state(state: str) -> str | None:
    """autoscaling/target-lifecycle-state for a lifecycle state (UG, "Retrieve the target lifecycle state")."""
    if state.startswith("Terminat"):
        return "Terminated"
    if "Standby" in state:
        return "Standby"
    return "InService" if state.startswith("Pending") or state == "InService" else None


def _reason(cause: str) -> str:
    """Why a group terminates an instance, in two words."""
    for text, reason in (
        ("selected for termination", "scale-in"),
        ("instance refresh", "instance refresh"),
        ("user request", "terminated on request"),
        ("health", "found unhealthy"),
    ):
        if text in cause:
            return reason
    return "terminated by its group"
