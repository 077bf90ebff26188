"""The job queue in a file does the same as the one in memory, and the verdict counts two processes inside one job."""

from __future__ import annotations

from pathlib import Path

import pytest
from model.file_job_queue import FileJobQueue
from model.job_queue import Job, MemoryJobQueue
from model.verdict import judge
from model.worker import Worker, WorkerOptions


def test_workers_on_a_queue_in_a_file_do_the_same_as_on_a_queue_in_memory(tmp_path: Path) -> None:
    def run_through(queue: MemoryJobQueue | FileJobQueue) -> None:
        for number in range(4):
            queue.submit(Job(f"job-{number}", 30.0 + number), float(number))
        for process in ("w/1", "v/2"):
            worker = Worker(process, WorkerOptions("queue"), queue, 10)  # type: ignore[arg-type]
            now = 10.0
            while (due := worker.next_action_at(now)) < 100:
                now = due
                worker.advance(now)
            worker.kill(100, "worker crashed")

    memory, file = MemoryJobQueue(), FileJobQueue(tmp_path / "jobs")
    run_through(memory)
    run_through(file)
    assert file.events() == memory.events
    assert FileJobQueue(tmp_path / "jobs").copy().rows == memory.rows
    assert file.registered() == {"w": "active", "v": "active"}


def test_a_killed_process_leaves_its_job_and_a_finished_one_is_not_touched(tmp_path: Path) -> None:
    queue = FileJobQueue(tmp_path / "jobs")
    for name in ("a", "b"):
        queue.submit(Job(name, 1), 0)
        queue.claim("w", "w/1", 1, exclusive=False)
        queue.enter("w/1", name, 1)
        queue.write(name, "running", 1)
        if name == "a":
            queue.finish("w/1", "a", 2)
    queue.record_death("w/1", "worker crashed", 4)
    queue.record_death("w/1", "worker crashed", 5)
    assert judge(queue.copy(), 5, "legacy").gaps == {"b": "worker crashed: runs for ever"}


@pytest.mark.parametrize("limit", [5.0, 40.0], ids=["for longer than allowed", "for less time"])
def test_two_processes_that_work_on_one_job_are_counted_by_the_time_they_share(limit: float) -> None:
    queue = MemoryJobQueue()
    queue.submit(Job("a", 100), 0)
    for process, at in (("w/1", 0), ("v/2", 20)):
        queue.claim(process[0], process, at, exclusive=False)
        queue.enter(process, "a", at)
        queue.write("a", "running", at)
        queue.release(process[0], process, "legacy", at)
    queue.leave("w/1", "a", "stopped", 50)
    verdict = judge(queue, 60, "legacy", doubled_limit=limit)
    assert verdict.longest_overlap == 30
    assert verdict.doubled == ({"a": 30.0} if limit == 5.0 else {})


def test_finished_jobs_can_be_taken_out_and_one_that_was_sent_again_stays() -> None:
    queue = MemoryJobQueue()
    for name in ("a", "b", "c"):
        queue.submit(Job(name, 1), 0)
        assert queue.fetch("w/1", 1)
        assert queue.claim_fetched("w", "w/1", name, 1)
        queue.enter("w/1", name, 1)
        if name == "b":
            queue.put_back("w/1", 2, 0, resend=True, review_as_well=False)
        if name != "c":
            queue.finish("w/1", name, 2)
    taken = queue.take_finished()
    assert (list(taken.rows), [event.action for event in taken.events]) == (["a"], ["submit", "take", "finish"])
    assert list(queue.rows) == ["b", "c"]
    assert {event.job for event in queue.events} == {entry.job for entry in queue.entries} == {"b", "c"}


def test_a_worker_of_a_bad_image_fails_its_jobs_and_nobody_takes_them_again() -> None:
    queue = MemoryJobQueue()
    queue.submit(Job("a", 5), 0)
    worker = Worker("w/1", WorkerOptions("queue", fails_jobs=True), queue, 10)
    worker.advance(15)
    verdict = judge(queue, 20, "queue")
    assert (verdict.fates, verdict.lost, verdict.cut_off) == ({"failed": 1}, {}, {})
    assert (queue.rows["a"].status, queue.rows["a"].worker) == ("failed", "w")
    assert queue.fetch("v/1", 20) is None
