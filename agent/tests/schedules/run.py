"""One schedule, run in one way; and what many of them came to."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import example

from schedules.agent import AgentMachine, Procedures
from schedules.cloud import HOOK, LAUNCH_HOOK
from schedules.runbook import RunbookMachine
from schedules.schedule import Schedule, draw
from schedules.world import Outcome, World

KIT, RUNBOOK = "kit", "runbook"  # what ways' names begin with


def run_kit(
    schedule: Schedule, procedures: Procedures | None = None, say: Callable[[str], None] | None = None
) -> Outcome:
    """The schedule under the kit's agent."""
    settings = example.settings(
        GROUP="workers",
        TERMINATION_HOOK=HOOK,
        IMAGE="registry.test/ghosthands@sha256:" + "0" * 64,
        LAUNCH_HOOK=LAUNCH_HOOK if schedule.launch_hook else "",
        DRAIN_POLICY=schedule.policy,
        DRAIN_LIMIT_SECONDS=str(schedule.drain_limit),
        HEARTBEAT_TIMEOUT_SECONDS=str(schedule.heartbeat_timeout),
    )
    host = partial(AgentMachine, procedures=procedures or Procedures(), settings=settings)
    return World(schedule, host, kit=True, say=say).run()


def run_runbook(schedule: Schedule, say: Callable[[str], None] | None = None) -> Outcome:
    """The same schedule under the runbook's unit and script."""
    return World(schedule, RunbookMachine, kit=False, say=say).run()


@dataclass(frozen=True)
class Failure:
    """A schedule in which rules were broken."""

    seed: int
    number: int
    way: str
    violations: tuple[str, ...]

    def __str__(self) -> str:
        shown = [
            *self.violations[:3],
            *([f"... and {len(self.violations) - 3} more"] if len(self.violations) > 3 else []),
        ]
        return "\n    ".join(
            [f"schedule {self.number} ({self.way}): replay with --seed {self.seed} --replay {self.number}", *shown]
        )


@dataclass
class Tally:
    """What the schedules of one way came to."""

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
    reasons: Counter[str] = field(default_factory=Counter)
    interruptions: Counter[str] = field(default_factory=Counter)
    befell: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
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
        self.reasons.update(verdict.lost.values())
        self.interruptions.update(verdict.interrupted.values())
        self.befell.update(outcome.befell)


@dataclass
class Totals:
    """All ways, and what failed."""

    ways: dict[str, Tally] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def merge(self, results: Results) -> None:
        for way, outcome in results.outcomes:
            self.ways.setdefault(way, Tally()).add(outcome)
        self.failures += results.failures


@dataclass(frozen=True)
class Results:
    """What one schedule came to, in the kit's way and in the runbook's."""

    outcomes: tuple[tuple[str, Outcome], ...]
    failures: tuple[Failure, ...]


def both(seed: int, number: int) -> Results:
    """Schedule ``number`` under the kit and under the runbook."""
    schedule = draw(seed, number)
    kit, runbook = run_kit(schedule), run_runbook(schedule)
    failures = (Failure(seed, number, schedule.way, kit.violations),) if kit.violations else ()
    return Results(((f"{KIT}: {schedule.way}", kit), (f"{RUNBOOK}: {schedule.mode}", runbook)), failures)


def table(ways: dict[str, Tally]) -> Iterable[str]:
    """The last lines that a run prints."""
    befell = sum((tally.befell for way, tally in ways.items() if not way.startswith(RUNBOOK)), Counter[str]())
    yield f"the kit's fleets lived through: {', '.join(f'{kind} {count}' for kind, count in sorted(befell.items()))}"
    yield (
        f"{'way of running':<24}{'schedules':>10}{'jobs':>8}{'lost':>7}{'doubled':>9}{'interrupted':>13}{'handed back':>13}"
        f"{'hooks ended by agent':>22}{'by default':>12}{'drain median':>14}{'99th':>8}{'after last job':>16}"
    )
    for way in sorted(ways):
        tally = ways[way]
        yield (
            f"{way:<24}{tally.schedules:>10}{tally.jobs:>8}{tally.lost:>7}{tally.doubled:>9}{tally.interrupted:>13}{tally.released:>13}"
            f"{tally.completed:>22}{tally.defaulted:>12}{_seconds(tally.drains, 50):>14}{_seconds(tally.drains, 99):>8}"
            f"{_seconds(tally.overheads, 50):>16}"
        )
    for way in sorted(ways):
        for what, reasons in (("lost", ways[way].reasons), ("interrupted", ways[way].interruptions)):
            if reasons:
                yield f"{way}: {what}: {', '.join(f'{reason} {count}' for reason, count in reasons.most_common())}"
    overlap = max((tally.longest_overlap for way, tally in ways.items() if not way.startswith(RUNBOOK)), default=0.0)
    if any(way.startswith(KIT) for way in ways):
        yield "http and sigterm: with a worker that drains by itself, for which these policies are; all other lines: with today's worker"
    yield f"longest time that two processes of the kit were inside one job: {overlap:.1f} s"


def _seconds(values: list[float], percentile: int) -> str:
    if len(values) < 2:
        return f"{values[0]:.1f} s" if values else "-"
    return f"{statistics.quantiles(values, n=100, method='inclusive')[percentile - 1]:.1f} s"
