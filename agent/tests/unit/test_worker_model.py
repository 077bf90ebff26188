"""The modelled worker does what docs/agent.md and the real worker's source say, dangerous parts included."""

from __future__ import annotations

import math

import pytest
from model.job_queue import Job, MemoryJobQueue
from model.verdict import DOUBLED_LIMIT_SECONDS, judge
from model.worker import Worker, WorkerOptions

LEGACY, QUEUE = WorkerOptions("legacy"), WorkerOptions("queue")
each_mode = pytest.mark.parametrize("options", [LEGACY, QUEUE], ids=["legacy", "queue"])


def actions(queue: MemoryJobQueue) -> list[tuple[float, str]]:
    """What was done to jobs, and when, submissions left out."""
    return [(event.at, event.action) for event in queue.events if event.action != "submit"]


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


@each_mode
def test_it_takes_the_next_job_at_once_and_polls_when_idle(options: WorkerOptions) -> None:
    worker, queue = busy(options, 10)
    queue.submit(Job("b", 5), 1)
    advance(worker, 0, 20)
    assert actions(queue) == [(0, "take"), (10, "finish"), (10, "take"), (15, "finish")]
    queue.submit(Job("c", 5), 20.5)
    assert worker.next_action_at(20.5) == math.ceil(20.5 / options.poll_seconds) * options.poll_seconds


def test_a_legacy_drain_releases_the_job_after_thirty_seconds_and_goes_on_with_it() -> None:
    worker, queue = busy(LEGACY)
    worker.drain(10)
    advance(worker, 10, 50)
    assert actions(queue) == [(0, "take"), (40, "release")]
    assert Worker("v", LEGACY, queue, 41).job == worker.job
    advance(worker, 50, 100)
    assert judge(queue.events, 100).doubled == {"a": 59}


def test_a_legacy_drain_stops_taking_jobs_and_a_queue_drain_does_not() -> None:
    for options, jobs in ((LEGACY, 0), (QUEUE, 1)):
        queue = MemoryJobQueue()
        worker = Worker("w", options, queue, 0)
        worker.drain(1)
        queue.submit(Job("a", 100), 2)
        advance(worker, 2, 60)
        assert (worker.is_draining, worker.active_jobs) == (True, jobs)


def test_a_legacy_worker_releases_its_job_thirty_seconds_after_sigterm_and_exits() -> None:
    worker, queue = busy(LEGACY)
    worker.sigterm(10)
    advance(worker, 10, 200)
    assert actions(queue) == [(0, "take"), (40, "release"), (40 + LEGACY.exit_seconds, "leave")]
    assert (worker.exit_code, worker.deregistered, worker.completes_hook) == (0, True, True)


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
    assert actions(queue) == [(0, "take"), (20 + QUEUE.exit_seconds, "leave")]
    Worker("v", QUEUE, queue, 10_000)
    assert judge(queue.events, 10_000).lost == {"a": "why"}


@each_mode
def test_a_second_sigterm_releases_the_job_at_once(options: WorkerOptions) -> None:
    worker, queue = busy(options)
    worker.sigterm(10)
    worker.sigterm(12)
    assert actions(queue) == [(0, "take"), (12, "release"), (12, "leave")]
    assert (worker.exit_code, worker.deregistered) == (1, False)


@each_mode
def test_a_job_that_ends_in_time_is_finished_before_the_exit(options: WorkerOptions) -> None:
    worker, queue = busy(options, 15)
    worker.sigterm(10)
    advance(worker, 10, 60)
    assert [action for _, action in actions(queue)] == ["take", "finish"]
    assert (worker.exit_code, worker.deregistered) == (0, True)


def test_the_job_of_a_killed_worker_is_recovered_only_by_a_legacy_worker_two_minutes_later() -> None:
    for options, at, recovered in ((LEGACY, 60, False), (LEGACY, 131, True), (QUEUE, 10_000, False)):
        worker, queue = busy(options)
        worker.kill(10, "worker crashed")
        assert (Worker("v", options, queue, at).job is not None) == recovered
        assert judge(queue.events, at).interrupted == {"a": "worker crashed"}


@each_mode
def test_a_worker_that_drains_by_itself_finishes_its_job(options: WorkerOptions) -> None:
    for drain in (Worker.drain, Worker.sigterm):
        worker, queue = busy(WorkerOptions(options.mode, drains_itself=True), 1000)
        queue.submit(Job("b", 1), 5)
        drain(worker, 10)
        advance(worker, 10, 2000)
        assert [action for _, action in actions(queue)] == ["take", "finish"]
