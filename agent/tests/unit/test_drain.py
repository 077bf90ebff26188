"""What a drain promises: no job lost, none twice, the hook kept alive and completed once. In virtual time, the agent killed at every call."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Literal

import pytest
from ghosthands_agent.drain import next_step, request_drain
from ghosthands_agent.ports import BootRecord, Ports, Refused, Task, Unavailable, WorkerStatus
from ghosthands_agent.settings import Settings
from ghosthands_agent.watch import watch
from model.agent_conf import SETTINGS
from unit.simulated_instance import INSTANCE_ID, SimulatedInstance

HOOK = SETTINGS.termination_hook
DONE, GIVEN_UP = [(HOOK, "CONTINUE")], [(HOOK, "ABANDON")]
Mode = Literal["legacy", "queue"]
MODES: tuple[Mode, ...] = ("legacy", "queue")
each_mode = pytest.mark.parametrize("mode", MODES)
BUSY = Unavailable("autoscaling", "Throttling")


def serving(
    mode: Mode = "queue",
    *,
    job_seconds: float | None = None,
    settings: Settings = SETTINGS,
    drains_itself: bool = False,
) -> SimulatedInstance:
    """An instance with a running worker."""
    instance = SimulatedInstance(settings)
    instance.start_worker(mode, job_seconds=job_seconds, drains_itself=drains_itself)
    return instance


def followed(instance: SimulatedInstance, seconds: float) -> SimulatedInstance:
    instance.follow(watch(instance.ports(), instance.settings), seconds)
    return instance


def ended(instance: SimulatedInstance, seconds: float) -> SimulatedInstance:
    """The group ends the instance now; what that came to some time later."""
    instance.terminate()
    return followed(instance, seconds)


def status(mode: Mode, busy: bool, draining: bool) -> WorkerStatus:
    return WorkerStatus(INSTANCE_ID, INSTANCE_ID, int(busy), not draining, draining, mode)


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
def test_the_rule_for_every_answer(policy: str, mode: Mode, busy: bool, draining: bool, step: str) -> None:
    assert next_step(policy, status(mode, busy, draining)) == step


# --- the ordinary ends --------------------------------------------------------------------------------------------------------


@each_mode
def test_an_idle_worker_is_let_go_within_two_seconds(mode: Mode) -> None:
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
        DONE,
        "exited",
        0,
        1,
    )
    (complete_hook,) = [moment for moment, event, _ in instance.journal if event == "hook_completed"]
    assert complete_hook - began < 2


@each_mode
def test_a_job_is_finished_first_and_the_instance_let_go_within_two_seconds_of_its_end(mode: Mode) -> None:
    instance = ended(serving(mode, job_seconds=1700), 1699)
    assert (instance.completions, instance.job_results) == ([], [])
    followed(instance, 3)
    assert (instance.completions, instance.job_results) == (DONE, ["finished"])


def test_everything_is_down_afterwards() -> None:
    assert not ended(serving(), 10).host.others_run


def test_an_instance_without_a_worker_is_let_go_at_once() -> None:
    assert ended(SimulatedInstance(), 3).completions == DONE


def test_a_worker_that_crashed_has_nothing_left_to_drain() -> None:
    instance = serving(job_seconds=1000)
    instance.after(100, instance.host.crash_worker)
    assert ended(instance, 105).completions == DONE


def test_a_worker_between_two_lives_is_kept_from_coming_back() -> None:
    instance = serving()
    instance.delay = lambda shortest, longest: 5.0  # type: ignore[method-assign]
    instance.host.crash_worker()
    assert instance.container.state == "restarting"
    assert ended(instance, 30).completions == DONE
    assert (instance.container.state, instance.container.starts) == ("exited", 1)


def test_a_worker_that_is_only_starting_is_waited_for() -> None:
    instance = serving()
    instance.host.worker_hangs_until = instance.now + 20
    ended(instance, 15)
    assert instance.completions == []
    assert followed(instance, 10).completions == DONE
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


def test_a_worker_that_a_deployment_brings_back_is_drained_as_well() -> None:
    instance = serving()
    instance.terminate()
    procedure = watch(redeployed(instance, times=1), SETTINGS)
    instance.follow(procedure, 40)
    assert instance.completions == []
    instance.follow(procedure, 30)
    assert (instance.completions, instance.job_results) == (DONE, ["finished"])


def test_a_worker_that_comes_back_again_and_again_leaves_the_hook_abandoned() -> None:
    instance = serving()
    instance.terminate()
    instance.follow(watch(redeployed(instance, times=100), SETTINGS), 300)
    assert instance.completions == GIVEN_UP


# --- races --------------------------------------------------------------------------------------------------------------------


def test_legacy_a_job_that_slips_in_before_the_drain_is_put_back_at_once_and_not_run_twice() -> None:
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
        DONE,
        ["released"],
        1,
        2,
    )


def test_queue_a_job_that_slips_in_before_the_second_look_is_waited_for() -> None:
    instance = serving("queue")
    instance.terminate()
    ports = instance.ports()
    looks = itertools.count()
    status_call = ports.worker.status

    def look() -> WorkerStatus:
        if next(looks) == 1:
            instance.submit_job(300)
        return status_call()

    ports.worker.status = look  # type: ignore[method-assign]
    instance.follow(watch(ports, SETTINGS), 290)
    assert (instance.completions, instance.container.signals) == ([], 0)
    instance.follow(watch(ports, SETTINGS), 20)
    assert (instance.completions, instance.job_results) == (DONE, ["finished"])


def test_queue_a_job_that_slips_in_before_the_signal_is_put_back_by_a_second_one() -> None:
    instance = serving("queue")
    instance.terminate()
    ports = instance.ports()
    terminate_call = ports.compose.terminate

    def terminate(service: str) -> None:
        instance.submit_job(300)
        terminate_call(service)

    ports.compose.terminate = terminate  # type: ignore[method-assign]
    instance.follow(watch(ports, SETTINGS), 5)
    assert (instance.completions, instance.job_results) == (DONE, ["released"])


# --- limits -------------------------------------------------------------------------------------------------------------------


@each_mode
def test_a_job_that_never_ends_is_put_back_at_the_limit_and_the_hook_abandoned(mode: Mode) -> None:
    instance = ended(serving(mode, job_seconds=1e6), 2095)
    assert (instance.completions, instance.container.state) == ([], "running")
    followed(instance, 15)
    assert (instance.completions, instance.job_results) == (GIVEN_UP, ["released"])


@each_mode
def test_the_limit_counts_from_the_first_sight_whoever_saw_it(mode: Mode) -> None:
    instance = serving(mode, job_seconds=1e6)
    instance.terminate()
    for _ in range(21):
        followed(instance, 95)
        instance.advance(5)
    assert followed(instance, 12).completions == GIVEN_UP


def test_a_worker_that_hangs_is_killed_at_the_limit_and_the_hook_abandoned() -> None:
    instance = serving(job_seconds=1e6)
    instance.host.worker_hangs_until = math.inf
    instance.worker.ignores_sigterm = True
    instance.terminate()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 2100 + SETTINGS.stop_grace_seconds - 5)
    assert instance.container.state == "running"
    instance.follow(procedure, 10)
    assert (instance.completions, instance.container.exit_code) == (GIVEN_UP, 137)


def test_an_idle_worker_that_ignores_the_signal_is_killed_after_its_grace_and_the_instance_let_go() -> None:
    instance = serving()
    instance.worker.ignores_sigterm = True
    ended(instance, SETTINGS.stop_grace_seconds - 1)
    assert instance.container.state == "running"
    followed(instance, SETTINGS.stop_grace_seconds + 5)
    assert (instance.completions, instance.container.exit_code) == (DONE, 137)


def test_a_docker_that_never_says_that_the_worker_is_down_abandons_the_hook() -> None:
    instance = serving(job_seconds=10)
    instance.faults["services"] = [Unavailable("docker", "exit 1")] * 100_000
    assert ended(instance, 400).completions == GIVEN_UP


def test_a_spot_notice_drains_inside_its_two_minutes_and_gives_the_job_back() -> None:
    instance = serving(job_seconds=1e6)
    instance.host.spot_action = "terminate"
    followed(instance, 109)
    assert (instance.job_results, instance.container.state, instance.completions) == (["released"], "exited", [])


def test_a_spot_notice_shortens_a_drain_that_is_under_way() -> None:
    instance = serving(job_seconds=1e6)
    instance.after(300, lambda: setattr(instance.host, "spot_action", "terminate"))
    ended(instance, 300 + 110)
    assert (instance.job_results, instance.completions) == (["released"], GIVEN_UP)


# --- the hook -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [30, 300, 7200])
def test_the_hook_is_kept_alive_by_a_beat_every_third_of_its_timeout(timeout: int) -> None:
    instance = serving(job_seconds=2000, settings=replace(SETTINGS, heartbeat_timeout_seconds=timeout))
    ended(instance, 2010)
    assert (instance.completions, instance.timed_out) == (DONE, [])
    gaps = [later - earlier for earlier, later in zip(instance.heartbeats, instance.heartbeats[1:], strict=False)]
    assert all(timeout / 3 <= gap <= timeout / 3 + 1 for gap in gaps)


def test_the_first_beat_comes_at_once() -> None:
    instance = serving(job_seconds=100)
    instance.terminate()
    began = instance.now
    assert followed(instance, 3).heartbeats[0] - began < 1


def test_a_failing_beat_is_repeated_every_second() -> None:
    instance = serving(job_seconds=600)
    instance.faults["heartbeat"] = [BUSY] * 250
    ended(instance, 610)
    assert (instance.completions, instance.timed_out) == (DONE, [])


def test_beats_go_on_while_a_worker_takes_its_time_to_end() -> None:
    settings = replace(SETTINGS, drain_policy="sigterm", heartbeat_timeout_seconds=60)
    instance = serving(settings=settings, job_seconds=1500, drains_itself=True)
    ended(instance, 1510)
    assert (instance.completions, instance.timed_out) == (DONE, [])


def test_a_completion_whose_answer_was_lost_is_done() -> None:
    instance = serving()
    instance.lost_answers["complete"] = 1
    ended(instance, 10)
    assert instance.completions == DONE
    assert instance.steps("hook_completed") == [{"result": "already"}]


def test_a_completion_is_repeated_until_it_is_heard_and_no_longer_than_the_hook_lives() -> None:
    instance = serving()
    instance.faults["complete"] = [BUSY] * 40
    assert ended(instance, 280).completions == DONE
    instance = serving()
    instance.faults["complete"] = [BUSY] * 1000
    ended(instance, 1000)
    assert (instance.completions, instance.timed_out, len(instance.steps("hook_left_to_its_default"))) == (
        [],
        [HOOK],
        1,
    )


def test_a_spot_notice_after_the_hook_was_completed_does_not_complete_it_again() -> None:
    instance = serving()
    instance.after(20, lambda: setattr(instance.host, "spot_action", "terminate"))
    assert ended(instance, 60).called.count("complete") == 1


def test_after_its_end_the_hook_is_left_in_peace() -> None:
    instance = ended(serving(), 1000)
    assert (instance.called.count("complete"), instance.called.count("heartbeat")) == (1, 1)


def test_a_target_state_that_comes_before_the_hooks_action_does_not_leave_the_hook_waiting() -> None:
    instance = SimulatedInstance(target="Terminated")
    instance.after(10, instance.terminate)
    assert followed(instance, 20).completions == DONE


def test_the_time_for_the_completion_is_fresh_after_the_drains_limit() -> None:
    instance = serving(job_seconds=1e6)
    instance.faults["complete"] = [BUSY] * 20
    assert ended(instance, 2100 + 100).completions == GIVEN_UP


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
def test_a_neighbour_that_is_down_for_a_while_delays_the_end_at_most(call: str) -> None:
    instance = serving("legacy")
    instance.terminate()
    instance.faults[call] = [Unavailable(call, "Timeout")] * 8
    assert followed(instance, 30).completions == DONE


# --- who asks for it ----------------------------------------------------------------------------------------------------------


def test_an_operator_who_asks_for_a_drain_gets_it_and_the_hook_is_not_touched() -> None:
    instance = serving(job_seconds=50)
    instance.host.flags["requested"] = instance.now
    followed(instance, 60)
    assert (instance.container.state, instance.job_results, instance.called.count("complete"), instance.heartbeats) == (
        "exited",
        ["finished"],
        0,
        [],
    )


def test_the_verb_drain_marks_the_wish_and_waits_until_the_worker_is_down() -> None:
    instance = serving()
    instance.after(40, instance.host.stop_container, "stopped by somebody", 10.0)
    assert instance.run(request_drain(instance.ports(), SETTINGS), 60) == 0
    assert "requested" in instance.host.flags
    assert len(instance.steps("draining")) == 2


def test_the_verb_drain_says_so_when_it_was_not_done_in_time() -> None:
    instance = serving()
    instance.faults["set_flag"] = [Unavailable("marks", "ENOSPC")] * 3
    assert instance.run(request_drain(instance.ports(), SETTINGS), 10_000) == 1


def test_a_termination_after_an_asked_drain_is_let_go_at_once() -> None:
    instance = serving()
    instance.host.flags["requested"] = instance.now
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 100)
    instance.terminate()
    instance.follow(procedure, 3)
    assert instance.completions == DONE


def test_a_termination_during_an_asked_drain_is_kept_alive_and_completed() -> None:
    instance = serving(job_seconds=1000)
    instance.host.flags["requested"] = instance.now
    instance.after(10, instance.terminate)
    followed(instance, 1010)
    assert (instance.completions, instance.job_results, instance.timed_out) == (DONE, ["finished"], [])


def test_a_boot_under_way_is_given_time_to_withdraw_and_one_that_died_is_not_waited_for_long() -> None:
    running = BootRecord("running", "start", "", 0, 0.0, {})
    instance = SimulatedInstance(boot_record=running)
    instance.after(5, lambda: setattr(instance.host, "boot_record", replace(running, state="withdrawn")))
    ended(instance, 4)
    assert instance.completions == []
    assert followed(instance, 5).completions == DONE
    assert ended(SimulatedInstance(boot_record=running), 25).completions == DONE


# --- the policies for a worker that drains by itself --------------------------------------------------------------------------


def self_draining(job_seconds: float, limit: int = 2100) -> SimulatedInstance:
    settings = replace(SETTINGS, drain_policy="sigterm", drain_limit_seconds=limit)
    return serving(job_seconds=job_seconds, settings=settings, drains_itself=True)


def test_policy_sigterm_gives_a_job_the_whole_limit_after_one_signal() -> None:
    instance = ended(self_draining(2090), 2095)
    assert (instance.completions, instance.job_results, instance.container.signals) == (DONE, ["finished"], 1)


def test_policy_sigterm_does_not_signal_again_after_a_restart_of_the_agent() -> None:
    instance = self_draining(900)
    instance.terminate()
    for _ in range(10):
        followed(instance, 92)
    assert (instance.completions, instance.job_results, instance.container.signals) == (DONE, ["finished"], 1)


def test_policy_sigterm_puts_a_job_back_at_the_limit() -> None:
    instance = ended(self_draining(1e6, limit=60), 59)
    assert (instance.container.state, instance.container.signals) == ("running", 1)
    followed(instance, 5)
    assert (instance.completions, instance.job_results) == (GIVEN_UP, ["released"])


def test_policy_http_drains_first_and_stops_when_idle() -> None:
    instance = serving("queue", job_seconds=500, settings=replace(SETTINGS, drain_policy="http"))
    ended(instance, 490)
    assert (instance.worker.draining, instance.container.signals, instance.called.count("drain")) == (True, 0, 1)
    assert followed(instance, 15).completions == DONE


# --- kill -9 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["wait_idle", "http", "sigterm"])
@pytest.mark.parametrize("job_seconds", [None, 4.0])
@each_mode
def test_killed_at_any_call_and_started_again_it_comes_to_the_same_end(
    mode: Mode, job_seconds: float | None, policy: str
) -> None:
    """No job lost, the hook completed once; the worker stopped once, and (but for a worker that needs no second signal) not killed."""
    settings = replace(SETTINGS, drain_policy=policy)  # type: ignore[arg-type]
    whole = ended(serving(mode, job_seconds=job_seconds, settings=settings), 60)
    for call in range(1, whole.called.index("complete") + 10):
        for moment in ("before", "after"):
            instance = serving(mode, job_seconds=job_seconds, settings=settings)
            instance.terminate()
            instance.kill(watch(instance.ports(), settings), call, moment)
            instance.advance(3)
            followed(instance, 60)
            assert instance.completions == whole.completions, (call, moment)
            assert instance.container.state == "exited"
            assert instance.container.exit_code in (0, 1)
            assert not instance.host.others_run
            if policy == "wait_idle":
                assert instance.job_results == whole.job_results, (call, moment)


@each_mode
def test_a_life_of_one_second_at_a_time_still_drains(mode: Mode) -> None:
    instance = serving(mode, job_seconds=100)
    instance.terminate()
    for _ in range(150):
        followed(instance, 0.9)
        instance.advance(0.5)
    assert (instance.completions, instance.job_results) == (DONE, ["finished"])


def test_an_agent_that_may_not_complete_the_hook_leaves_it_to_its_default_and_says_so() -> None:
    instance = serving()
    instance.faults["complete"] = [Refused("autoscaling:CompleteLifecycleAction", "AccessDenied")] * 1000
    ended(instance, 700)
    assert (instance.completions, instance.timed_out) == ([], [HOOK])
    assert instance.steps("hook_left_to_its_default")
