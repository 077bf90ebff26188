"""Drains: no job is lost or runs twice, the hook is kept alive and completed once, also if the agent is killed.

In virtual time.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Literal

import pytest
from ghosthands_agent.drain import next_step, request_drain
from ghosthands_agent.ports import BootRecord, Flag, Ports, Refused, Service, Task, Unavailable, WorkerStatus
from ghosthands_agent.ports import Guard as Report
from ghosthands_agent.settings import Settings
from ghosthands_agent.watch import watch
from model.agent_conf import SETTINGS
from model.worker import Guard, WorkerOptions
from unit.simulated_instance import INSTANCE_ID, SimulatedInstance

HOOK = SETTINGS.termination_hook
CONTINUED, ABANDONED = [(HOOK, "CONTINUE")], [(HOOK, "ABANDON")]
Mode = Literal["legacy", "queue"]
MODES: tuple[Mode, ...] = ("legacy", "queue")
each_mode = pytest.mark.parametrize("mode", MODES)
BUSY = Unavailable("autoscaling", "Throttling")
TRUSTED = replace(SETTINGS, worker_guard="off")  # so that the policies http and sigterm trust the worker
ATTACHED, ABSENT = Guard(), Guard(attached=False, works=False)


def serving(
    mode: Mode = "queue",
    *,
    job_seconds: float | None = None,
    settings: Settings = SETTINGS,
    drains_itself: bool = False,
    guard: Guard | None = None,
) -> SimulatedInstance:
    """An instance with a running worker."""
    instance = SimulatedInstance(settings)
    instance.start_worker(mode, job_seconds=job_seconds, drains_itself=drains_itself, guard=guard)
    return instance


def guarded(
    mode: Mode = "queue", *, job_seconds: float | None = None, settings: Settings = SETTINGS
) -> SimulatedInstance:
    """An instance whose worker runs with a guard."""
    return serving(mode, job_seconds=job_seconds, settings=settings, guard=ATTACHED)


def outcome(instance: SimulatedInstance) -> tuple[object, list[str], int]:
    """The hook's completions, the journal's lines about a job, and how often the worker was signalled."""
    events = [event for _, event, _ in instance.journal if event.startswith("job_")]
    return instance.completions, events, instance.container.signals


def followed(instance: SimulatedInstance, seconds: float) -> SimulatedInstance:
    instance.follow(watch(instance.ports(), instance.settings), seconds)
    return instance


def terminated(instance: SimulatedInstance, seconds: float) -> SimulatedInstance:
    """Terminate the instance and run `watch` for some time."""
    instance.terminate()
    return followed(instance, seconds)


def status(mode: Mode, busy: bool, draining: bool, guard: Report | None = None) -> WorkerStatus:
    return WorkerStatus(INSTANCE_ID, INSTANCE_ID, int(busy), not draining, draining, mode, guard)


@pytest.mark.parametrize(
    ("policy", "mode", "busy", "draining", "step"),
    [
        ("wait_idle", "legacy", True, False, "wait"),
        ("wait_idle", "legacy", False, False, "post"),
        ("wait_idle", "legacy", False, True, "stop"),
        ("wait_idle", "legacy", True, True, "stop"),
        ("wait_idle", "queue", True, False, "wait"),
        ("wait_idle", "queue", True, True, "wait"),
        ("wait_idle", "queue", False, False, "confirm"),
        ("wait_idle", "queue", False, True, "confirm"),
        ("http", "legacy", True, False, "post"),
        ("http", "queue", True, True, "wait"),
        ("http", "legacy", False, True, "stop"),
        ("sigterm", "queue", True, False, "stop"),
        ("sigterm", "legacy", False, False, "stop"),
    ],
)
def test_the_next_step_for_every_status(policy: str, mode: Mode, busy: bool, draining: bool, step: str) -> None:
    assert next_step(policy, status(mode, busy, draining)) == step


@each_mode
@pytest.mark.parametrize("policy", ["wait_idle", "http"])
@pytest.mark.parametrize(
    ("busy", "draining", "step"),
    [(True, False, "post"), (False, False, "post"), (True, True, "wait"), (False, True, "stop")],
)
def test_with_a_guard_every_step_is_safe_in_both_modes(
    mode: Mode, policy: str, busy: bool, draining: bool, step: str
) -> None:
    assert next_step(policy, status(mode, busy, draining, Report(True))) == step
    assert next_step("wait_idle", status(mode, busy, draining, Report(False))) == next_step(
        "wait_idle", status(mode, busy, draining)
    )


# --- ordinary drains ------------------------------------------------------------------------------------------------


@each_mode
def test_the_hook_of_an_idle_worker_is_completed_within_two_seconds(mode: Mode) -> None:
    instance = serving(mode)
    instance.terminate()
    began = instance.now
    followed(instance, 5)
    assert (
        instance.completions,
        instance.container.state,
        instance.container.exit_code,
        instance.container.signals,
    ) == (
        CONTINUED,
        "exited",
        0,
        1,
    )
    (completed,) = [moment for moment, event, _ in instance.journal if event == "hook_completed"]
    assert completed - began < 2


@each_mode
@pytest.mark.parametrize("guard", [None, ATTACHED])
def test_a_job_is_finished_first_and_the_hook_completed_within_two_seconds_after_it(
    mode: Mode, guard: Guard | None
) -> None:
    instance = terminated(serving(mode, job_seconds=1700, guard=guard), 1699)
    assert (instance.completions, instance.job_results) == ([], [])
    followed(instance, 3)
    assert (instance.completions, instance.job_results) == (CONTINUED, ["finished"])


@each_mode
def test_with_a_guard_a_busy_worker_is_drained_at_once_and_takes_no_further_job(mode: Mode) -> None:
    instance = guarded(mode, job_seconds=100)
    for _ in range(5):
        instance.submit_job(100)
    instance.terminate()
    assert followed(instance, 2).worker.draining
    followed(instance, 110)
    assert (outcome(instance), instance.job_results) == ((CONTINUED, [], 1), ["finished"])


def test_the_drain_says_whether_there_is_a_guard() -> None:
    assert terminated(guarded(), 5).steps("guard") == [{"attached": True, "reason": ""}]
    reasons = (
        ("the worker's status has no drain_guard", None),
        ("The worker's JobPoller has no method tryPickup.", ABSENT),
    )
    for reason, guard in reasons:
        assert terminated(serving(guard=guard), 5).steps("guard") == [{"attached": False, "reason": reason}]
    off = replace(SETTINGS, worker_guard="off")
    assert terminated(serving(settings=off), 5).steps("guard") == [{"attached": False, "reason": "off"}]


def test_a_long_drain_names_the_job_that_it_waits_for_every_minute() -> None:
    instance = guarded()
    instance.submit_job(100, review=True)
    lines = terminated(instance, 605).steps("drain_progress")
    assert len(lines) == 10
    assert lines[4] == {
        "waited": 300,
        "seconds_left": 1800,
        "busy": True,
        "job": "job-1",
        "job_status": "awaiting_review",
    }


def test_everything_is_down_afterwards() -> None:
    assert not terminated(serving(), 10).host.others_run


def test_the_hook_of_an_instance_without_a_worker_is_completed_at_once() -> None:
    assert terminated(SimulatedInstance(), 3).completions == CONTINUED


def test_a_restarting_worker_is_stopped() -> None:
    instance = serving()
    instance.delay = lambda shortest, longest: 5.0  # type: ignore[method-assign]
    instance.host.crash_worker()
    assert instance.container.state == "restarting"
    assert terminated(instance, 30).completions == CONTINUED
    assert (instance.container.state, instance.container.starts) == ("exited", 1)


def test_a_worker_that_is_only_starting_is_waited_for() -> None:
    instance = serving()
    instance.host.worker_hangs_until = instance.now + 20
    terminated(instance, 15)
    assert instance.completions == []
    assert followed(instance, 10).completions == CONTINUED
    assert instance.container.exit_code == 0


def redeployed(instance: SimulatedInstance, times: int) -> Ports:
    """The instance's ports; a deployment under way starts a worker again when the old one is down."""
    ports = instance.ports()
    flush = ports.logs.flush
    deployments = iter(range(times))

    def deploy_then_flush() -> Task[None]:
        if next(deployments, None) is not None:
            instance.host.compose_up()
            instance.after(0.01, instance.submit_job, 50)
        return flush()

    ports.logs.flush = deploy_then_flush  # type: ignore[method-assign]
    return ports


def test_a_worker_started_by_a_deployment_is_drained_as_well() -> None:
    instance = serving()
    instance.terminate()
    procedure = watch(redeployed(instance, times=1), SETTINGS)
    instance.follow(procedure, 40)
    assert instance.completions == []
    instance.follow(procedure, 30)
    assert (instance.completions, instance.job_results) == (CONTINUED, ["finished"])


def test_a_worker_that_is_started_again_and_again_makes_the_agent_abandon_the_hook() -> None:
    instance = serving()
    instance.terminate()
    instance.follow(watch(redeployed(instance, times=100), SETTINGS), 300)
    assert instance.completions == ABANDONED


def test_a_worker_that_replaces_the_guarded_one_is_judged_by_its_own_status() -> None:
    """deploy-server starts a raw container, which has no guard."""
    instance = guarded(job_seconds=1000)
    instance.terminate()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 20)

    def replace_worker() -> None:
        instance.host.kill_worker("deployment")
        instance.worker_options = WorkerOptions("queue")
        instance.host.compose_up()
        instance.submit_job(200)

    replace_worker()
    instance.follow(procedure, 190)
    assert (instance.completions, instance.container.signals) == ([], 0)
    instance.follow(procedure, 20)
    assert [line["attached"] for line in instance.steps("guard")] == [True, False]
    assert instance.steps("job_lost") == [{"job": "job-1", "exit_code": None, "guarded": True, "certain": True}]
    assert instance.completions == ABANDONED


def test_the_exit_code_of_a_container_that_a_deployment_has_only_created_is_not_the_workers() -> None:
    instance = guarded(job_seconds=1000)
    instance.terminate()
    ports = instance.ports()
    procedure = watch(ports, SETTINGS)
    instance.follow(procedure, 20)
    instance.host.kill_worker("deployment")
    instance.container.stopped_by_hand = True
    ports.compose.services = lambda: {"worker": Service("created", 0)}  # type: ignore[method-assign]
    instance.follow(procedure, 5)
    assert outcome(instance)[:2] == (ABANDONED, ["job_lost"])


@pytest.mark.parametrize("guard", [None, ATTACHED])
def test_a_worker_that_docker_does_not_know_is_waited_for_and_never_counts_as_clean(guard: Guard | None) -> None:
    instance = serving(job_seconds=300, guard=guard)
    ports = instance.ports()
    ports.compose.services = dict  # type: ignore[method-assign]
    instance.terminate()
    procedure = watch(ports, SETTINGS)
    instance.follow(procedure, 290)
    assert (instance.completions, instance.worker.job is not None) == ([], True)
    ports.compose.terminate = lambda service: None  # type: ignore[method-assign]
    instance.follow(procedure, 60)
    assert instance.completions == ABANDONED


@each_mode
@pytest.mark.parametrize("outage", [0, 5])
def test_a_worker_that_crashes_and_is_started_again_during_its_drain_has_lost_its_job(mode: Mode, outage: int) -> None:
    """Schedule 2682 of seed 2027; also if the agent is inside a call meanwhile."""
    instance = serving(mode, job_seconds=1000)
    instance.terminate()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 20)
    instance.host.crash_worker()
    instance.advance(outage)
    instance.follow(procedure, 10)
    assert (instance.container.starts, instance.completions) == (2, ABANDONED)
    assert instance.steps("job_lost") == [{"job": None, "exit_code": None, "guarded": False, "certain": True}]


@pytest.mark.parametrize("jump", [-3600, -30, -5, 5, 3600])
def test_a_worker_is_the_same_when_the_clock_is_set(jump: float) -> None:
    """Schedule 24 of seed 2027."""
    instance = serving(job_seconds=60)
    instance.terminate()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 20)
    instance.wall_jump = jump
    instance.follow(procedure, 50)
    assert outcome(instance) == (CONTINUED, [], 1)


def test_while_docker_is_down_a_job_is_put_back_by_signals_to_the_process_itself() -> None:
    """Schedule 3937 of seed 2027: docker was restarted during a spot notice, and waited for the job."""
    instance = guarded(job_seconds=1000)
    instance.host.stop_grace_seconds = 2100
    instance.host.spot_action = "terminate"
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 60)
    instance.host.restart_docker(20)
    instance.follow(procedure, 40)
    assert (instance.job_results, instance.host.docker_up) == (["released"], False)


def test_a_deployment_whose_worker_is_down_already_is_stopped_before_the_hook_is_completed() -> None:
    """Schedule 5719 of seed 2027."""
    instance = serving()
    instance.delay = lambda shortest, longest: 3.0  # type: ignore[method-assign]
    instance.host.deploy()
    instance.advance(3.8)  # deploy-server starts the next worker in 0.2 s
    terminated(instance, 20)
    assert (instance.host.worker, instance.host.others_run, instance.completions) == (None, False, CONTINUED)


@each_mode
def test_with_a_guard_a_worker_that_crashes_during_its_drain_has_lost_its_job(mode: Mode) -> None:
    instance = guarded(mode, job_seconds=1000)
    instance.after(100, instance.host.crash_worker)
    assert outcome(terminated(instance, 120)) == (ABANDONED, ["job_lost"], 1)


# --- races ------------------------------------------------------------------------------------------------------------


def test_legacy_a_job_taken_just_before_the_drain_is_released_at_once_and_not_run_twice() -> None:
    instance = serving("legacy")
    instance.terminate()
    ports = instance.ports()
    drain_call = ports.worker.drain

    def drain() -> None:
        instance.submit_job(500)
        drain_call()

    ports.worker.drain = drain  # type: ignore[method-assign]
    instance.follow(watch(ports, SETTINGS), 5)
    assert (instance.completions, instance.job_results, instance.container.exit_code, instance.container.signals) == (
        CONTINUED,
        ["released"],
        1,
        2,
    )


def test_queue_a_job_taken_before_the_second_status_is_waited_for() -> None:
    instance = serving("queue")
    instance.terminate()
    ports = instance.ports()
    calls = itertools.count()
    status_call = ports.worker.status

    def status() -> WorkerStatus:
        if next(calls) == 1:
            instance.submit_job(300)
        return status_call()

    ports.worker.status = status  # type: ignore[method-assign]
    instance.follow(watch(ports, SETTINGS), 290)
    assert (instance.completions, instance.container.signals) == ([], 0)
    instance.follow(watch(ports, SETTINGS), 20)
    assert (instance.completions, instance.job_results) == (CONTINUED, ["finished"])


@pytest.mark.parametrize(("job_seconds", "result"), [(300, (ABANDONED, ["job_lost"], 1)), (5, (CONTINUED, [], 1))])
def test_queue_a_job_taken_just_before_the_signal_has_ten_seconds_and_gets_no_second_signal(
    job_seconds: float, result: object
) -> None:
    instance = serving("queue")
    instance.terminate()
    ports = instance.ports()
    terminate_call = ports.compose.terminate

    def terminate(service: str) -> None:
        instance.submit_job(job_seconds)
        terminate_call(service)

    ports.compose.terminate = terminate  # type: ignore[method-assign]
    instance.follow(watch(ports, SETTINGS), 15)
    assert outcome(instance) == result


def test_queue_a_signal_whose_answer_was_lost_is_not_repeated() -> None:
    instance = serving("queue")
    instance.terminate()
    ports = instance.ports()
    terminate_call = ports.compose.terminate

    def terminate(service: str) -> None:
        instance.submit_job(300)
        terminate_call(service)
        raise Unavailable("docker kill", "Timeout")

    ports.compose.terminate = terminate  # type: ignore[method-assign]
    instance.follow(watch(ports, SETTINGS), 15)
    assert outcome(instance) == (ABANDONED, ["job_lost"], 1)


@each_mode
def test_with_a_guard_a_job_taken_just_before_the_drain_is_finished(mode: Mode) -> None:
    instance = guarded(mode)
    instance.terminate()
    ports = instance.ports()
    drain_call = ports.worker.drain

    def drain() -> None:
        instance.submit_job(500)
        drain_call()

    ports.worker.drain = drain  # type: ignore[method-assign]
    instance.follow(watch(ports, SETTINGS), 510)
    assert (outcome(instance), instance.job_results) == ((CONTINUED, [], 1), ["finished"])


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "result"), [("legacy", (["job_put_back"], 2)), ("queue", (["job_lost"], 1))])
def test_a_job_that_never_ends_is_cut_off_at_the_limit_and_the_hook_abandoned(mode: Mode, result: object) -> None:
    """Legacy: put back by a second signal, unless it waited for a review, which is not known without a guard."""
    instance = terminated(serving(mode, job_seconds=1e6), 2095)
    assert (instance.completions, instance.container.state) == ([], "running")
    followed(instance, 20)
    assert outcome(instance) == (ABANDONED, *result)  # type: ignore[misc]


@each_mode
def test_with_a_guard_a_job_that_never_ends_is_put_back_at_the_limit_and_the_hook_continued(mode: Mode) -> None:
    instance = terminated(guarded(mode, job_seconds=1e6), 2095)
    assert (instance.completions, instance.container.state) == ([], "running")
    followed(instance, 10)
    assert (outcome(instance), instance.job_results) == ((CONTINUED, ["job_put_back"], 2), ["released"])
    assert instance.steps("job_put_back") == [{"job": "job-1", "exit_code": 1, "guarded": True, "certain": True}]


@each_mode
def test_a_job_that_waits_for_a_review_at_the_limit_is_left_for_it_and_the_hook_continued(mode: Mode) -> None:
    instance = guarded(mode)
    instance.submit_job(100, review=True)
    terminated(instance, 2110)
    assert outcome(instance) == (CONTINUED, ["job_left_for_review"], 2)
    assert instance.steps("job_left_for_review")[0]["job"] == "job-1"


@each_mode
def test_a_job_that_was_cancelled_during_its_review_is_not_waited_for(mode: Mode) -> None:
    """The worker stays busy with it for ever."""
    instance = guarded(mode)
    instance.submit_job(100, review=True)
    instance.after(300, lambda: instance.jobs.write("job-1", "cancelled", instance.now))
    terminated(instance, 400)
    assert outcome(instance) == (CONTINUED, [], 2)
    (stop,) = instance.steps("worker_stop")
    assert (stop["reason"], round(float(str(stop["waited"])), -1)) == ("job_over", 360)


@each_mode
def test_a_job_that_the_guard_cannot_put_back_is_lost_and_the_hook_abandoned(mode: Mode) -> None:
    instance = guarded(mode, job_seconds=1e6)
    instance.terminate()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 2095)
    instance.worker.sigterm = lambda now, reason="": instance.worker._exit(70, reason, now)  # type: ignore[method-assign]
    instance.follow(procedure, 20)
    assert outcome(instance) == (ABANDONED, ["job_lost"], 1)
    assert instance.steps("job_lost") == [{"job": "job-1", "exit_code": 70, "guarded": True, "certain": True}]


@each_mode
@pytest.mark.parametrize("guard", [None, ATTACHED])
def test_the_limit_counts_from_the_first_sight_also_after_restarts(mode: Mode, guard: Guard | None) -> None:
    instance = serving(mode, job_seconds=1e6, guard=guard)
    instance.terminate()
    for _ in range(21):
        followed(instance, 95)
        instance.advance(5)
    assert followed(instance, 20).completions == (CONTINUED if guard else ABANDONED)


def test_a_worker_that_hangs_is_killed_at_the_limit_and_the_hook_abandoned() -> None:
    instance = serving(job_seconds=1e6)
    instance.host.worker_hangs_until = math.inf
    instance.worker.ignores_sigterm = True
    instance.terminate()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 2100 + SETTINGS.stop_grace_seconds - 5)
    assert instance.container.state == "running"
    instance.follow(procedure, 10)
    assert (instance.completions, instance.container.exit_code) == (ABANDONED, 137)


def test_an_idle_worker_that_ignores_sigterm_is_killed_after_its_grace_and_the_hook_completed() -> None:
    instance = serving()
    instance.worker.ignores_sigterm = True
    terminated(instance, SETTINGS.stop_grace_seconds - 1)
    assert instance.container.state == "running"
    followed(instance, SETTINGS.stop_grace_seconds + 5)
    assert (instance.completions, instance.container.exit_code) == (CONTINUED, 137)


def test_a_docker_that_never_says_that_the_worker_is_down_abandons_the_hook() -> None:
    instance = serving(job_seconds=10)
    instance.faults["services"] = [Unavailable("docker", "exit 1")] * 100_000
    assert terminated(instance, 400).completions == ABANDONED


def test_with_a_guard_a_spot_notice_puts_the_job_back_within_its_two_minutes() -> None:
    instance = guarded(job_seconds=1e6)
    instance.host.spot_action = "terminate"
    followed(instance, 109)
    assert (instance.job_results, instance.container.state, instance.completions) == (["released"], "exited", [])


def test_without_a_guard_a_spot_notice_ends_the_worker_within_its_two_minutes_and_says_what_it_cost() -> None:
    instance = serving(job_seconds=1e6)
    instance.host.spot_action = "terminate"
    followed(instance, 109)
    assert (outcome(instance), instance.container.state) == (([], ["job_lost"], 1), "exited")


def test_a_spot_notice_shortens_a_drain_whose_worker_has_its_signal_already() -> None:
    settings = replace(SETTINGS, drain_policy="sigterm")
    instance = serving(job_seconds=1e6, settings=settings, guard=ATTACHED)
    instance.after(300, lambda: setattr(instance.host, "spot_action", "terminate"))
    terminated(instance, 300 + 120)
    assert (outcome(instance), instance.job_results) == ((CONTINUED, ["job_put_back"], 2), ["released"])


def test_a_spot_notice_shortens_a_drain_that_is_under_way() -> None:
    instance = guarded(job_seconds=1e6)
    instance.after(300, lambda: setattr(instance.host, "spot_action", "terminate"))
    terminated(instance, 300 + 110)
    assert (instance.job_results, instance.completions) == (["released"], CONTINUED)


# --- the hook ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [30, 300, 7200])
def test_a_heartbeat_is_sent_every_third_of_the_timeout(timeout: int) -> None:
    instance = serving(job_seconds=2000, settings=replace(SETTINGS, heartbeat_timeout_seconds=timeout))
    terminated(instance, 2010)
    assert (instance.completions, instance.timed_out) == (CONTINUED, [])
    gaps = [later - earlier for earlier, later in zip(instance.heartbeats, instance.heartbeats[1:], strict=False)]
    assert all(timeout / 3 <= gap <= timeout / 3 + 1 for gap in gaps)


def test_the_first_heartbeat_is_sent_at_once() -> None:
    instance = serving(job_seconds=100)
    instance.terminate()
    began = instance.now
    assert followed(instance, 3).heartbeats[0] - began < 1


def test_a_failed_heartbeat_is_repeated_in_time() -> None:
    instance = serving(job_seconds=600)
    instance.faults["heartbeat"] = [BUSY] * 20
    terminated(instance, 610)
    assert (instance.completions, instance.timed_out) == (CONTINUED, [])


def test_heartbeats_go_on_while_a_worker_takes_long_to_exit() -> None:
    settings = replace(TRUSTED, drain_policy="sigterm", heartbeat_timeout_seconds=60)
    instance = serving(settings=settings, job_seconds=1500, drains_itself=True)
    terminated(instance, 1510)
    assert (instance.completions, instance.timed_out) == (CONTINUED, [])


def test_a_completion_whose_answer_was_lost_is_not_repeated_forever() -> None:
    instance = serving()
    instance.lost_answers["complete"] = 1
    terminated(instance, 10)
    assert instance.completions == CONTINUED
    assert instance.steps("hook_completed") == [{"result": "already"}]


def test_a_completion_is_repeated_until_it_succeeds_or_the_hook_times_out() -> None:
    instance = serving()
    instance.faults["complete"] = [BUSY] * 40
    assert terminated(instance, 280).completions == CONTINUED
    instance = serving()
    instance.faults["complete"] = [BUSY] * 1000
    terminated(instance, 1000)
    assert (instance.completions, instance.timed_out, len(instance.steps("hook_left_to_its_default"))) == (
        [],
        [HOOK],
        1,
    )


def test_a_spot_notice_after_the_hook_was_completed_does_not_complete_it_again() -> None:
    instance = serving()
    instance.after(20, lambda: setattr(instance.host, "spot_action", "terminate"))
    assert terminated(instance, 60).called.count("complete") == 1


def test_a_completed_hook_gets_no_further_calls() -> None:
    instance = terminated(serving(), 1000)
    assert (instance.called.count("complete"), instance.called.count("heartbeat")) == (1, 1)


def test_a_target_state_seen_before_the_hook_waits_does_not_leave_the_hook_waiting() -> None:
    instance = SimulatedInstance(target="Terminated")
    instance.after(10, instance.terminate)
    assert followed(instance, 20).completions == CONTINUED


def test_the_completion_has_its_own_time_after_the_drains_limit() -> None:
    instance = serving(job_seconds=1e6)
    instance.faults["complete"] = [BUSY] * 20
    assert terminated(instance, 2100 + 100).completions == ABANDONED


@pytest.mark.parametrize(
    "call",
    [
        "target_state",
        "marks",
        "set_flag",
        "spot_action",
        "status",
        "services",
        "boot_record",
        "drain",
        "terminate",
        "stop",
        "clear_flag",
    ],
)
def test_a_call_that_fails_for_a_while_only_delays_the_completion(call: str) -> None:
    instance = serving("legacy")
    instance.terminate()
    instance.faults[call] = [Unavailable(call, "Timeout")] * 8
    assert followed(instance, 30).completions == CONTINUED


# --- requested drains -------------------------------------------------------------------------------------------------


def test_a_requested_drain_stops_the_worker_and_leaves_the_hook_alone() -> None:
    instance = serving(job_seconds=50)
    instance.host.flags["requested"] = instance.now
    followed(instance, 60)
    assert (instance.container.state, instance.job_results, instance.called.count("complete"), instance.heartbeats) == (
        "exited",
        ["finished"],
        0,
        [],
    )


def test_the_verb_drain_sets_a_flag_and_waits_until_the_worker_is_down() -> None:
    instance = serving()
    instance.after(40, instance.host.stop_container, "stopped by somebody", 10.0)
    assert instance.run(request_drain(instance.ports(), SETTINGS), 60) == 0
    assert "requested" in instance.host.flags
    assert len(instance.steps("draining")) == 2


def test_the_verb_drain_fails_if_the_worker_is_not_down_in_time() -> None:
    instance = serving()
    instance.faults["set_flag"] = [Unavailable("flags", "ENOSPC")] * 3
    assert instance.run(request_drain(instance.ports(), SETTINGS), 10_000) == 1


def test_a_hook_after_a_requested_drain_is_completed_at_once() -> None:
    instance = serving()
    instance.host.flags["requested"] = instance.now
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 100)
    instance.terminate()
    instance.follow(procedure, 3)
    assert instance.completions == CONTINUED


def test_a_hook_during_a_requested_drain_is_kept_alive_and_completed() -> None:
    instance = serving(job_seconds=1000)
    instance.host.flags["requested"] = instance.now
    instance.after(10, instance.terminate)
    followed(instance, 1010)
    assert (instance.completions, instance.job_results, instance.timed_out) == (CONTINUED, ["finished"], [])


def test_a_drain_waits_for_a_running_boot_to_withdraw_but_not_long_for_one_that_was_killed() -> None:
    running = BootRecord("running", "start", "", 0, 0.0, {})
    instance = SimulatedInstance(boot_record=running)
    instance.after(5, lambda: setattr(instance.host, "boot_record", replace(running, state="withdrawn")))
    terminated(instance, 4)
    assert instance.completions == []
    assert followed(instance, 5).completions == CONTINUED
    assert terminated(SimulatedInstance(boot_record=running), 25).completions == CONTINUED


def test_a_worker_with_a_guard_is_drained_while_its_boot_is_waited_for() -> None:
    instance = guarded(job_seconds=1000)
    instance.host.boot_record = BootRecord("running", "registration", "", 0, 0.0, {})
    assert terminated(instance, 3).worker.draining


# --- the policies for a worker that drains by itself ------------------------------------------------------------------


def self_draining(job_seconds: float, limit: int = 2100) -> SimulatedInstance:
    settings = replace(TRUSTED, drain_policy="sigterm", drain_limit_seconds=limit)
    return serving(job_seconds=job_seconds, settings=settings, drains_itself=True)


def test_policy_sigterm_gives_a_job_the_whole_limit_after_one_signal() -> None:
    instance = terminated(self_draining(2090), 2095)
    assert (instance.completions, instance.job_results, instance.container.signals) == (CONTINUED, ["finished"], 1)


def test_policy_sigterm_does_not_signal_again_after_a_restart_of_the_agent() -> None:
    instance = self_draining(900)
    instance.terminate()
    for _ in range(10):
        followed(instance, 92)
    assert (instance.completions, instance.job_results, instance.container.signals) == (CONTINUED, ["finished"], 1)


def test_policy_sigterm_releases_a_job_at_the_limit() -> None:
    instance = terminated(self_draining(1e6, limit=60), 59)
    assert (instance.container.state, instance.container.signals) == ("running", 1)
    followed(instance, 5)
    assert (instance.completions, instance.job_results) == (ABANDONED, ["released"])


def test_policy_http_drains_first_and_stops_when_idle() -> None:
    instance = serving("queue", job_seconds=500, settings=replace(TRUSTED, drain_policy="http"))
    terminated(instance, 490)
    assert (instance.worker.draining, instance.container.signals, instance.called.count("drain")) == (True, 0, 1)
    assert followed(instance, 15).completions == CONTINUED


@each_mode
def test_policy_sigterm_with_a_guard_puts_a_job_back_at_the_limit(mode: Mode) -> None:
    settings = replace(SETTINGS, drain_policy="sigterm", drain_limit_seconds=60)
    assert outcome(terminated(guarded(mode, job_seconds=1e6, settings=settings), 70)) == (
        CONTINUED,
        ["job_put_back"],
        2,
    )


@each_mode
@pytest.mark.parametrize("policy", ["http", "sigterm"])
def test_a_worker_that_should_have_a_guard_and_has_none_is_waited_for_whatever_the_policy(
    mode: Mode, policy: Literal["http", "sigterm"]
) -> None:
    instance = serving(mode, job_seconds=500, settings=replace(SETTINGS, drain_policy=policy), guard=ABSENT)
    terminated(instance, 490)
    assert (instance.worker.draining, instance.container.signals) == (False, 0)
    assert followed(instance, 15).completions == CONTINUED


# --- what an earlier run of the agent did -----------------------------------------------------------------------------


def test_queue_a_signal_that_nobody_recorded_shows_in_the_status_and_gets_no_second_one() -> None:
    """Schedule 6363 of seed 2027: the disk was full when the agent signalled the worker, and it was killed."""
    instance = serving("queue", job_seconds=300)
    instance.host.signal_worker("an earlier run of the agent")
    instance.terminate()
    assert outcome(followed(instance, 20)) == (ABANDONED, ["job_lost"], 1)


def test_queue_a_drain_that_somebody_posted_is_told_from_a_signal_by_time() -> None:
    instance = serving("queue")
    instance.worker.drain(instance.now)
    instance.terminate()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 11)
    assert (instance.completions, instance.container.signals) == ([], 0)
    instance.follow(procedure, 4)
    assert outcome(instance) == (CONTINUED, [], 1)


@pytest.mark.parametrize(
    ("flags", "exit_code", "completions"),
    [
        ({}, 0, CONTINUED),
        ({"stopping": 3.0}, 0, CONTINUED),
        ({"stopping": 20.0}, 0, ABANDONED),
        ({"stopping": 3.0}, 1, ABANDONED),
        ({"stopping": 20.0, "guarded": 20.0}, 0, CONTINUED),
        ({"stopping": 20.0, "guarded": 20.0}, 1, CONTINUED),
        ({"stopping": 20.0, "guarded": 20.0}, 70, ABANDONED),
        ({"stopping": 20.0, "guarded": 20.0}, 137, ABANDONED),
        ({"unclean": 20.0}, 0, ABANDONED),
    ],
)
def test_a_process_that_ended_while_the_agent_was_down_counts_as_clean_only_if_that_is_certain(
    flags: dict[Flag, float], exit_code: int, completions: object
) -> None:
    """The flags are seconds ago."""
    instance = serving("queue")
    instance.advance(100)
    instance.worker._exit(exit_code, "", instance.now)
    instance.container.stopped_by_hand = True
    instance.host.worker_acted(instance.container)
    instance.host.flags = {flag: instance.now - seconds for flag, seconds in flags.items()}
    assert terminated(instance, 3).completions == completions


@pytest.mark.parametrize(("jump", "completions"), [(0, CONTINUED), (-3600, ABANDONED), (3600, ABANDONED)])
def test_a_process_that_exited_soon_after_its_signal_had_no_job_whenever_the_agent_looks(
    jump: float, completions: object
) -> None:
    """Schedules 1221 and 1589 of seed 2027: the agent was killed three times. Docker knows when it was."""
    instance = serving("queue")
    instance.host.flags = {"stopping": instance.now}
    instance.host.signal_worker("an earlier run of the agent")
    instance.advance(30)
    instance.wall_jump = jump
    assert terminated(instance, 3).completions == completions


# --- kill -9 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["wait_idle", "http", "sigterm"])
@pytest.mark.parametrize("job_seconds", [None, 4.0])
@pytest.mark.parametrize("guard", [None, ATTACHED])
@each_mode
def test_killed_at_any_call_and_restarted_a_drain_has_the_same_result(
    mode: Mode, job_seconds: float | None, policy: str, guard: Guard | None
) -> None:
    """No job is lost, the hook is completed once, and the worker exits by signals alone."""
    settings = replace(SETTINGS if guard else TRUSTED, drain_policy=policy)  # type: ignore[arg-type]
    whole = terminated(serving(mode, job_seconds=job_seconds, settings=settings, guard=guard), 60)
    for call in range(1, whole.called.index("complete") + 10):
        for moment in ("before", "after"):
            instance = serving(mode, job_seconds=job_seconds, settings=settings, guard=guard)
            instance.terminate()
            instance.kill(watch(instance.ports(), settings), call, moment)
            instance.advance(3)
            followed(instance, 60)
            assert instance.completions == whole.completions, (call, moment)
            assert instance.container.state == "exited"
            assert instance.container.exit_code in (0, 1)
            assert not instance.host.others_run
            if guard or policy == "wait_idle":
                assert instance.job_results == whole.job_results, (call, moment)


@each_mode
@pytest.mark.parametrize("guard", [None, ATTACHED])
def test_an_agent_that_is_restarted_every_second_still_drains(mode: Mode, guard: Guard | None) -> None:
    instance = serving(mode, job_seconds=100, guard=guard)
    instance.terminate()
    for _ in range(150):
        followed(instance, 0.9)
        instance.advance(0.5)
    assert (instance.completions, instance.job_results) == (CONTINUED, ["finished"])


def test_a_completion_that_is_denied_is_left_to_the_default_result_and_logged() -> None:
    instance = serving()
    instance.faults["complete"] = [Refused("autoscaling:CompleteLifecycleAction", "AccessDenied")] * 1000
    terminated(instance, 700)
    assert (instance.completions, instance.timed_out) == ([], [HOOK])
    assert instance.steps("hook_left_to_its_default")
