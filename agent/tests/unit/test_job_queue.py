"""The two job queues of the model, in memory and in a file, do the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from model.file_job_queue import FileJobQueue
from model.job_queue import Job, JobEvent, MemoryJobQueue
from model.verdict import judge


def run_through(queue: MemoryJobQueue | FileJobQueue) -> list[JobEvent]:
    """Do everything that workers do to a queue; return its events."""
    for number in range(4):
        queue.submit(Job(f"job-{number}", 30.0 + number), float(number))
    assert queue.take("w", 10) == Job("job-0", 30.0)
    assert queue.take("v", 11) == Job("job-1", 31.0)
    queue.finish("w", "job-0", 12)
    queue.release("v", 13)
    queue.leave("v", "job-1", "SIGTERM", 14)
    assert queue.take("w", 15) == Job("job-2", 32.0)
    queue.leave("w", "job-2", "worker crashed", 16)
    queue.recover(100, 120)
    assert queue.take("u", 101) == Job("job-3", 33.0)
    queue.finish("u", "job-3", 102)
    assert queue.take("u", 103) == Job("job-1", 31.0)
    queue.release("u", 104)
    queue.finish("u", "job-1", 105)  # goes on after the release
    assert not queue.has_waiting_jobs()
    queue.recover(200, 120)
    assert queue.has_waiting_jobs()
    assert queue.take("u", 201) == Job("job-2", 32.0)
    assert queue.take("u", 202) is None
    return list(queue.events() if isinstance(queue, FileJobQueue) else queue.events)


def test_the_queue_in_a_file_does_the_same_as_the_queue_in_memory(tmp_path: Path) -> None:
    events = run_through(MemoryJobQueue())
    assert run_through(FileJobQueue(tmp_path / "jobs")) == events
    assert FileJobQueue(tmp_path / "jobs").events() == events


def test_the_job_of_a_killed_process_is_interrupted_and_a_finished_one_is_not(tmp_path: Path) -> None:
    queue = FileJobQueue(tmp_path / "jobs")
    queue.submit(Job("a", 1), 0)
    queue.submit(Job("b", 1), 0)
    assert queue.take("w", 1)
    queue.finish("w", "a", 2)
    assert queue.take("w", 3)
    queue.record_death("w", "worker crashed", 4)
    queue.record_death("w", "worker crashed", 5)
    assert judge(queue.events(), 5).interrupted == {"b": "worker crashed"}


@pytest.mark.parametrize("released", [5.0, 40.0], ids=["for longer than allowed", "for less time"])
def test_two_processes_that_work_on_one_job_are_counted_by_the_time_they_share(released: float) -> None:
    queue = MemoryJobQueue()
    queue.submit(Job("a", 100), 0)
    queue.take("w", 0)
    queue.release("w", released)
    queue.take("v", released)
    queue.leave("w", "a", "stopped", 50)
    verdict = judge(queue.events, 60)
    assert verdict.longest_overlap == 50 - released
    assert verdict.doubled == ({"a": 45.0} if released == 5.0 else {})
