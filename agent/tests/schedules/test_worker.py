"""The stand-in worker does what docs/agent.md and the real worker's source say, dangerous parts included."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest

from schedules.ledger import DOUBLED_BOUND_SECONDS, Job, MemoryLedger, judge
from schedules.worker import Habits, Worker

LEGACY, QUEUE = Habits("legacy"), Habits("queue")
EITHER = pytest.mark.parametrize("habits", [LEGACY, QUEUE], ids=["legacy", "queue"])


def acts(ledger: MemoryLedger) -> list[tuple[float, str, str]]:
    """What was done to jobs, and when, submissions left out."""
    return [(e.at, e.what, e.worker) for e in ledger.entries if e.what != "put"]


def live(worker: Worker, now: float, until: float) -> None:
    """Let it do what it is about, each at its moment."""
    while (due := worker.due(now)) <= until:
        now = due
        worker.advance(now)


def busy(habits: Habits, seconds: float = 100.0) -> tuple[Worker, MemoryLedger]:
    """A worker that takes a job at moment 0."""
    ledger = MemoryLedger()
    ledger.put(Job("a", seconds), 0)
    return Worker("w", habits, ledger, 0), ledger


@EITHER
def test_it_takes_the_next_job_at_once_and_an_idle_one_looks_every_few_seconds(habits: Habits) -> None:
    worker, ledger = busy(habits, 10)
    ledger.put(Job("b", 5), 1)
    live(worker, 0, 20)
    assert acts(ledger) == [(0, "take", "w"), (10, "finish", "w"), (10, "take", "w"), (15, "finish", "w")]
    ledger.put(Job("c", 5), 20.5)
    assert worker.due(20.5) == math.ceil(20.5 / habits.poll) * habits.poll


@EITHER
def test_its_health_is_503_when_busy_or_draining(habits: Habits) -> None:
    ledger = MemoryLedger()
    idle = Worker("w", habits, ledger, 0)
    assert (idle.health, idle.active_jobs, idle.is_draining) == (200, 0, False)
    idle.drain(1)
    assert (idle.health, idle.is_draining) == (503, True)
    assert (busy(habits)[0].health, busy(habits)[0].active_jobs) == (503, 1)


def test_a_legacy_drain_hands_the_job_back_after_thirty_seconds_and_goes_on_with_it() -> None:
    worker, ledger = busy(LEGACY)
    worker.drain(10)
    live(worker, 10, 50)
    assert acts(ledger) == [(0, "take", "w"), (40, "release", "w")]
    other = Worker("v", LEGACY, ledger, 41)
    assert other.job == worker.job
    live(worker, 50, 100)
    assert judge(ledger.entries, 100).doubled == {"a": 59}


def test_a_legacy_drain_ends_pickup_and_a_queue_drain_does_not() -> None:
    for habits, takes in ((LEGACY, False), (QUEUE, True)):
        ledger = MemoryLedger()
        worker = Worker("w", habits, ledger, 0)
        worker.drain(1)
        ledger.put(Job("a", 10), 2)
        live(worker, 2, 60)
        assert [e.what == "take" for e in ledger.entries[1:2]] == [True] * takes


def test_a_legacy_worker_hands_its_job_back_thirty_seconds_after_sigterm_and_exits() -> None:
    worker, ledger = busy(LEGACY)
    worker.signal(10)
    live(worker, 10, 200)
    assert acts(ledger) == [(0, "take", "w"), (40, "release", "w"), (40 + LEGACY.farewell, "leave", "w")]
    assert (worker.exit_code, worker.deregistered, worker.wants_completion) == (0, True, True)
    verdict = judge(ledger.entries, 200)
    assert (verdict.lost, verdict.cut, verdict.released) == ({}, {}, 1)


def test_sigterm_after_a_drain_waits_another_thirty_seconds_so_two_are_inside_for_as_long_as_it_came_later() -> None:
    worker, ledger = busy(LEGACY)
    worker.drain(10)
    worker.signal(17)
    live(worker, 17, 45)
    Worker("v", LEGACY, ledger, 45)
    live(worker, 45, 200)
    assert judge(ledger.entries, 200).longest_overlap == pytest.approx(47 + LEGACY.farewell - 45)
    assert 17 - 10 + LEGACY.farewell < DOUBLED_BOUND_SECONDS


def test_a_queue_worker_exits_ten_seconds_after_sigterm_and_nobody_hands_its_job_back() -> None:
    worker, ledger = busy(QUEUE)
    worker.signal(10, "why")
    live(worker, 10, 200)
    assert acts(ledger) == [(0, "take", "w"), (20 + QUEUE.farewell, "leave", "w")]
    Worker("v", QUEUE, ledger, 10_000)
    assert judge(ledger.entries, 10_000).lost == {"a": "why"}


@EITHER
def test_a_second_signal_hands_the_job_back_at_once(habits: Habits) -> None:
    worker, ledger = busy(habits)
    worker.signal(10)
    worker.signal(12)
    assert acts(ledger) == [(0, "take", "w"), (12, "release", "w"), (12, "leave", "w")]
    assert (worker.exit_code, worker.deregistered) == (1, False)


@EITHER
def test_a_job_that_ends_in_time_is_finished_before_the_exit(habits: Habits) -> None:
    worker, ledger = busy(habits, 15)
    worker.signal(10)
    live(worker, 10, 60)
    assert [what for _, what, _ in acts(ledger)] == ["take", "finish"]
    assert worker.exit_code == 0


@EITHER
def test_an_idle_worker_exits_at_once_and_completes_its_hook(habits: Habits) -> None:
    worker = Worker("w", habits, MemoryLedger(), 0)
    worker.signal(10)
    assert worker.wants_completion
    live(worker, 10, 11)
    assert worker.exit_code == 0


def test_a_killed_workers_job_comes_back_only_when_a_legacy_worker_starts_two_minutes_later() -> None:
    for habits, at, back in ((LEGACY, 60, False), (LEGACY, 131, True), (QUEUE, 10_000, False)):
        worker, ledger = busy(habits)
        worker.kill(10, "worker crashed")
        Worker("v", habits, ledger, at)
        verdict = judge(ledger.entries, at)
        assert (ledger.rows["a"].claim == "v") == back
        assert (verdict.lost, verdict.interrupted) == ({}, {"a": "worker crashed"})


@EITHER
def test_one_that_drains_by_itself_ends_with_its_job(habits: Habits) -> None:
    itself = Habits(habits.mode, drains_itself=True)
    for tell in ("drain", "signal"):
        worker, ledger = busy(itself, 1000)
        ledger.put(Job("b", 1), 5)
        getattr(worker, tell)(10)
        live(worker, 10, 2000)
        assert [what for _, what, _ in acts(ledger)] == ["take", "finish"]
        assert worker.exit_code == (0 if tell == "signal" else None)


def test_a_faster_worker_is_faster_in_everything_it_does_by_the_clock() -> None:
    numbers = [value for value in astuple(LEGACY) if isinstance(value, float)]
    assert [value for value in astuple(LEGACY.faster(10)) if isinstance(value, float)] == [
        value / 10 for value in numbers
    ]
