"""A fleet in virtual time: the group (``localcloud.fleet``), its instances, the queue, VALET's scaler, and the rules that are checked on the way."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from localcloud import fleet
from schedules.ledger import Job, MemoryLedger
from schedules.machine import Machine
from schedules.schedule import Schedule
from schedules.timeline import Timeline
from schedules.worker import Habits

START = 1_785_585_600.0  # 2026-08-01T12:00:00Z
SUBNETS = (fleet.Subnet("subnet-a", "zone-a"), fleet.Subnet("subnet-b", "zone-b"))
HOOK, LAUNCH_HOOK = "gh-worker-termination", "gh-worker-launch"
RUNBOOK_TIMEOUT = 300
MIN_SIZE = 1
HEARTBEAT_PATIENCE_SECONDS = 15.0  # for a start, and for calls that are throttled or slow
SHIELD_SECONDS = 10.0  # a worker busy for so long, its agent able, is protected
RACE_SECONDS = 12.0  # a job taken no longer ago than this may have been taken after the reading that the agent acts on

Say = Callable[[str], None]
Host = Callable[["Cloud", str, str], Machine]  # makes an instance of an id in a zone


@dataclass
class Weather:
    """Until when what is down."""

    api_down: float = -math.inf
    throttled: float = -math.inf
    answers_lost: float = -math.inf
    secret_denied: float = -math.inf
    late_jobs: float = -math.inf
    kills_in_drains: float = -math.inf
    wall_jump: float = 0.0


@dataclass
class Books:
    """What is counted."""

    drains: list[float] = field(default_factory=list)
    overheads: list[float] = field(default_factory=list)
    completed: int = 0
    defaulted: int = 0
    retained: int = 0
    befell: Counter[str] = field(default_factory=Counter)


class Cloud:
    """A group, its instances and its queue under a schedule.

    Attributes:
        inside_call: an agent's call is taking its time; see ``agent.Unit.spend``.
        ended: nothing is to happen any more.
    """

    def __init__(self, schedule: Schedule, host: Host, *, kit: bool, say: Say | None = None) -> None:
        self.schedule = schedule
        self.kit = kit
        self.timeline = Timeline(START)
        self.dice = schedule.dice("kit" if kit else "runbook")
        self.ledger = MemoryLedger()
        self.habits = Habits(schedule.mode, drains_itself=kit and schedule.policy != "wait_idle")
        self.weather = Weather()
        self.books = Books()
        self.violations: list[str] = []
        self.machines: dict[str, Machine] = {}
        self._host = host
        self.image_baked = self.dice.random() < 0.8
        self.inside_call = False
        self.on_step = say is not None
        self._say = say
        self.ended = False
        self._late = 3
        self._tick_at = math.inf
        self._numbers = itertools.count(1)
        self.group = _group(schedule, kit=kit)

    def tell(self, machine: Machine | None, *words: object) -> None:
        """A line of the procedure, for a replay."""
        if self._say:
            self._say(
                f"{self.timeline.now - START:9.2f}  {machine.id if machine else '-':5} {' '.join(map(str, words))}"
            )

    def violated(self, machine: Machine | None, what: str) -> None:
        """A rule is broken."""
        where = f" {machine.id}" if machine else ""
        self.violations.append(f"at {self.timeline.now - START:.1f} s{where}: {what}")
        self.tell(machine, "FAULT RULE:", what)

    # --- the queue and its scaler ---------------------------------------------------------------------------------------

    def put(self, job: Job) -> None:
        """A job is submitted."""
        self.tell(None, f"{job.id} of {job.seconds} s is submitted")
        self.ledger.put(job, self.timeline.now)
        self.jobs_may_wait()

    def jobs_may_wait(self) -> None:
        """Idle workers will look at their next poll."""
        if self.ledger.waiting():
            for machine in self.machines.values():
                machine.look_at_queue()

    def scale(self) -> None:
        """VALET's AutoScaleService: desired capacity from the number of waiting jobs, running ones not counted."""
        if not self.ended:
            self.desire(self.ledger.queued)
            self.timeline.after(self.schedule.scaler_interval, self.scale)

    def desire(self, wanted: int) -> None:
        """UpdateAutoScalingGroup with a desired capacity, within the bounds."""
        desired = max(MIN_SIZE, min(self.schedule.max_size, wanted))
        if desired != self.group.settings.desired:
            self.tell(None, f"desired capacity {self.group.settings.desired} -> {desired}")
            self.do(
                self.group.update(
                    fleet.resized(self.group.settings, min_size=None, max_size=None, desired=desired), self.timeline.now
                )
            )

    # --- the group ------------------------------------------------------------------------------------------------------

    def do(self, effects: list[fleet.Effect]) -> None:
        """What the group is owed, and what its moves mean for instances."""
        for effect in effects:
            if isinstance(effect, fleet.Launch):
                self.timeline.after(self.dice.uniform(3, 15), self._launched, effect)
            else:
                machine = self.machines.get(effect.instance_id)
                self.timeline.after(
                    1, machine.end if machine else self._forget, *(() if machine else (effect.instance_id,))
                )
        moves, self.group.moves = self.group.moves, []
        for move in moves:
            self._moved(move)
        if (due := self.group.next_deadline()) is not None and due < self._tick_at:
            self._tick_at = due
            self.timeline.at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        if due == self._tick_at:
            self._tick_at = math.inf
            self.do(self.group.tick(self.timeline.now))

    def _launched(self, effect: fleet.Launch) -> None:
        id = f"i-{next(self._numbers)}"
        self.machines[id] = self._host(self, id, effect.subnet.zone)
        self.do(self.group.launched(effect.activity, id, effect.template, "t3.medium", "ami-1", self.timeline.now))

    def _forget(self, id: str) -> None:
        if id in self.group.instances:
            self.group.terminated(id, self.timeline.now)
            self.do([])

    def gone(self, machine: Machine) -> None:
        """EC2 has ended an instance, or lost it; in the latter case a health check finds out."""
        self.tell(machine, "is gone")
        self.machines.pop(machine.id, None)
        member = self.group.instances.get(machine.id)
        if member and member.state == "Terminating:Proceed":
            self._forget(machine.id)
        else:
            self.timeline.after(self.dice.uniform(10, 60), self._found_lost, machine.id)

    def _found_lost(self, id: str) -> None:
        if id in self.group.instances:
            self.do(self.group.lost(id, self.timeline.now))

    def _moved(self, move: fleet.Move) -> None:
        machine = self.machines.get(move.instance_id)
        if machine is None:
            return
        self.tell(machine, f"{move.before or 'outside'} -> {move.after or 'outside'}")
        machine.target = _target(move.after)
        now = self.timeline.now
        if move.after == "Terminating":
            cause = self.group.activities[self.group.instances[machine.id].activity].cause
            machine.ending = _reason(cause)
            if move.before == "InService":  # AWS takes no protection before
                self._check_shield(machine, cause)
        elif move.after == "InService" and machine.busy_since is not None:
            machine.took_job()  # only now AWS takes its protection
        elif move.after == "Terminating:Wait":
            machine.waiting_since = now
            machine.beat()
            if now < self.weather.kills_in_drains:
                machine.agent_killed_at_calls([int(self.dice.expovariate(1 / 12)) for _ in range(3)])
        elif move.before == "Terminating:Wait" and machine.waiting_since is not None:
            if not self.kit:
                self.books.drains.append(now - machine.waiting_since)
            if not machine.completed:
                self.books.defaulted += 1
                if machine.alive:
                    self._check_gap(machine, "the hook's timeout")
            self.books.retained += move.after == "Terminating:Retained"

    # --- what the agent and the worker ask of the API ---------------------------------------------------------------------

    @property
    def api_down_until(self) -> float:
        """For the rules about what an agent could do."""
        return self.weather.api_down

    def api_weather(self) -> tuple[float, str, bool]:
        """How a call to the API goes: seconds it takes, the error or an empty text, whether its answer is lost."""
        now, weather, dice = self.timeline.now, self.weather, self.dice
        if now < weather.api_down:
            return dice.choice(((0.1, "http 503", False), (5.0, "Timeout", False)))
        if now < weather.throttled and dice.random() < 0.4:
            return 0.1, "Throttling", False
        if now < weather.answers_lost and dice.random() < 0.3:
            return 5.0, "", True
        return dice.uniform(0.02, 0.15), "", False

    def heartbeat(self, machine: Machine, hook: str) -> None:
        """RecordLifecycleActionHeartbeat."""
        self.group.heartbeat(hook, self.timeline.now, instance_id=machine.id, token=None)
        if hook == HOOK:
            self._check_gap(machine, "a heartbeat")
            machine.beat()
        self.do([])

    def complete(self, machine: Machine, hook: str, result: fleet.Result) -> None:
        """CompleteLifecycleAction by the agent."""
        self.tell(machine, f"the agent completes {hook} with {result}")
        member = self.group.instances.get(machine.id)
        open_wait = member is not None and any(wait.hook.name == hook for wait in member.waits)
        if hook == HOOK and open_wait:
            self._check_completion(machine, result)
        if hook == HOOK and machine.knows_completion():
            self.violated(machine, "the agent completes a hook again that it knows to be completed")
        self.do(self.group.complete(hook, result, self.timeline.now, instance_id=machine.id, token=None))

    def _check_completion(self, machine: Machine, result: fleet.Result) -> None:
        now = self.timeline.now
        since = machine.waiting_since if machine.waiting_since is not None else now
        self._check_gap(machine, "the completion")
        machine.completed = True
        self.books.completed += 1
        self.books.drains.append(now - since)
        self.books.overheads.append(now - max(since, machine.last_job_ended))
        if machine.container.state == "running":
            self.violated(machine, "the instance is let go while its worker runs")
        cut = any(
            e.what == "leave" and e.at >= since and e.worker.startswith(f"{machine.id}/") for e in self.ledger.entries
        )
        if result == "ABANDON" and not cut and machine.abandons_without_reason():
            self.violated(machine, "the agent abandons although its limit has not passed and nothing failed")

    def completion_answered(self, machine: Machine, hook: str) -> None:
        """The agent has heard that its completion took effect."""
        if hook == HOOK:
            machine.completion_is_known()

    def protect(self, machine: Machine, protected: bool) -> None:
        """SetInstanceProtection."""
        self.tell(machine, f"the agent sets protection to {protected}")
        self.do(self.group.protect([machine.id], protected, self.timeline.now))

    def report_unhealthy(self, machine: Machine) -> None:
        """SetInstanceHealth."""
        self.tell(machine, "the agent reports it unhealthy")
        if machine.id in self.group.instances:
            self.do(self.group.set_health(machine.id, False, False, self.timeline.now))

    def worker_completes(self, machine: Machine) -> None:
        """The worker's own CompleteLifecycleAction at SIGTERM; its errors are only logged."""
        try:
            effects = self.group.complete(
                machine.worker_hook, "CONTINUE", self.timeline.now, instance_id=machine.id, token=None
            )
        except fleet.Refused:
            return
        self.tell(machine, "the worker completes the hook")
        if self.kit:
            self.violated(machine, "the worker completes the hook that is the agent's to complete")
        self.do(effects)

    def terminate(self, id: str, *, decrement: bool) -> None:
        """TerminateInstanceInAutoScalingGroup by an operator."""
        if id not in self.group.instances:
            return
        try:
            self.do(self.group.terminate(id, decrement, self.timeline.now)[1])
        except fleet.Refused:
            self.do(self.group.terminate(id, False, self.timeline.now)[1])

    def operator_is_done_with(self, machine: Machine) -> None:
        """An operator had the agent drain the instance, and now ends it."""
        self.terminate(machine.id, decrement=False)

    # --- rules on the way -------------------------------------------------------------------------------------------------

    def _check_gap(self, machine: Machine, at: str) -> None:
        """No heartbeat later than a third of the timeout and some patience, while the agent could send one."""
        timeout = self.schedule.heartbeat_timeout
        gap = machine.able_since_beat()
        if gap > timeout / 3 + HEARTBEAT_PATIENCE_SECONDS:
            self.violated(
                machine, f"no heartbeat for {gap:.0f} s of {timeout} s in which the agent was able to, until {at}"
            )

    def _check_shield(self, machine: Machine, cause: str) -> None:
        """Scale-in spares whoever has been busy for a while."""
        if not self.kit or "was selected for termination" not in cause or machine.busy_since is None:
            return
        busy = machine.able_since_busy()
        if busy > SHIELD_SECONDS:
            self.violated(
                machine, f"scale-in chose a worker that was busy for {busy:.0f} s, its agent able to protect it"
            )

    def signalled(self, machine: Machine) -> None:
        """Compose is about to send SIGTERM to the worker."""
        worker = machine.worker
        self.tell(machine, f"compose stops the worker ({'busy' if worker and worker.job else 'idle'})")
        if worker is None or worker.job is None or worker.is_draining or self.schedule.policy != "wait_idle":
            return
        recent = machine.busy_since is not None and machine.busy_since > self.timeline.now - RACE_SECONDS
        if (
            not recent
            and machine.stops_without_reason()
            and self.timeline.now > machine.worker_hangs_until + RACE_SECONDS
        ):
            self.violated(machine, "a busy worker is stopped before the drain's limit")

    def seen_idle(self, machine: Machine) -> bool:
        """The agent of an instance that is to end has just read "idle": the worst moment for a job to come. Whether one comes."""
        if self.timeline.now < self.weather.late_jobs and self._late and self.dice.random() < 0.5:
            self._late -= 1
            job = Job(f"late-{3 - self._late}", round(self.dice.uniform(30, 300), 1))
            self.timeline.after(self.dice.choice((0.0, self.dice.uniform(0, 1))), self._put_late, machine, job)
            return True
        return False

    def _put_late(self, machine: Machine, job: Job) -> None:
        self.books.befell["job after an idle reading"] += 1
        self.put(job)
        if machine.worker and not machine.worker.job:
            machine.worker.advance(self.timeline.now)
            machine.worker_acted()


def _group(schedule: Schedule, *, kit: bool) -> fleet.Group:
    """The group as the kit's playbooks make it, or as the runbook does."""
    ids = itertools.count(1)
    template = fleet.Template("lt-1", "workers", "1")
    retains = "retain" if kit and schedule.retains else None
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
    group.put_hook(
        fleet.Hook(HOOK, fleet.TERMINATING, schedule.heartbeat_timeout if kit else RUNBOOK_TIMEOUT, "ABANDON")
    )
    if kit:
        group.suspend(["AZRebalance"], START)
        if schedule.launch_hook:
            group.put_hook(fleet.Hook(LAUNCH_HOOK, fleet.LAUNCHING, 900, "ABANDON"))
    return group


def _target(state: str) -> str | None:
    """autoscaling/target-lifecycle-state for a lifecycle state (UG, "Retrieve the target lifecycle state")."""
    if state.startswith("Terminat"):
        return "Terminated"
    if "Standby" in state:
        return "Standby"
    return "InService" if state.startswith("Pending") or state == "InService" else None


def _reason(cause: str) -> str:
    """Why a group ends an instance, in two words."""
    for text, reason in (
        ("selected for termination", "scale-in"),
        ("instance refresh", "instance refresh"),
        ("user request", "terminated on request"),
        ("health", "found unhealthy"),
    ):
        if text in cause:
            return reason
    return "ended by its group"
