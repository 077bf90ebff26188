"""Running a schedule with the agent or as the runbook has it, and the totals of many schedules."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from model.agent_conf import IMAGE, LAUNCH_HOOK, settings

from schedules.agent_host import AgentHost, Procedures
from schedules.runbook import RunbookHost
from schedules.schedule import Schedule, draw
from schedules.simulation import Outcome, Simulation

AGENT, RUNBOOK = "agent", "runbook"  # what the names of rows begin with


def run_with_agent(
    schedule: Schedule, procedures: Procedures | None = None, log: Callable[[str], None] | None = None
) -> Outcome:
    """Run the schedule on instances with the agent."""
    make_host = partial(
        AgentHost,
        procedures=procedures or Procedures(),
        settings=settings(
            IMAGE=IMAGE,
            LAUNCH_HOOK=LAUNCH_HOOK if schedule.launch_hook else "",
            DRAIN_POLICY=schedule.policy,
            DRAIN_LIMIT_SECONDS=str(schedule.drain_limit),
            HEARTBEAT_TIMEOUT_SECONDS=str(schedule.heartbeat_timeout),
        ),
    )
    return Simulation(schedule, make_host, with_agent=True, log=log).run()


def run_with_runbook(schedule: Schedule, log: Callable[[str], None] | None = None) -> Outcome:
    """Run the same schedule on instances with the runbook's unit and script."""
    return Simulation(schedule, RunbookHost, with_agent=False, log=log).run()


@dataclass(frozen=True)
class Failure:
    """A schedule in which rules were broken."""

    seed: int
    number: int
    variant: str
    broken_rules: tuple[str, ...]

    def __str__(self) -> str:
        more = len(self.broken_rules) - 3
        shown = [*self.broken_rules[:3], *([f"... and {more} more"] if more > 0 else [])]
        replay = f"schedule {self.number} ({self.variant}): replay with --seed {self.seed} --replay {self.number}"
        return "\n    ".join([replay, *shown])


@dataclass
class Totals:
    """The sum of many outcomes; the fields are those of `Outcome` and its verdict."""

    schedules: int = 0
    jobs: int = 0
    finished: int = 0
    lost: int = 0
    doubled: int = 0
    interrupted: int = 0
    released: int = 0
    completed: int = 0
    defaulted: int = 0
    longest_overlap: float = 0.0
    drains: list[float] = field(default_factory=list)
    overheads: list[float] = field(default_factory=list)
    reasons_lost: Counter[str] = field(default_factory=Counter)
    reasons_interrupted: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Add an outcome."""
        verdict = outcome.verdict
        self.schedules += 1
        self.jobs += verdict.jobs
        self.finished += verdict.finished
        self.lost += len(verdict.lost)
        self.doubled += len(verdict.doubled)
        self.interrupted += len(verdict.interrupted)
        self.released += verdict.released
        self.completed += outcome.completed
        self.defaulted += outcome.defaulted
        self.longest_overlap = max(self.longest_overlap, verdict.longest_overlap)
        self.drains += outcome.drains
        self.overheads += outcome.overheads
        self.reasons_lost.update(verdict.lost.values())
        self.reasons_interrupted.update(verdict.interrupted.values())
        self.faults.update(outcome.faults)


@dataclass(frozen=True)
class Result:
    """What became of one schedule, with the agent and with the runbook: outcomes by the row that they belong to."""

    outcomes: tuple[tuple[str, Outcome], ...]
    failures: tuple[Failure, ...]


@dataclass
class Report:
    """Totals by row, and the schedules in which rules were broken."""

    rows: dict[str, Totals] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Add the result of a schedule."""
        for row, outcome in result.outcomes:
            self.rows.setdefault(row, Totals()).add(outcome)
        self.failures += result.failures

    def rows_of(self, kind: str) -> dict[str, Totals]:
        """The rows of AGENT or of RUNBOOK."""
        return {row: totals for row, totals in self.rows.items() if row.startswith(kind)}


def run_both(seed: int, number: int) -> Result:
    """Run a schedule of a seed with the agent and with the runbook."""
    schedule = draw(seed, number)
    agent, runbook = run_with_agent(schedule), run_with_runbook(schedule)
    failures = (Failure(seed, number, schedule.variant, agent.broken_rules),) if agent.broken_rules else ()
    return Result(((f"{AGENT}: {schedule.variant}", agent), (f"{RUNBOOK}: {schedule.mode}", runbook)), failures)


def table(rows: dict[str, Totals]) -> Iterable[str]:
    """The last lines that a run prints."""
    with_agent = [totals for row, totals in rows.items() if not row.startswith(RUNBOOK)]
    faults = sum((totals.faults for totals in with_agent), Counter[str]())
    happened = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items()))
    yield f"what happened to fleets with the agent: {happened}"
    yield (
        f"{'':<24}{'schedules':>10}{'jobs':>8}{'lost':>7}{'doubled':>9}{'interrupted':>13}{'released':>10}"
        f"{'hooks completed':>17}{'timed out':>11}{'drain median':>14}{'99th':>8}{'after last job':>16}"
    )
    for row, totals in sorted(rows.items()):
        yield (
            f"{row:<24}{totals.schedules:>10}{totals.jobs:>8}{totals.lost:>7}{totals.doubled:>9}"
            f"{totals.interrupted:>13}{totals.released:>10}{totals.completed:>17}{totals.defaulted:>11}"
            f"{_seconds(totals.drains, 50):>14}{_seconds(totals.drains, 99):>8}{_seconds(totals.overheads, 50):>16}"
        )
    for row, totals in sorted(rows.items()):
        for what, reasons in (("lost", totals.reasons_lost), ("interrupted", totals.reasons_interrupted)):
            if reasons:
                yield f"{row}: {what}: {', '.join(f'{reason} {count}' for reason, count in reasons.most_common())}"
    if any(row.startswith(AGENT) for row in rows):
        yield "http and sigterm: with a worker that drains by itself; all other rows: with today's worker"
    overlap = max((totals.longest_overlap for totals in with_agent), default=0.0)
    yield f"longest time that two processes under the agent worked on one job: {overlap:.1f} s"


def _seconds(values: list[float], percentile: int) -> str:
    if len(values) < 2:
        return f"{values[0]:.1f} s" if values else "-"
    return f"{statistics.quantiles(values, n=100, method='inclusive')[percentile - 1]:.1f} s"
