"""What must hold in a thousand random schedules of a fleet, and that the rules catch an agent that breaks them."""

from __future__ import annotations

import os
import statistics

import pytest

from schedules import broken_agents
from schedules.__main__ import run_many
from schedules.results import AGENT, RUNBOOK, Report, run_with_agent, run_with_runbook, table
from schedules.schedule import draw

SCHEDULES = 1000
SEED = 2027  # fixed, so that the same code passes always or never; `make chaos` draws a seed
SCHEDULES_FOR_A_MISTAKE = 150  # in so many schedules, each mistake of broken_agents breaks its rule


@pytest.fixture(scope="module")
def report() -> Report:
    seed = int(os.environ.get("GH_CHAOS_SEED") or SEED)
    print(f"GH_CHAOS_SEED={seed}")
    report = run_many(seed, SCHEDULES, os.cpu_count() or 1)
    print("\n".join(table(report.rows)))
    return report


def test_the_agent_breaks_no_rule_in_a_thousand_schedules(report: Report) -> None:
    assert not report.failures, "\n".join(map(str, report.failures[:10]))


def test_the_agent_loses_no_job_and_none_runs_twice(report: Report) -> None:
    rows = report.rows_of(AGENT)
    assert sum(totals.schedules for totals in rows.values()) == SCHEDULES
    assert {row: (totals.lost, totals.doubled) for row, totals in rows.items()} == dict.fromkeys(rows, (0, 0))


def test_every_job_is_finished_unless_it_was_interrupted(report: Report) -> None:
    for row, totals in report.rows_of(AGENT).items():
        assert totals.finished >= totals.jobs - totals.interrupted, row


def test_half_of_all_drains_end_within_two_seconds_of_the_last_job(report: Report) -> None:
    for row, totals in report.rows_of(AGENT).items():
        assert statistics.median(totals.overheads) <= 2.0, row


def test_the_runbook_loses_jobs_in_the_same_schedules(report: Report) -> None:
    reasons = {"scale-in", "terminated on request", "instance refresh", "found unhealthy"}
    rows = report.rows_of(RUNBOOK)
    assert sum(totals.schedules for totals in rows.values()) == SCHEDULES
    assert all(totals.lost > totals.jobs / 20 for totals in rows.values())
    assert all(set(totals.reasons_lost) <= reasons for totals in rows.values())


def test_a_schedule_is_the_same_whenever_it_is_run() -> None:
    schedule = draw(7, 7)
    assert draw(7, 7) == schedule
    assert run_with_agent(schedule) == run_with_agent(schedule)
    assert run_with_runbook(schedule) == run_with_runbook(schedule)


@pytest.mark.parametrize(
    ("mistake", "rules"),
    [
        (broken_agents.never_heartbeats, ["no heartbeat for"]),
        (broken_agents.never_completes, ["no heartbeat for"]),
        (broken_agents.completes_twice, ["completes a hook again"]),
        (broken_agents.always_abandons, ["abandons although"]),
        (broken_agents.completes_before_it_stops_the_worker, ["is completed while the worker runs"]),
        (broken_agents.never_protects, ["scale-in chose a worker that was busy"]),
        (broken_agents.never_removes_protection, ["an idle instance is protected at rest"]),
        (broken_agents.takes_a_busy_worker_for_idle, ["a busy worker is stopped before the drain's limit", "is lost"]),
        (broken_agents.kills_a_busy_worker, ["is cut off", "is lost"]),
        (broken_agents.drains_a_busy_legacy_worker, ["is doubled for"]),
        (broken_agents.gives_the_worker_the_hook, ["the worker completes the hook that the agent has to complete"]),
        (broken_agents.cannot_stop_the_worker, ["is completed while the worker runs"]),
        (broken_agents.never_starts_the_worker, ["no rest"]),
        (broken_agents.raises_other_errors, ["procedure raised"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_agent_with_this_mistake_is_caught(mistake: broken_agents.Change, rules: list[str]) -> None:
    procedures = broken_agents.procedures(mistake)
    missing = list(rules)
    for number in range(SCHEDULES_FOR_A_MISTAKE):
        broken = "\n".join(run_with_agent(draw(1, number), procedures).broken_rules)
        missing = [rule for rule in missing if rule not in broken]
        if not missing:
            return
    pytest.fail(f"in {SCHEDULES_FOR_A_MISTAKE} schedules, these rules were not broken: {missing}")
