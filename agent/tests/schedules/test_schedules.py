"""What must hold in a thousand random schedules of a fleet, and that the rules catch an agent that breaks them."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Callable

import pytest

from schedules import broken_agents, broken_guards
from schedules.__main__ import run_many
from schedules.broken_agents import Mistake
from schedules.results import COLUMNS, GUARD, Report, run_column, run_with_agent, table
from schedules.schedule import draw
from schedules.simulation import Outcome

SCHEDULES = 1000
SHARE = 4  # so many of them run in the columns that are there to be compared with
SEED = 2027  # fixed, so that the same code passes always or never; `make chaos` draws a seed
SCHEDULES_FOR_A_MISTAKE = 400  # in so many schedules, each mistake breaks its rule


@pytest.fixture(scope="module")
def report() -> Report:
    seed = int(os.environ.get("GH_CHAOS_SEED") or SEED)
    print(f"GH_CHAOS_SEED={seed}")
    report = run_many(seed, SCHEDULES, os.cpu_count() or 1, share=SHARE)
    print("\n".join(table(report.rows)))
    return report


def test_the_agent_breaks_no_rule_in_a_thousand_schedules(report: Report) -> None:
    assert not report.failures, "\n".join(map(str, report.failures[:10]))


def test_with_a_guard_no_job_is_lost_and_none_runs_twice(report: Report) -> None:
    rows = report.rows_of("guard")
    assert sum(totals.schedules for totals in rows.values()) == SCHEDULES
    found = {row: (totals.lost, totals.doubled, totals.claimed_twice) for row, totals in rows.items()}
    assert found == dict.fromkeys(rows, (0, 0, 0))


def test_every_job_has_exactly_one_fate_and_none_waits_unless_every_worker_waits_for_a_person(report: Report) -> None:
    for row, totals in report.rows.items():
        assert sum(totals.fates.values()) == totals.jobs, row
        assert totals.fates["waits"] < totals.jobs / 20, row


def test_half_of_all_drains_end_within_two_seconds_of_the_last_job(report: Report) -> None:
    for column in ("plain worker", "guard"):
        for row, totals in report.rows_of(column).items():
            assert statistics.median(totals.overheads) <= 2.0, row


def test_without_a_guard_jobs_are_lost_in_queue_mode_and_as_the_runbook_has_it_in_both(report: Report) -> None:
    assert report.rows["plain worker: queue"].lost > 0
    rows = report.rows_of("runbook")
    assert sum(totals.schedules for totals in rows.values()) == SCHEDULES // SHARE
    assert all(totals.lost > totals.jobs / 20 for totals in rows.values())


def test_a_schedule_is_the_same_whenever_it_is_run() -> None:
    schedule = draw(7, 7)
    assert draw(7, 7) == schedule
    for column in COLUMNS:
        assert run_column(schedule, column) == run_column(schedule, column)


MISTAKES: list[tuple[broken_agents.Mistake, list[str]]] = [
    (Mistake(broken_agents.never_heartbeats), ["no heartbeat for"]),
    (Mistake(broken_agents.never_completes), ["no heartbeat for"]),
    (Mistake(broken_agents.completes_twice), ["completes a hook again"]),
    (Mistake(broken_agents.always_abandons), ["abandons although"]),
    (Mistake(broken_agents.completes_before_it_stops_the_worker), ["is completed while the worker runs"]),
    (Mistake(broken_agents.never_protects), ["scale-in chose a worker that was busy"]),
    (Mistake(broken_agents.never_removes_protection), ["an idle instance is protected at rest"]),
    (Mistake(broken_agents.takes_a_busy_worker_for_idle), ["a busy worker is stopped before the drain's limit"]),
    (Mistake(broken_agents.kills_a_busy_worker), ["is lost"]),
    (
        Mistake(broken_agents.drains_a_busy_worker_without_a_guard, guard=False),
        ["a busy worker is drained without a guard"],
    ),
    (
        Mistake(broken_agents.gives_the_worker_the_hook),
        ["the worker completes the hook that the agent has to complete"],
    ),
    (Mistake(broken_agents.cannot_stop_the_worker), ["is completed while the worker runs"]),
    (Mistake(broken_agents.never_starts_the_worker), ["no rest"]),
    (Mistake(broken_agents.raises_other_errors), ["procedure raised"]),
    (Mistake(broken_agents.posts_no_drain), ["no drain was posted"]),
    (Mistake(broken_agents.sends_two_signals, guard=False), ["a second SIGTERM to a queue worker without a guard"]),
    (Mistake(broken_agents.sends_two_signals), ["a busy worker is stopped before the drain's limit"]),
    (Mistake(broken_agents.always_continues, guard=False, limit=60), ["the agent calls the drain clean that lost"]),
    (
        Mistake(broken_agents.forgets_that_the_worker_was_busy, guard=False, limit=60),
        ["the agent calls the drain clean that lost"],
    ),
    (Mistake(broken_agents.ignores_raw_containers), ["is completed while the worker runs"]),
    (Mistake(broken_agents.takes_silence_for_gone), ["is completed while the worker runs"]),
    (Mistake(broken_agents.reads_no_wishes), ["has not done"]),
    (Mistake(broken_agents.posts_no_drain), ["a worker takes a job though it was to be held"]),
    (Mistake(broken_agents.loses_the_environment_before), ["no rest: no worker on"]),
]


def assert_caught(rules: list[str], run: Callable[[int], Outcome]) -> None:
    """In some schedule, each of the rules is broken."""
    missing = list(rules)
    for number in range(SCHEDULES_FOR_A_MISTAKE):
        broken = "\n".join(run(number).broken_rules)
        missing = [rule for rule in missing if not re.search(rule, broken)]
        if not missing:
            return
    pytest.fail(f"in {SCHEDULES_FOR_A_MISTAKE} schedules, these rules were not broken: {missing}")


@pytest.mark.parametrize(("mistake", "rules"), MISTAKES, ids=lambda value: getattr(value, "id", ""))
def test_an_agent_with_this_mistake_is_caught(mistake: Mistake, rules: list[str]) -> None:
    guard = GUARD if mistake.guard else None
    assert_caught(rules, lambda number: run_with_agent(mistake.schedule(draw(1, number)), mistake.procedures(), guard))


@pytest.mark.parametrize("name", broken_guards.BROKEN)
def test_a_guard_that_breaks_this_promise_is_caught(name: str) -> None:
    guard, rule = broken_guards.BROKEN[name]
    assert_caught([rule], lambda number: run_with_agent(broken_guards.schedule(draw(1, number), name), guard=guard))


def test_there_are_at_least_twenty_mistakes() -> None:
    assert len(MISTAKES) + len(broken_guards.BROKEN) >= 20
