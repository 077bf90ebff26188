"""A schedule under way: what people, zones and faults do to the fleet, and the last look once it has come to rest."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from localcloud import fleet
from schedules.cloud import MIN_SIZE, START, SUBNETS, Cloud, Host, Say
from schedules.ledger import Verdict, judge
from schedules.machine import Machine
from schedules.schedule import Happening, Schedule

CALM_SECONDS = 60.0  # at rest for so long before the last look
PATIENCE_SECONDS = (
    6 * 3600.0
)  # the longest wait for rest: an hour of a refresh, drains to their limit, a queue worked off by one


@dataclass(frozen=True)
class Outcome:
    """What became of a schedule. Times are seconds.

    Attributes:
        drains: from Terminating:Wait to the hook's completion, for each completion by the agent (runbook: to the hook's end).
        overheads: the part of it after the last job's end (or the beginning, if idle).
        defaulted: hooks that were left to their default result.
    """

    verdict: Verdict
    violations: tuple[str, ...] = ()
    drains: tuple[float, ...] = ()
    overheads: tuple[float, ...] = ()
    completed: int = 0
    defaulted: int = 0
    retained: int = 0
    lasted: float = 0.0
    befell: Mapping[str, int] = field(default_factory=dict)


class World(Cloud):
    """One schedule."""

    def __init__(self, schedule: Schedule, host: Host, *, kit: bool, say: Say | None = None) -> None:
        super().__init__(schedule, host, kit=kit, say=say)
        self._calm_since: float | None = None
        self._versions = itertools.count(2)

    # --- running it -----------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Let it all happen, until rest."""
        at = self.timeline.at
        for when, job in self.schedule.jobs:
            at(START + when, self.put, job)
        for happening in self.schedule.happenings:
            at(START + happening.at, self._happens, happening)
        at(START, self.scale)
        at(START + self.schedule.ends, self._look_for_rest)
        self.do(self.group.start(START))
        while not self.ended:
            self.timeline.run_until(self.timeline.now + 60)
        lasted = self.timeline.now - START
        verdict = judge(self.ledger.entries, self.timeline.now)
        if self.kit:
            self.violations += [f"{job} is lost: {why}" for job, why in verdict.lost.items()]
            self.violations += [f"{job} is cut: {why}" for job, why in verdict.cut.items() if job not in verdict.lost]
            self.violations += [f"{job} is doubled for {seconds:.1f} s" for job, seconds in verdict.doubled.items()]
        books = self.books
        return Outcome(
            verdict,
            tuple(self.violations),
            tuple(books.drains),
            tuple(books.overheads),
            books.completed,
            books.defaulted,
            books.retained,
            lasted,
            books.befell,
        )

    # --- what happens -----------------------------------------------------------------------------------------------------

    def _happens(self, happening: Happening) -> None:
        self.tell(
            None, f"** {happening.kind}", f"for {happening.lasts} s" if happening.lasts else "", f"({happening.number})"
        )
        self.books.befell[happening.kind] += 1
        until = self.timeline.now + happening.lasts
        weather = self.weather
        match happening.kind:
            case "scale":
                self.desire(1 + happening.number % self.schedule.max_size)
            case "refresh":
                self._refresh(happening.number)
            case "zone lost":
                zone = SUBNETS[happening.number % 2].zone
                for machine in [m for m in self.machines.values() if m.zone == zone]:
                    machine.vanish("zone lost")
            case "API down":
                weather.api_down = until
                self._note_abilities()
                self.timeline.at(until, self._note_abilities)
            case "API throttled":
                weather.throttled = until
            case "answers lost":
                weather.answers_lost = until
            case "secret denied":
                weather.secret_denied = until
            case "late jobs":
                weather.late_jobs = until
            case "agent killed in drains":
                weather.kills_in_drains = until
            case "clock jumped":
                weather.wall_jump += (happening.number % 7_200) - 3_600
            case _:
                running = [m for m in self.machines.values() if m.alive]
                if running:
                    self._befalls(running[happening.number % len(running)], happening, until)

    def _note_abilities(self) -> None:
        for machine in self.machines.values():
            machine.note_ability()

    def _refresh(self, number: int) -> None:
        to = replace(self.group.settings.template, version=str(next(self._versions)))
        preferences = fleet.Preferences(
            warmup=number % 2 * 30, protected=("Wait", "Wait", "Refresh")[number % 3], standby="Terminate"
        )
        try:
            self.group.start_refresh(preferences, to, to, self.timeline.now)
        except fleet.Refused:
            return
        self.do(self.group.tick(self.timeline.now))

    def _befalls(self, machine: Machine, happening: Happening, until: float) -> None:
        """Something happens to one instance."""
        self.tell(machine, f"   {happening.kind}")
        match happening.kind:
            case "terminate" | "terminate and shrink":
                self.terminate(machine.id, decrement=happening.kind == "terminate and shrink")
            case "standby":
                self._standby(machine.id, happening.lasts)
            case "spot":
                machine.spot_noticed = True
                self.timeline.after(120, machine.vanish, "spot")
            case "metadata down":
                machine.metadata_down_until = until
                machine.note_ability()
                self.timeline.at(until, machine.note_ability)
            case "docker restarted":
                machine.restart_docker(3 + happening.number % 20)
            case "worker crashed":
                machine.crash_worker()
            case "worker hangs":
                machine.worker_hangs_until = until
            case "rebooted":
                machine.reboot()
            case "disk full":
                machine.disk_full_until = until
            case _:
                machine.agent_trouble(happening)

    def _standby(self, id: str, lasts: float) -> None:
        try:
            self.do(self.group.enter_standby([id], self.group.settings.desired > MIN_SIZE, self.timeline.now)[1])
        except fleet.Refused:
            return
        self.timeline.after(lasts, self._leave_standby, id)

    def _leave_standby(self, id: str) -> None:
        try:
            self.do(self.group.exit_standby([id], self.timeline.now)[1])
        except fleet.Refused:
            if (member := self.group.instances.get(id)) and member.state == "Standby":
                self.terminate(id, decrement=False)

    # --- rest -------------------------------------------------------------------------------------------------------------

    def _look_for_rest(self) -> None:
        """Release what is retained, then wait until all is calm for a minute."""
        now = self.timeline.now
        restless = self._restless()
        if not restless:
            self._calm_since = now if self._calm_since is None else self._calm_since
            if now - self._calm_since >= CALM_SECONDS:
                self._check_rest()
                self.ended = True
                return
        else:
            self._calm_since = None
            if now - START > self.schedule.ends + PATIENCE_SECONDS:
                self.violated(None, f"no rest: {restless}")
                self.ended = True
                return
        self.timeline.after(10, self._look_for_rest)

    def _restless(self) -> str:
        """What keeps the fleet from rest; empty if nothing does."""
        if self.timeline.now < self._faults_end():
            return "faults are under way"
        if self.ledger.waiting():
            return f"{self.ledger.queued} jobs wait"
        if busy := [m.id for m in self.machines.values() if m.worker and m.worker.job]:
            return f"{busy} work"
        states = {i.id: i.state for i in self.group.instances.values()}
        for id in [id for id, state in states.items() if state == "Terminating:Retained"]:
            self.terminate(id, decrement=False)
        if self.group.launching or any(state != "InService" for state in states.values()):
            return f"instances are {states}"
        if len(states) != self.group.settings.desired:
            return f"{len(states)} instances where {self.group.settings.desired} are desired"
        if self.group.active_refresh:
            return "a refresh is under way"
        down = [m.id for m in self.machines.values() if not m.up or (m.worker is None and not m.drained_on_purpose())]
        return f"no worker on {down}" if down else ""

    def _faults_end(self) -> float:
        """When the last fault that lasts is over."""
        on_machines = (
            max(m.metadata_down_until, m.disk_full_until, m.worker_hangs_until) for m in self.machines.values()
        )
        return max(
            self.weather.api_down,
            self.weather.throttled,
            self.weather.answers_lost,
            self.weather.secret_denied,
            *on_machines,
        )

    def _check_rest(self) -> None:
        for instance in self.group.instances.values():
            if instance.protected and self.kit:
                self.violated(self.machines[instance.id], "an idle instance is protected at rest")
