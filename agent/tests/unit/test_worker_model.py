"""The modelled worker does what docs/agent.md and the real worker's source say, dangerous parts included."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest
from model.job_queue import Job, MemoryJobQueue
from model.verdict import DOUBLED_LIMIT_SECONDS, judge
from model.worker import Worker, WorkerOptions

LEGACY, QUEUE = WorkerOptions("legacy"), WorkerOptions("queue")
EITHER = pytest.mark.parametrize("options", [LEGACY, QUEUE], ids=["legacy", "queue"])


def acts(queue: MemoryJobQueue) -> list[tuple[float, str, str]]:
    """What was done to jobs, and when, submissions left out."""
    return [(e.at, e.action, e.worker) for e in queue.events if e.action != "submit"]


def advance(worker: Worker, now: float, until: float) -> None:
    """Let it do everything that is due until then."""
    while (due := worker.next_action_at(now)) <= until:
        now = due
        worker.advance(now)


def busy(options: WorkerOptions, seconds: float = 100.0) -> tuple[Worker, MemoryJobQueue]:
    """A worker that takes a job at 0 s."""
    queue = MemoryJobQueue()
    queue.submit(Job("a", seconds), 0)
    return Worker("w", options, queue, 0), queue


@EITHER
def test_it_takes_the_next_job_at_once_and_polls_when_idle(options: WorkerOptions) -> None:
    worker, queue = busy(options, 10)
    queue.submit(Job("b", 5), 1)
    advance(worker, 0, 20)
    assert acts(queue) == [(0, "take", "w"), (10, "finish", "w"), (10, "take", "w"), (15, "finish", "w")]
    queue.submit(Job("c", 5), 20.5)
    assert worker.next_action_at(20.5) == math.ceil(20.5 / options.poll_seconds) * options.poll_seconds


@EITHER
def test_its_health_is_503_when_busy_or_draining(options: WorkerOptions) -> None:
    queue = MemoryJobQueue()
    idle = Worker("w", options, queue, 0)
    assert (idle.health, idle.active_jobs, idle.is_draining) == (200, 0, False)
    idle.drain(1)
    assert (idle.health, idle.is_draining) == (503, True)
    assert (busy(options)[0].health, busy(options)[0].active_jobs) == (503, 1)


def test_a_legacy_drain_releases_the_job_after_thirty_seconds_and_goes_on_with_it() -> None:
    worker, queue = busy(LEGACY)
    worker.drain(10)
    advance(worker, 10, 50)
    assert acts(queue) == [(0, "take", "w"), (40, "release", "w")]
    other = Worker("v", LEGACY, queue, 41)
    assert other.job == worker.job
    advance(worker, 50, 100)
    assert judge(queue.events, 100).doubled == {"a": 59}


def test_a_legacy_drain_stops_taking_jobs_and_a_queue_drain_does_not() -> None:
    for options, takes in ((LEGACY, False), (QUEUE, True)):
        queue = MemoryJobQueue()
        worker = Worker("w", options, queue, 0)
        worker.drain(1)
        queue.submit(Job("a", 10), 2)
        advance(worker, 2, 60)
        assert [e.action == "take" for e in queue.events[1:2]] == [True] * takes


def test_a_legacy_worker_releases_its_job_thirty_seconds_after_sigterm_and_exits() -> None:
    worker, queue = busy(LEGACY)
    worker.sigterm(10)
    advance(worker, 10, 200)
    assert acts(queue) == [(0, "take", "w"), (40, "release", "w"), (40 + LEGACY.exit_seconds, "leave", "w")]
    assert (worker.exit_code, worker.deregistered, worker.completes_hook) == (0, True, True)
    verdict = judge(queue.events, 200)
    assert (verdict.lost, verdict.cut_off, verdict.released) == ({}, {}, 1)


def test_two_workers_overlap_for_as_long_as_sigterm_comes_after_a_legacy_drain() -> None:
    worker, queue = busy(LEGACY)
    worker.drain(10)
    worker.sigterm(17)
    advance(worker, 17, 45)
    Worker("v", LEGACY, queue, 45)
    advance(worker, 45, 200)
    assert judge(queue.events, 200).longest_overlap == pytest.approx(47 + LEGACY.exit_seconds - 45)
    assert 17 - 10 + LEGACY.exit_seconds < DOUBLED_LIMIT_SECONDS


def test_a_queue_worker_exits_ten_seconds_after_sigterm_and_its_job_is_lost() -> None:
    worker, queue = busy(QUEUE)
    worker.sigterm(10, "why")
    advance(worker, 10, 200)
    assert acts(queue) == [(0, "take", "w"), (20 + QUEUE.exit_seconds, "leave", "w")]
    Worker("v", QUEUE, queue, 10_000)
    assert judge(queue.events, 10_000).lost == {"a": "why"}


@EITHER
def test_a_second_signal_releases_the_job_at_once(options: WorkerOptions) -> None:
    worker, queue = busy(options)
    worker.sigterm(10)
    worker.sigterm(12)
    assert acts(queue) == [(0, "take", "w"), (12, "release", "w"), (12, "leave", "w")]
    assert (worker.exit_code, worker.deregistered) == (1, False)


@EITHER
def test_a_job_that_ends_in_time_is_finished_before_the_exit(options: WorkerOptions) -> None:
    worker, queue = busy(options, 15)
    worker.sigterm(10)
    advance(worker, 10, 60)
    assert [what for _, what, _ in acts(queue)] == ["take", "finish"]
    assert worker.exit_code == 0


@EITHER
def test_an_idle_worker_exits_at_once_and_completes_its_hook(options: WorkerOptions) -> None:
    worker = Worker("w", options, MemoryJobQueue(), 0)
    worker.sigterm(10)
    assert worker.completes_hook
    advance(worker, 10, 11)
    assert worker.exit_code == 0


def test_the_job_of_a_killed_worker_is_recovered_only_by_a_legacy_worker_two_minutes_later() -> None:
    for options, at, back in ((LEGACY, 60, False), (LEGACY, 131, True), (QUEUE, 10_000, False)):
        worker, queue = busy(options)
        worker.kill(10, "worker crashed")
        Worker("v", options, queue, at)
        verdict = judge(queue.events, at)
        assert (queue.rows["a"].claim == "v") == back
        assert (verdict.lost, verdict.interrupted) == ({}, {"a": "worker crashed"})


@EITHER
def test_a_worker_that_drains_by_itself_finishes_its_job(options: WorkerOptions) -> None:
    itself = WorkerOptions(options.mode, drains_itself=True)
    for tell in ("drain", "sigterm"):
        worker, queue = busy(itself, 1000)
        queue.submit(Job("b", 1), 5)
        getattr(worker, tell)(10)
        advance(worker, 10, 2000)
        assert [what for _, what, _ in acts(queue)] == ["take", "finish"]
        assert worker.exit_code == (0 if tell == "sigterm" else None)


def test_a_faster_worker_has_all_its_times_divided() -> None:
    numbers = [value for value in astuple(LEGACY) if isinstance(value, float)]
    assert [value for value in astuple(LEGACY.sped_up(10)) if isinstance(value, float)] == [
        value / 10 for value in numbers
    ]
