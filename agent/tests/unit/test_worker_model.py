"""The modelled worker does what the real one's source says, dangerous parts included, and a guard what it promises."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from model.job_queue import TAKEN_FOR_CRASHED, Job, MemoryJobQueue
from model.verdict import judge
from model.worker import CLAIM_SECONDS, PUT_BACK_FAILED, Guard, Worker, WorkerOptions

LEGACY, QUEUE = WorkerOptions("legacy"), WorkerOptions("queue")  # jobs are claimed and run at once
TESTS = Path(__file__).parents[1]
each_mode = pytest.mark.parametrize("options", [LEGACY, QUEUE], ids=["legacy", "queue"])


def guarded(options: WorkerOptions) -> WorkerOptions:
    return replace(options, guard=Guard())


def actions(queue: MemoryJobQueue) -> list[tuple[float, str]]:
    """What was done to jobs, and when, submissions left out."""
    return [(event.at, event.action) for event in queue.events if event.action != "submit"]


def names(queue: MemoryJobQueue) -> list[str]:
    return [action for _, action in actions(queue)]


def advance(worker: Worker, now: float, until: float) -> None:
    """Let it do everything that is due until then."""
    while (due := worker.next_action_at(now)) <= until:
        now = due
        worker.advance(now)


def busy(options: WorkerOptions, seconds: float = 100.0, **job: object) -> tuple[Worker, MemoryJobQueue]:
    """A worker that takes a job at 0 s."""
    queue = MemoryJobQueue()
    queue.submit(Job("a", seconds, **job), 0)  # type: ignore[arg-type]
    return Worker("w/1", options, queue, 0), queue


def test_every_property_of_the_model_is_in_the_table_of_its_sources_and_the_other_way_round() -> None:
    page = (TESTS.parents[1] / "docs/worker.md").read_text()
    table = re.findall(r"^\| \[([a-z ]+)\] \|", page, re.MULTILINE)
    assert table
    code = "".join(path.read_text() for path in (TESTS / "model").glob("*.py"))
    named = set(re.findall(r"(?<=[\w)`] )\[([a-z]+(?: [a-z]+)*)\]", code)) - {"word in brackets"}
    assert sorted(table) == sorted(named)


@each_mode
def test_it_takes_the_next_job_at_once_and_polls_when_idle(options: WorkerOptions) -> None:
    worker, queue = busy(options, 10)
    queue.submit(Job("b", 5), 1)
    advance(worker, 0, 19)
    assert actions(queue) == [(0, "take"), (10, "finish"), (10, "take"), (15, "finish")]
    queue.submit(Job("c", 5), 20.5)
    assert worker.next_action_at(20.5) == math.ceil(20.5 / options.poll_seconds) * options.poll_seconds


@each_mode
def test_between_two_jobs_it_is_idle_for_two_to_nine_milliseconds(options: WorkerOptions) -> None:
    queue = MemoryJobQueue()
    for number in range(50):
        queue.submit(Job(f"job-{number}", 1), 0)
    worker = Worker("w/1", replace(options, claim_seconds=CLAIM_SECONDS), queue, 0)
    advance(worker, 0, 100)
    ends = [at for at, action in actions(queue) if action == "finish"]
    begins = [at for at, action in actions(queue) if action == "take"]
    gaps = [begin - end for end, begin in zip(ends, begins[1:], strict=False)]
    assert len(gaps) > 40
    assert 0.0015 < min(gaps) < max(gaps) < 0.015


@each_mode
def test_a_job_that_is_being_picked_up_is_not_counted_unless_a_guard_drains(options: WorkerOptions) -> None:
    for guard, counted in ((None, 0), (Guard(), 1)):
        queue = MemoryJobQueue()
        queue.submit(Job("a", 1), 0)
        worker = Worker("w/1", replace(options, claim_seconds=CLAIM_SECONDS, guard=guard), queue, 0)
        worker.drain(0.0001)
        assert worker.active_jobs == counted
        worker.advance(0.02)
        assert worker.active_jobs == 1


def test_a_legacy_drain_releases_the_job_after_thirty_seconds_and_goes_on_with_it() -> None:
    worker, queue = busy(LEGACY)
    worker.drain(10)
    advance(worker, 10, 45)
    assert names(queue) == ["take", "release"]
    other = Worker("v/2", LEGACY, queue, 45)
    assert other.job == worker.job
    advance(worker, 45, 49)
    assert worker.job
    advance(worker, 49, 60)  # the heartbeat at 50 s sees another execution_attempt_id
    assert worker.job is None
    assert judge(queue, 100, "legacy").doubled == {"a": 5}


def test_a_legacy_drain_stops_taking_jobs_and_a_queue_drain_does_not() -> None:
    for options, jobs in ((LEGACY, 0), (QUEUE, 1), (guarded(LEGACY), 0), (guarded(QUEUE), 0)):
        queue = MemoryJobQueue()
        worker = Worker("w/1", options, queue, 0)
        worker.drain(1)
        queue.submit(Job("a", 100), 2)
        advance(worker, 2, 60)
        assert (worker.is_draining, worker.active_jobs) == (True, jobs)


def test_a_legacy_worker_releases_its_job_thirty_seconds_after_sigterm_and_exits() -> None:
    worker, queue = busy(LEGACY)
    worker.sigterm(10)
    advance(worker, 10, 200)
    assert names(queue) == ["take", "release", "leave"]
    assert (worker.exit_code, worker.deregistered, worker.completes_hook) == (0, True, True)


def test_a_queue_worker_exits_ten_seconds_after_sigterm_and_its_job_runs_for_ever() -> None:
    worker, queue = busy(QUEUE)
    worker.sigterm(10, "why")
    advance(worker, 10, 200)
    assert actions(queue) == [(0, "take"), (20 + QUEUE.exit_seconds, "leave")]
    Worker("v/2", QUEUE, queue, 10_000)
    assert judge(queue, 10_000, "queue").lost == {"a": "why: runs for ever"}


@pytest.mark.parametrize(("options", "action"), [(LEGACY, "release"), (QUEUE, "strand")], ids=["legacy", "queue"])
def test_a_second_sigterm_puts_a_job_back_in_legacy_mode_and_loses_it_in_queue_mode(
    options: WorkerOptions, action: str
) -> None:
    worker, queue = busy(options)
    worker.sigterm(10, "why")
    worker.sigterm(12, "why")
    advance(worker, 12, 20)
    assert names(queue) == ["take", action, "leave"]
    assert (worker.exit_code, worker.deregistered) == (1, False)
    other = Worker("v/2", options, queue, 30)
    assert (other.job is None) == (action == "strand")
    expected = {"a": "why: waits, never sent"} if action == "strand" else {}
    assert judge(queue, 40, options.mode).lost == expected


@each_mode
def test_a_guard_puts_a_job_back_so_that_another_worker_runs_it_after_the_exit(options: WorkerOptions) -> None:
    worker, queue = busy(guarded(options), 300)
    worker.drain(10)
    advance(worker, 10, 200)
    assert worker.job
    worker.sigterm(200)
    advance(worker, 200, 250)
    assert names(queue) == ["take"]
    worker.sigterm(250)
    advance(worker, 250, 251)
    assert (worker.exit_code, names(queue)) == (1, ["take", "release", "leave"])
    other = Worker("v/2", guarded(options), queue, 252)
    assert other.job is None
    advance(other, 252, 1000)
    verdict = judge(queue, 1000, options.mode)
    assert (verdict.fates, verdict.longest_overlap, verdict.put_back) == ({"finished": 1}, 0.0, 1)


@each_mode
def test_a_guard_puts_back_a_job_that_waits_for_a_person_and_the_worker_alone_does_not(options: WorkerOptions) -> None:
    for each, waits in ((guarded(options), True), (options, False)):
        worker, queue = busy(each, paused=(5, 50))
        advance(worker, 0, 10)
        assert queue.rows["a"].status == "paused"
        worker.sigterm(10, "why")
        worker.sigterm(11, "why")
        advance(worker, 11, 20)
        assert judge(queue, 20, options.mode).lost == ({} if waits else {"a": "why: paused for ever"})


@each_mode
def test_a_job_in_review_never_ends_and_is_shown_as_failed_once_a_guard_has_ended_it(options: WorkerOptions) -> None:
    worker, queue = busy(guarded(options), review=True)
    advance(worker, 0, 1e6)
    assert (worker.active_jobs, queue.rows["a"].status) == (1, "awaiting_review")
    worker.sigterm(1e6)
    worker.sigterm(1e6 + 1)
    advance(worker, 1e6 + 1, 1e6 + 9)
    assert (worker.exit_code, queue.rows["a"].status) == (1, "failed")
    assert judge(queue, 2e6, options.mode).fates == {"review": 1}


def test_a_guard_that_cannot_put_a_job_back_says_so_by_its_exit_code() -> None:
    worker, queue = busy(guarded(QUEUE))
    queue.down_until = 60
    worker.sigterm(10)
    worker.sigterm(11)
    advance(worker, 11, 30)
    assert (worker.exit_code, names(queue)) == (PUT_BACK_FAILED, ["take", "leave"])


@each_mode
def test_a_job_that_ends_in_time_is_finished_before_the_exit(options: WorkerOptions) -> None:
    worker, queue = busy(options, 15)
    worker.sigterm(10)
    advance(worker, 10, 60)
    assert names(queue) == ["take", "finish"]
    assert (worker.exit_code, worker.deregistered) == (0, True)


def test_the_job_of_a_killed_worker_needs_a_person_or_is_taken_for_completed_after_two_minutes() -> None:
    for options, at, status in (
        (LEGACY, 60, "running"),
        (LEGACY, 131, "needs_human"),
        (QUEUE, 10_000, "running"),
    ):
        worker, queue = busy(options)
        worker.kill(10, "worker crashed")
        assert Worker("v/2", options, queue, at).job is None
        assert queue.rows["a"].status == status
        assert judge(queue, at, options.mode).fates == {"gap": 1}
    worker, queue = busy(LEGACY)
    worker.kill(40, "worker crashed")
    Worker("v/2", LEGACY, queue, 300)
    assert judge(queue, 300, "legacy").gaps == {"a": "worker crashed: taken for completed"}


def test_a_starting_legacy_worker_takes_a_queued_row_that_waits_for_crashed() -> None:
    queue = MemoryJobQueue()
    queue.submit(Job("a", 10), 0, "queued")
    queue.submit(Job("b", 10), 0, "pending")
    assert Worker("w/1", LEGACY, queue, 1).job == Job("b", 10)
    assert judge(queue, 2, "legacy").upstream == {"a": f"{TAKEN_FOR_CRASHED}: needs_human"}


def test_two_legacy_workers_may_claim_one_job_until_it_runs_and_a_guard_prevents_it() -> None:
    for options, twice in ((LEGACY, True), (guarded(LEGACY), False)):
        queue = MemoryJobQueue()
        queue.submit(Job("a", 100), 0)
        slow = replace(options, running_seconds=200.0)
        first, second = Worker("v/1", slow, queue, 0), Worker("w/2", slow, queue, 0)
        advance(first, 0, 0.2)
        assert (first.job is not None, second.job is not None) == (True, twice)
        advance(first, 0.2, 15)
        verdict = judge(queue, 15, "legacy")
        assert (verdict.claimed_twice, verdict.doubled) == ({"a": 10.0} if twice else {}, {})


def test_branch_main_claims_a_row_whatever_its_status_and_branch_staging_does_not() -> None:
    for branch, runs in (("staging", False), ("main", True)):
        queue = MemoryJobQueue(branch)  # type: ignore[arg-type]
        queue.submit(Job("a", 100), 0)
        queue.rows["a"].status = "failed"
        assert (Worker("w/1", QUEUE, queue, 0).job is not None) == runs


@pytest.mark.parametrize("options", [LEGACY, QUEUE], ids=["legacy", "queue"])
def test_a_second_worker_on_the_port_dies_with_the_job_that_it_claimed(options: WorkerOptions) -> None:
    queue = MemoryJobQueue()
    queue.submit(Job("a", 100), 0)
    worker = Worker("w/2", options, queue, 0, port_is_taken=True)
    assert worker.exit_code == 1
    Worker("v/3", options, queue, 500)
    state = "needs_human" if options is LEGACY else "waits, never sent"
    assert judge(queue, 500, options.mode).upstream == {"a": f"port taken: {state}"}


def test_valet_fails_a_long_job_of_an_instance_that_it_does_not_see_unless_it_is_draining() -> None:
    for drains, at, status in ((False, 400, "failed"), (True, 400, "running"), (False, 200, "running")):
        worker, queue = busy(QUEUE, 600)
        if drains:
            worker.drain(100)
        queue.sweep("w", at)
        assert queue.rows["a"].status == status
        advance(worker, at, 700)
        assert judge(queue, 700, "queue").fates == {"finished": 1}
        assert judge(queue, 700, "queue").shown_failed == (status == "failed")


@each_mode
def test_a_worker_that_drains_by_itself_finishes_its_job(options: WorkerOptions) -> None:
    for drain in (Worker.drain, Worker.sigterm):
        worker, queue = busy(replace(options, drains_itself=True), 1000)
        queue.submit(Job("b", 1), 5)
        drain(worker, 10)
        advance(worker, 10, 2000)
        assert names(queue) == ["take", "finish"]
