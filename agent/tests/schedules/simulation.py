"""A schedule under way: what people, zones and faults do to the fleet, and the last checks once it is at rest."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ghosthands_agent.wishes import repository
from model.agent_conf import IMAGE
from model.verdict import Verdict, judge
from model.worker import RAW, Guard

from localcloud import fleet
from schedules.fleet_host import FleetHost
from schedules.schedule import Event, Schedule
from schedules.simulated_fleet import MIN_SIZE, START, SUBNETS, SWEEP_SECONDS, Log, MakeHost, SimulatedFleet

REST_SECONDS = 120.0  # at rest for so long before the last checks: a protection lingers for 60 s, and a call may fail
#: The longest wait for rest: an hour of a refresh, drains to their limit, a queue worked off by one instance.
REST_LIMIT_SECONDS = 6 * 3600.0


@dataclass(frozen=True)
class Outcome:
    """What became of a schedule. Times are seconds.

    Attributes:
        drains: from Terminating:Wait to the hook's completion by the agent (runbook: to the end of the hook's wait).
        overheads: the part of it after the end of the last job (if idle: all of it).
        defaulted: hooks that timed out, so that their default result decided.
        called_clean: jobs that were lost in drains of which the agent says that they were clean.
        faults: how often what happened.
    """

    verdict: Verdict
    broken_rules: tuple[str, ...] = ()
    drains: tuple[float, ...] = ()
    overheads: tuple[float, ...] = ()
    completed: int = 0
    defaulted: int = 0
    retained: int = 0
    called_clean: int = 0
    seconds: float = 0.0
    faults: Mapping[str, int] = field(default_factory=dict)


class Simulation(SimulatedFleet):
    """One schedule."""

    def __init__(
        self,
        schedule: Schedule,
        make_host: MakeHost,
        *,
        with_agent: bool,
        guard: Guard | None = None,
        log: Log | None = None,
    ) -> None:
        super().__init__(schedule, make_host, with_agent=with_agent, guard=guard, log=log)
        self._at_rest_since: float | None = None
        self._versions = itertools.count(2)
        self._wishes = itertools.count(1)

    def run(self) -> Outcome:
        """Run the schedule until the fleet is at rest."""
        at = self.timeline.at
        for when, job in self.schedule.jobs:
            at(START + when, self.submit, job)
        for event in self.schedule.events:
            at(START + event.at, self._happens, event)
        at(START, self.scale)
        at(START + self.random.uniform(0, SWEEP_SECONDS), self.sweep)
        at(START + self.schedule.ends, self._check_rest)
        self.apply(self.group.start(START))
        while not self.ended:
            self.timeline.run_until(self.timeline.now + 60)
        verdict = judge(self.jobs, self.timeline.now, self.schedule.mode)
        if self.guard:
            self.broken_rules += [f"{job} is lost: {why}" for job, why in verdict.lost.items()]
            self.broken_rules += [f"{job} is doubled for {seconds:.3f} s" for job, seconds in verdict.doubled.items()]
            self.broken_rules += [f"{job} is claimed twice" for job in verdict.claimed_twice]
            reviewed: set[str] = set()
            for done in self.jobs.events:
                late = done.at - self.jobs.drained.get(done.worker, math.inf)
                if done.action == "take" and RAW not in done.worker and late > 2 * self.schedule.claim_seconds:
                    self.broken_rules.append(f"{done.worker} takes {done.job} {late:.1f} s after it was to drain")
                if done.action == "review":
                    reviewed.add(done.job)
                elif done.action == "release" and done.job in reviewed:
                    self.broken_rules.append(f"{done.job} is put back from its review")
        counts = self.counts
        return Outcome(
            verdict,
            tuple(self.broken_rules),
            tuple(counts.drains),
            tuple(counts.overheads),
            counts.completed,
            counts.defaulted,
            counts.retained,
            counts.called_clean,
            self.timeline.now - START,
            counts.faults,
        )

    # --- events -------------------------------------------------------------------------------------------------------

    def _happens(self, event: Event) -> None:
        self.log(None, f"** {event.kind}", f"for {event.seconds} s" if event.seconds else "", f"({event.number})")
        self.counts.faults[event.kind] += 1
        until = self.timeline.now + event.seconds
        conditions = self.conditions
        match event.kind:
            case "scale":
                self.set_desired(1 + event.number % self.schedule.max_size)
            case "refresh":
                self._start_refresh(event.number)
            case "zone lost":
                zone = SUBNETS[event.number % 2].zone
                for host in [host for host in self.hosts.values() if host.zone == zone]:
                    host.vanish("zone lost")
            case "API down":
                conditions.api_down = until
                self._note_abilities()
                self.timeline.at(until, self._note_abilities)
            case "API throttled":
                conditions.throttled = until
            case "answers lost":
                conditions.answers_lost = until
            case "secret denied":
                conditions.secret_denied = until
            case "secret missing":
                conditions.secret_missing = until
            case "database down":
                self.jobs.down_until = until
            case "late jobs":
                conditions.late_jobs = until
            case "agent killed in drains":
                conditions.kills_in_drains = until
            case "clock jumped":
                conditions.wall_jump += (event.number % 7_200) - 3_600
            case "hold" | "resume" | "renew" | "release" | "bad release":
                self._wish(event)
            case _:
                running = [host for host in self.hosts.values() if host.alive]
                if running:
                    self._happens_to(running[event.number % len(running)], event, until)
        for host in self.hosts.values():
            host.wake_agent()

    def _wish(self, event: Event) -> None:
        """An operator tags one instance, or the group and all of its instances."""
        id, digest = f"{next(self._wishes):08x}", f"sha256:{event.number % 3:064x}"
        text = f"{event.kind}@{id}"
        if event.kind == "renew":
            self.secret = json.dumps({**json.loads(self.secret), "OPENAI_API_KEY": id})
        elif event.kind == "release":
            text = f"release={digest}@{id}"
        elif event.kind == "bad release":
            digest = f"sha256:{'bad' + id:0>64}"
            self.bad_images[f"{repository(IMAGE)}@{digest}"] = "silent" if event.number % 2 else "crashes"
            text = f"release={digest}@{id}"
        hosts = [host for host in self.hosts.values() if host.alive]
        if event.number % 3 == 0 and hosts:
            hosts = [hosts[event.number // 3 % len(hosts)]]
        else:
            self.wish = text
        for host in hosts:
            self.log(host, f"   is to {text}")
            host.wishes(text)
            if event.number % 5 == 0:
                host.kill_agent_at_calls([int(self.random.expovariate(1 / 20)) for _ in range(3)])

    def _note_abilities(self) -> None:
        for host in self.hosts.values():
            host.note_ability()

    def _start_refresh(self, number: int) -> None:
        template = replace(self.group.settings.template, version=str(next(self._versions)))
        preferences = fleet.Preferences(
            warmup=number % 2 * 30, protected=("Wait", "Wait", "Refresh")[number % 3], standby="Terminate"
        )
        try:
            self.group.start_refresh(preferences, template, template, self.timeline.now)
        except fleet.Refused:
            return
        self.apply(self.group.tick(self.timeline.now))

    def _happens_to(self, host: FleetHost, event: Event, until: float) -> None:
        """Something happens to one instance."""
        self.log(host, f"   {event.kind}")
        match event.kind:
            case "terminate" | "terminate and shrink":
                self.terminate(host.id, decrement=event.kind == "terminate and shrink")
            case "standby":
                self._enter_standby(host.id, event.seconds)
            case "spot":
                host.spot_action = "terminate"
                host.notice_at = self.timeline.now
                self.timeline.after(120, self._spot_ends, host, host.able_for())
            case "deploy":
                host.deploy()
            case "metadata down":
                host.metadata_down_until = until
                host.note_ability()
                self.timeline.at(until, host.note_ability)
            case "docker restarted":
                host.restart_docker(3 + event.number % 20)
            case "worker crashed":
                host.crash_worker()
            case "worker hangs":
                host.worker_hangs_until = until
            case "rebooted":
                host.reboot()
            case "disk full":
                host.disk_full_until = until
            case _:
                host.agent_fault(event)

    def _spot_ends(self, host: FleetHost, able: float) -> None:
        """EC2 takes the instance: no reason to lose its job if its agent could act for most of the time."""
        host.vanish("spot" if host.able_for() - able > 110 else "spot instance gone")

    def _enter_standby(self, id: str, seconds: float) -> None:
        try:
            self.apply(self.group.enter_standby([id], self.group.settings.desired > MIN_SIZE, self.timeline.now)[1])
        except fleet.Refused:
            return
        self.timeline.after(seconds, self._exit_standby, id)

    def _exit_standby(self, id: str) -> None:
        try:
            self.apply(self.group.exit_standby([id], self.timeline.now)[1])
        except fleet.Refused:
            if (instance := self.group.instances.get(id)) and instance.state == "Standby":
                self.terminate(id, decrement=False)

    # --- rest ---------------------------------------------------------------------------------------------------------

    def _check_rest(self) -> None:
        """Release what is retained, then wait until the fleet has been at rest for a minute."""
        now = self.timeline.now
        activity = self._activity()
        if not activity:
            self._at_rest_since = now if self._at_rest_since is None else self._at_rest_since
            if now - self._at_rest_since >= REST_SECONDS:
                self._check_no_protection()
                self._check_images()
                self.ended = True
                return
        else:
            self._at_rest_since = None
            if now - START > self.schedule.ends + REST_LIMIT_SECONDS:
                self.rule_broken(None, f"no rest: {activity}")
                self.ended = True
                return
        self.timeline.after(10, self._check_rest)

    def _activity(self) -> str:
        """Why the fleet is not at rest; empty if it is."""
        if self.timeline.now < self._faults_end():
            return "a fault goes on"
        if self.waits_from() < math.inf and not self._all_in_review():
            return f"{self.jobs.length} jobs wait"
        if busy := [host.id for host in self.hosts.values() if self._works(host)]:
            return f"{busy} work"
        states = {instance.id: instance.state for instance in self.group.instances.values()}
        for id in [id for id, state in states.items() if state == "Terminating:Retained"]:
            self.terminate(id, decrement=False)
        if self.group.launching or any(state != "InService" for state in states.values()):
            return f"instances are {states}"
        protected = len(states) > self.group.settings.desired and self._all_in_review()
        if len(states) != self.group.settings.desired and not protected:
            return f"{len(states)} instances where {self.group.settings.desired} are desired"
        if self.group.active_refresh:
            return "a refresh is under way"
        down = [
            host.id
            for host in self.hosts.values()
            if not host.up or (host.worker is None and not host.drained_on_request())
        ]
        if down:
            return f"no worker on {down}"
        return next((found for host in self.hosts.values() if (found := host.wish_under_way())), "")

    def _all_in_review(self) -> bool:
        """Whether every instance has a job that waits for a person: then no job is taken any more.

        The scaler counts waiting jobs only, so it does not launch more for one that waits behind them.
        """
        hosts = [host for host in self.hosts.values() if host.target != "Terminated"]
        full = len(hosts) >= self.group.settings.desired
        return full and all(host.worker and host.worker.job and not self._works(host) for host in hosts)

    def _works(self, host: FleetHost) -> bool:
        """Whether it has a job that comes to an end by itself."""
        jobs = [worker.job.id for worker in host.workers if worker.job]
        return any(self.jobs.rows[job].status != "awaiting_review" for job in jobs)

    def _faults_end(self) -> float:
        """When the last fault that takes some time is over."""
        of_hosts = (
            max(host.metadata_down_until, host.disk_full_until, host.worker_hangs_until) for host in self.hosts.values()
        )
        return max(
            self.conditions.api_down,
            self.conditions.throttled,
            self.conditions.answers_lost,
            self.conditions.secret_denied,
            self.conditions.secret_missing,
            *of_hosts,
        )

    def _check_images(self) -> None:
        for host in self.hosts.values():
            if host.container.image in self.bad_images:
                self.rule_broken(host, f"it stays on {host.container.image}, which does not work")

    def _check_no_protection(self) -> None:
        for instance in self.group.instances.values():
            host = self.hosts.get(instance.id)
            busy = host is not None and any(worker.job for worker in host.workers)
            if instance.protected and self.with_agent and not busy:
                self.rule_broken(host, "an idle instance is protected at rest")
