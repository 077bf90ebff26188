"""Running a schedule in every column, and the totals of many schedules."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, get_args

from model.agent_conf import IMAGE, LAUNCH_HOOK, settings
from model.verdict import Fate
from model.worker import Guard

from schedules.agent_host import AgentHost, Procedures
from schedules.runbook import RunbookHost
from schedules.schedule import Schedule, draw
from schedules.simulation import Outcome, Simulation

GUARD = Guard()
#: The columns, with which the names of rows begin: instances as the runbook has them; with the agent and today's
#: worker; with the agent and its guard in the worker.
Column = Literal["runbook", "plain worker", "guard"]
COLUMNS: tuple[Column, ...] = get_args(Column)


def run_with_agent(
    schedule: Schedule,
    procedures: Procedures | None = None,
    guard: Guard | None = GUARD,
    log: Callable[[str], None] | None = None,
) -> Outcome:
    """Run the schedule on instances with the agent, whose worker has that guard, or none."""
    if guard is None:
        schedule = replace(schedule, policy="wait_idle")  # the others are for a worker that drains by itself
    make_host = partial(
        AgentHost,
        procedures=procedures or Procedures(),
        settings=settings(
            IMAGE=IMAGE,
            LAUNCH_HOOK=LAUNCH_HOOK if schedule.launch_hook else "",
            DRAIN_POLICY=schedule.policy,
            DRAIN_LIMIT_SECONDS=str(schedule.drain_limit),
            HEARTBEAT_TIMEOUT_SECONDS=str(schedule.heartbeat_timeout),
            WORKER_GUARD="preferred" if guard else "off",
        ),
    )
    return Simulation(schedule, make_host, with_agent=True, guard=guard, log=log).run()


def run_with_runbook(schedule: Schedule, log: Callable[[str], None] | None = None) -> Outcome:
    """Run the same schedule on instances with the runbook's unit and script."""
    return Simulation(schedule, RunbookHost, with_agent=False, log=log).run()


def run_column(schedule: Schedule, column: Column, log: Callable[[str], None] | None = None) -> Outcome:
    """Run the schedule as a column has it."""
    if column == "runbook":
        return run_with_runbook(schedule, log)
    return run_with_agent(schedule, guard=GUARD if column == "guard" else None, log=log)


@dataclass(frozen=True)
class Failure:
    """A schedule in which rules were broken."""

    seed: int
    number: int
    column: Column
    broken_rules: tuple[str, ...]

    def __str__(self) -> str:
        more = len(self.broken_rules) - 3
        shown = [*self.broken_rules[:3], *([f"... and {more} more"] if more > 0 else [])]
        replay = f"replay with --seed {self.seed} --replay {self.number} --column '{self.column}'"
        return "\n    ".join([f"schedule {self.number} ({self.column}): {replay}", *shown])


@dataclass
class Totals:
    """The sum of many outcomes; the fields are those of `Outcome` and its verdict."""

    schedules: int = 0
    jobs: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    doubled: int = 0
    doubled_upstream: int = 0
    claimed_twice: int = 0
    shown_failed: int = 0
    put_back: int = 0
    completed: int = 0
    defaulted: int = 0
    retained: int = 0
    called_clean: int = 0
    longest_overlap: float = 0.0
    drains: list[float] = field(default_factory=list)
    overheads: list[float] = field(default_factory=list)
    reasons: dict[Fate, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Add an outcome."""
        verdict = outcome.verdict
        self.schedules += 1
        self.jobs += verdict.jobs
        self.fates.update(verdict.fates)
        self.doubled += len(verdict.doubled)
        self.doubled_upstream += len(verdict.doubled_upstream)
        self.claimed_twice += len(verdict.claimed_twice)
        self.shown_failed += verdict.shown_failed
        self.put_back += verdict.put_back
        self.completed += outcome.completed
        self.defaulted += outcome.defaulted
        self.retained += outcome.retained
        self.called_clean += outcome.called_clean
        self.longest_overlap = max(self.longest_overlap, verdict.longest_overlap)
        self.drains += outcome.drains
        self.overheads += outcome.overheads
        for fate, jobs in (
            ("lost", verdict.lost),
            ("raw", verdict.raw),
            ("gap", verdict.gaps),
            ("upstream", verdict.upstream),
        ):
            self.reasons[fate].update(jobs.values())  # type: ignore[index]
        self.faults.update(outcome.faults)

    @property
    def lost(self) -> int:
        """How many jobs were lost without a reason that no drain can prevent."""
        return self.fates["lost"]


@dataclass(frozen=True)
class Result:
    """What became of one schedule: outcomes by the row that they belong to."""

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

    def rows_of(self, column: Column) -> dict[str, Totals]:
        """The rows of a column."""
        return {row: totals for row, totals in self.rows.items() if row.startswith(f"{column}: ")}


def run_all(seed: int, share: int, number: int) -> Result:
    """Run a schedule of a seed in every column; if its number is no multiple of `share`, only with a guard."""
    schedule = draw(seed, number)
    columns = COLUMNS if number % share == 0 else COLUMNS[-1:]
    outcomes = {column: run_column(schedule, column) for column in columns}
    return Result(
        tuple((f"{column}: {schedule.mode}", outcome) for column, outcome in outcomes.items()),
        tuple(
            Failure(seed, number, column, outcome.broken_rules)
            for column, outcome in outcomes.items()
            if column != "runbook" and outcome.broken_rules
        ),
    )


#: The fates of jobs, which add up to all of them, and the words for them in a table.
FATES: dict[Fate, str] = {
    "finished": "finished",
    "review": "review",
    "lost": "lost",
    "raw": "lost raw",
    "gap": "gap",
    "upstream": "upstream",
    "waits": "waits",
}
LEGEND = (
    "finished: by a worker. review: waits for a person, who can see that. "
    "lost: by a scale-in, refresh, roll-out, spot notice or shutdown.",
    "lost raw: the same, by a container that deploy-server has started, without a guard.",
    "gap: by a crash or the loss of a machine, which nothing prevents; its row runs for ever, or needs a person.",
    "upstream: by what worker, VALET or deploy-server do alone, whether anything scales or not.",
    "doubled: two processes inside one job. claimed twice: the same by two legacy workers' claims within 2 s.",
    "doubled upstream: the same by a container of deploy-server, or by VALET.",
    "shown failed: finished, but VALET has said meanwhile that it failed. "
    "called clean: lost in a drain of which the agent says that it was clean.",
)


def table(rows: dict[str, Totals]) -> Iterable[str]:
    """The last lines that a run prints."""
    guarded = [totals for row, totals in rows.items() if row.startswith("guard")]
    faults = sum((totals.faults for totals in guarded), Counter[str]())
    happened = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items()))
    yield f"what happened: {happened}"
    yield from _lines(
        {
            row: {
                "schedules": totals.schedules,
                "jobs": totals.jobs,
                **{word: totals.fates[fate] for fate, word in FATES.items()},
                "doubled": totals.doubled,
                "claimed twice": totals.claimed_twice,
                "doubled upstream": totals.doubled_upstream,
                "shown failed": totals.shown_failed,
                "called clean": totals.called_clean,
                "put back": totals.put_back,
            }
            for row, totals in sorted(rows.items())
        }
    )
    yield from _lines(
        {
            row: {
                "hooks completed": totals.completed,
                "timed out": totals.defaulted,
                "retained": totals.retained,
                "drain median": _seconds(totals.drains, 50),
                "99th": _seconds(totals.drains, 99),
                "after last job": _seconds(totals.overheads, 50),
            }
            for row, totals in sorted(rows.items())
        }
    )
    yield from LEGEND
    for row, totals in sorted(rows.items()):
        for fate, reasons in totals.reasons.items():
            if reasons:
                counts = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common())
                yield f"{row}: {FATES[fate]}: {counts}"
    overlap = max((totals.longest_overlap for totals in guarded), default=0.0)
    yield f"longest time that two processes with a guard worked on one job: {overlap:.3f} s"


def _lines(rows: dict[str, dict[str, object]]) -> Iterable[str]:
    """A table with a heading."""
    heading = next(iter(rows.values()), {})
    yield f"{'':<22}" + "".join(f"{word:>{max(len(word) + 2, 10)}}" for word in heading)
    for row, cells in rows.items():
        yield f"{row:<22}" + "".join(f"{cell!s:>{max(len(word) + 2, 10)}}" for word, cell in cells.items())


def _seconds(values: list[float], percentile: int) -> str:
    if len(values) < 2:
        return f"{values[0]:.1f} s" if values else "-"
    return f"{statistics.quantiles(values, n=100, method='inclusive')[percentile - 1]:.1f} s"
