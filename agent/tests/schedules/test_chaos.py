"""What must hold in a thousand random lives of a fleet, and that the rules catch an agent that breaks them."""

from __future__ import annotations

import os
import statistics

import pytest

from schedules import broken
from schedules.__main__ import run_many
from schedules.run import Totals, run_kit, run_runbook, table
from schedules.schedule import draw

SCHEDULES = 1000
SEED = 2027  # so that one state of the code passes always or never; `make chaos` draws its own
ENOUGH = 150  # schedules in which every mistake of ``broken`` shows


@pytest.fixture(scope="module")
def totals() -> Totals:
    seed = int(os.environ.get("GH_CHAOS_SEED") or SEED)
    print(f"GH_CHAOS_SEED={seed}")
    totals = run_many(seed, SCHEDULES, os.cpu_count() or 1)
    print("\n".join(table(totals.ways)))
    return totals


def test_the_agent_breaks_no_rule_in_a_thousand_schedules(totals: Totals) -> None:
    assert not totals.failures, "\n".join(map(str, totals.failures[:10]))


def test_no_job_is_lost_and_none_runs_twice_under_the_agent(totals: Totals) -> None:
    kit = [tally for way, tally in totals.ways.items() if way.startswith("kit")]
    assert sum(tally.schedules for tally in kit) == SCHEDULES
    assert [(tally.lost, tally.doubled) for tally in kit] == [(0, 0)] * len(kit)


def test_half_of_all_drains_end_within_two_seconds_of_the_last_job(totals: Totals) -> None:
    for way, tally in totals.ways.items():
        if way.startswith("kit"):
            assert statistics.median(tally.overheads) <= 2.0, way


def test_the_same_schedules_lose_jobs_as_the_runbook_has_it(totals: Totals) -> None:
    runbook = [tally for way, tally in totals.ways.items() if way.startswith("runbook")]
    assert sum(tally.schedules for tally in runbook) == SCHEDULES
    assert all(tally.lost > tally.jobs / 20 for tally in runbook)
    assert all(
        set(tally.reasons) <= {"scale-in", "terminated on request", "instance refresh", "found unhealthy"}
        for tally in runbook
    )


def test_every_job_is_finished_unless_it_was_interrupted(totals: Totals) -> None:
    for way, tally in totals.ways.items():
        if way.startswith("kit"):
            assert tally.finished >= tally.jobs - tally.interrupted


def test_a_schedule_is_the_same_whenever_it_is_run() -> None:
    schedule = draw(7, 7)
    assert draw(7, 7) == schedule
    assert run_kit(schedule) == run_kit(schedule)
    assert run_runbook(schedule) == run_runbook(schedule)


@pytest.mark.parametrize(
    ("mistake", "rule"),
    [
        (broken.never_heartbeats, "no heartbeat for"),
        (broken.never_completes, "no heartbeat for"),
        (broken.completes_twice, "completes a hook again"),
        (broken.always_abandons, "abandons although"),
        (broken.completes_before_it_stops, "is let go while its worker runs"),
        (broken.never_shields, "scale-in chose a worker that was busy"),
        (broken.never_takes_the_shield_away, "an idle instance is protected at rest"),
        (broken.does_not_look_whether_it_is_busy, "a busy worker is stopped before the drain's limit"),
        (broken.does_not_look_whether_it_is_busy, "is lost"),
        (broken.kills_instead_of_waiting, "is cut"),
        (broken.kills_instead_of_waiting, "is lost"),
        (broken.drains_a_busy_legacy_worker, "is doubled for"),
        (broken.gives_the_worker_the_hook, "the worker completes the hook that is the agent's"),
        (broken.cannot_stop_the_worker, "is let go while its worker runs"),
        (broken.leaves_the_worker_down, "no rest"),
        (broken.lets_errors_through, "procedure raised"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_an_agent_with_this_mistake_is_caught(mistake: broken.Change, rule: str) -> None:
    procedures = broken.procedures(mistake)
    for number in range(ENOUGH):
        if any(rule in violation for violation in run_kit(draw(1, number), procedures).violations):
            return
    pytest.fail(f"{ENOUGH} schedules and nothing said {rule!r}")
