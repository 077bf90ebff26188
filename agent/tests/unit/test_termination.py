"""What became of the job, after every end of the worker's process."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from ghosthands_agent.ports import Guard, WorkerStatus
from ghosthands_agent.termination import Job, Process, worker_stop_timeout
from model.agent_conf import SETTINGS

IDLE = WorkerStatus("w", "i", 0, True, False, "queue")
GUARD = Guard(True, job="a-job")
SOON, LATE = 2.0, 31.0


def status(mode: Literal["queue", "legacy"], guard: Guard | None, *, busy: bool, draining: bool = True) -> WorkerStatus:
    return replace(IDLE, dispatch_mode=mode, active_jobs=int(busy), is_draining=draining, guard=guard)


@pytest.mark.parametrize("guard", [None, GUARD])
@pytest.mark.parametrize("mode", ["queue", "legacy"])
@pytest.mark.parametrize("exit_code", [0, 1, 70, 137, None])
def test_a_worker_that_was_idle_after_the_signal_had_no_job(
    mode: Literal["queue", "legacy"], guard: Guard | None, exit_code: int | None
) -> None:
    process = Process(signals=1)
    process.read(status(mode, guard, busy=False), 1.0)
    assert process.job_after_exit(exit_code, LATE) == "none"


@pytest.mark.parametrize(
    ("mode", "guard", "exit_code", "job"),
    [
        ("queue", GUARD, 0, "none"),
        ("queue", GUARD, 1, "put_back"),
        ("queue", replace(GUARD, job_status="awaiting_review"), 1, "left_for_review"),
        ("queue", replace(GUARD, job_status="awaiting_review"), 70, "lost"),
        ("queue", GUARD, 70, "lost"),
        ("queue", GUARD, 137, "lost"),
        ("queue", GUARD, None, "lost"),
        ("legacy", GUARD, 0, "none"),
        ("legacy", GUARD, 1, "put_back"),
        ("legacy", None, 0, "put_back"),
        ("legacy", None, 1, "put_back"),
        ("legacy", None, 137, "lost"),
        ("queue", None, 0, "lost"),
        ("queue", None, 1, "lost"),
        ("queue", Guard(False), 1, "lost"),
        ("queue", replace(GUARD, attached=False, job_status="awaiting_review"), 1, "lost"),
    ],
)
def test_a_job_that_was_inside_when_the_worker_last_answered(
    mode: Literal["queue", "legacy"], guard: Guard | None, exit_code: int | None, job: Job
) -> None:
    process = Process(signals=1)
    process.read(status(mode, guard, busy=True), 1.0)
    assert process.job_after_exit(exit_code, LATE) == job


@pytest.mark.parametrize("mode", ["queue", "legacy"])
@pytest.mark.parametrize("guard", [None, GUARD])
@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_busy_worker_that_ended_though_nobody_asked_it_to_has_lost_its_job(
    mode: Literal["queue", "legacy"], guard: Guard | None, exit_code: int
) -> None:
    process = Process(gone=True)
    process.read(status(mode, guard, busy=True, draining=False), 1.0)
    process.signal(5.0)  # to a process that had ended: it counts for nothing
    assert process.job_after_exit(exit_code, LATE) == "lost"


@pytest.mark.parametrize(
    ("last", "exit_code", "at", "job"),
    [
        (status("queue", None, busy=False, draining=False), 0, SOON, "none"),
        (status("queue", None, busy=False, draining=False), 0, LATE, "lost"),
        (status("queue", None, busy=False, draining=False), 1, SOON, "lost"),
        (status("queue", None, busy=False, draining=False), 137, LATE, "lost"),
        (status("legacy", None, busy=False), 1, LATE, "none"),
        (status("legacy", None, busy=False), 137, LATE, "lost"),
        (status("queue", GUARD, busy=False), 137, LATE, "none"),
        (status("queue", GUARD, busy=False, draining=False), 0, LATE, "none"),
        (status("queue", GUARD, busy=False, draining=False), 137, LATE, "lost"),
        (None, 0, SOON, "none"),
        (None, 0, LATE, "lost"),
        (None, 143, SOON, "none"),
        (None, 137, LATE, "lost"),
    ],
)
def test_a_worker_that_did_not_answer_after_the_signal_had_no_job_only_if_that_is_certain(
    last: WorkerStatus | None, exit_code: int, at: float, job: Job
) -> None:
    process = Process(last)
    process.signal(0.0)
    assert process.job_after_exit(exit_code, at) == job


@pytest.mark.parametrize(
    ("mode", "signalled_at", "at", "job"),
    [
        ("queue", None, 107.0, "none"),
        ("queue", None, 109.0, "lost"),
        ("queue", 100.5, 108.4, "none"),
        ("queue", 100.5, 108.6, "lost"),
        ("queue", 150.0, 151.0, "lost"),  # it was draining before: somebody else's signal may have ended it
        ("legacy", None, 127.0, "none"),
        ("legacy", None, 130.0, "put_back"),
        ("legacy", 150.0, 157.0, "put_back"),  # a drain counts as well
    ],
)
def test_a_busy_worker_that_exits_0_before_it_gives_up_its_job_has_finished_it(
    mode: Literal["queue", "legacy"], signalled_at: float | None, at: float, job: Job
) -> None:
    """Schedule 1978 of seed 2027: dockerd was restarted, and its signal ended the worker."""
    process = Process()
    process.read(status(mode, None, busy=True, draining=False), 100.0)
    process.read(status(mode, None, busy=True), 101.0)
    if signalled_at is not None:
        process.signal(signalled_at)
    assert process.job_after_exit(0, at) == job


@pytest.mark.parametrize(("guard", "idle_at", "certain"), [(GUARD, 0.0, True), (None, 98.0, True), (None, 90.0, False)])
def test_without_a_guard_only_a_job_that_has_just_begun_is_certainly_put_back(
    guard: Guard | None, idle_at: float, certain: bool
) -> None:
    """A second SIGTERM leaves a job that waits for a person where it is."""
    process = Process()
    process.read(status("legacy", guard, busy=False), idle_at)
    process.read(status("legacy", guard, busy=True), 99.0)
    process.signal(100.0)
    process.signal(100.1)
    assert (process.job_after_exit(1, SOON), process.surely_puts_back) == ("put_back", certain)


@pytest.mark.parametrize(
    ("before", "elapsed", "after", "replaced"),
    [
        (500.0, 5.0, 505.1, False),
        (500.0, 5.0, 2.0, True),
        (500.0, 0.3, 0.1, True),
        (0.1, 0.3, 0.4, False),
        (500.0, 5.0, 4105.0, False),  # the clock was set forward
        (500.0, 5.0, 445.0, False),  # set back
        (500.0, 5.0, -3095.0, False),
        (-3000.0, 5.0, 2.0, True),  # set back earlier
        (-3000.0, 5.0, -2995.0, False),
        (None, 5.0, 2.0, False),
        (500.0, 5.0, None, False),
    ],
)
def test_a_process_is_another_one_if_its_uptime_says_that_it_began_since(
    before: float | None, elapsed: float, after: float | None, replaced: bool
) -> None:
    process = Process()
    process.read(replace(IDLE, uptime=before), 100.0)
    assert process.is_replaced_by(replace(IDLE, uptime=after), 100.0 + elapsed) == replaced


def test_a_worker_that_was_down_before_anybody_looked_had_no_job() -> None:
    assert Process(gone=True).job_after_exit(137, LATE) == "none"


def test_one_sigterm_of_somebody_else_leaves_a_worker_with_a_guard_the_time_for_its_job() -> None:
    assert worker_stop_timeout(SETTINGS) == SETTINGS.drain_limit_seconds
    assert worker_stop_timeout(replace(SETTINGS, worker_guard="off")) == SETTINGS.stop_grace_seconds
    assert worker_stop_timeout(replace(SETTINGS, worker_guard="off", stop_grace_seconds=5)) == 40
    sigterm = replace(SETTINGS, worker_guard="off", drain_policy="sigterm")
    assert worker_stop_timeout(sigterm) == SETTINGS.drain_limit_seconds
