"""What a drain promises: no job lost, none twice, the hook kept alive and completed once. In virtual time, the agent killed at every call."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import replace
from typing import Literal

import pytest
from ghosthands_agent.drain import next_step, request_drain
from ghosthands_agent.ports import WORKER, BootRecord, Ports, Refused, Task, Unavailable, WorkerStatus
from ghosthands_agent.settings import Settings
from ghosthands_agent.watch import watch
from unit.world import INSTANCE, SETTINGS, Container, World

HOOK = SETTINGS.termination_hook
DONE, GIVEN_UP = [(HOOK, "CONTINUE")], [(HOOK, "ABANDON")]
Mode = Literal["legacy", "queue"]
MODES: tuple[Mode, ...] = ("legacy", "queue")
each_mode = pytest.mark.parametrize("mode", MODES)
BUSY = Unavailable("autoscaling", "Throttling")


def serving(mode: Mode = "queue", *, job_seconds: float | None = None, settings: Settings = SETTINGS) -> World:
    world = World(settings=settings)
    world.serve(mode, job_seconds=job_seconds)
    return world


def followed(world: World, seconds: float) -> World:
    world.follow(watch(world.ports(), world.settings), seconds)
    return world


def ended(world: World, seconds: float) -> World:
    """The group ends the instance now; what that came to some time later."""
    world.terminate()
    return followed(world, seconds)


def status(mode: Mode, busy: bool, draining: bool) -> WorkerStatus:
    return WorkerStatus(INSTANCE.id, INSTANCE.id, int(busy), not draining, draining, mode)


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
    world = serving(mode)
    world.terminate()
    began = world.time
    followed(world, 5)
    assert (world.completions, world.worker.state, world.worker.exit_code, world.worker.signals) == (
        DONE,
        "exited",
        0,
        1,
    )
    (complete_hook,) = [moment for moment, event, _ in world.log if event == "hook_completed"]
    assert complete_hook - began < 2


@each_mode
def test_a_job_is_finished_first_and_the_instance_let_go_within_two_seconds_of_its_end(mode: Mode) -> None:
    world = ended(serving(mode, job_seconds=1700), 1699)
    assert (world.completions, world.jobs) == ([], [])
    followed(world, 3)
    assert (world.completions, world.jobs) == (DONE, ["finished"])


def test_everything_is_down_afterwards() -> None:
    assert ended(serving(), 10).rest_down


def test_an_instance_without_a_worker_is_let_go_at_once() -> None:
    assert ended(World(), 3).completions == DONE


def test_a_worker_that_crashed_has_nothing_left_to_drain() -> None:
    world = serving(job_seconds=1000)
    world.after(100, lambda: world.exit(1))
    assert ended(world, 105).completions == DONE


def test_a_worker_between_two_lives_is_kept_from_coming_back() -> None:
    world = serving()
    world.worker.state = "restarting"
    assert ended(world, 5).completions == DONE
    assert (world.worker.state, world.worker.exit_code) == ("exited", 137)


def test_a_worker_that_is_only_starting_is_waited_for() -> None:
    world = serving()
    world.worker.answers = False
    world.after(20, lambda: setattr(world.worker, "answers", True))
    ended(world, 15)
    assert world.completions == []
    assert followed(world, 10).completions == DONE
    assert world.worker.exit_code == 0


def redeployed(world: World, times: int) -> Ports:
    """The world's ports; a deployment under way starts a worker while api and deploy server are being stopped."""
    ports = world.ports()
    stop = ports.compose.stop
    deployments = iter(range(times))

    def brought_back(services: Collection[str], grace: float) -> Task[None]:
        if WORKER not in services and next(deployments, None) is not None:
            world.after(0.3, lambda: setattr(world, "worker", Container("queue", "running")))
            world.after(0.3, lambda: world.take_job(50))
        return stop(services, grace)

    ports.compose.stop = brought_back  # type: ignore[method-assign]
    return ports


def test_a_worker_that_a_deployment_brings_back_is_drained_as_well() -> None:
    world = serving()
    world.terminate()
    procedure = watch(redeployed(world, times=1), SETTINGS)
    world.follow(procedure, 40)
    assert world.completions == []
    world.follow(procedure, 30)
    assert (world.completions, world.jobs) == (DONE, ["finished"])


def test_a_worker_that_comes_back_again_and_again_leaves_the_hook_abandoned() -> None:
    world = serving()
    world.terminate()
    world.follow(watch(redeployed(world, times=100), SETTINGS), 300)
    assert world.completions == GIVEN_UP


# --- races --------------------------------------------------------------------------------------------------------------------


def test_legacy_a_job_that_slips_in_before_the_drain_is_put_back_at_once_and_not_run_twice() -> None:
    world = serving("legacy")
    world.terminate()
    original = world.worker

    ports = world.ports()
    drain_call = ports.worker.drain

    def drain() -> None:
        world.take_job(500)
        drain_call()

    ports.worker.drain = drain  # type: ignore[method-assign]
    world.follow(watch(ports, SETTINGS), 5)
    assert (world.completions, world.jobs, original.exit_code, original.signals) == (DONE, ["put_back"], 1, 2)


def test_queue_a_job_that_slips_in_before_the_second_look_is_waited_for() -> None:
    world = serving("queue")
    world.terminate()
    ports = world.ports()
    looks = itertools.count()
    status_call = ports.worker.status

    def look() -> WorkerStatus:
        if next(looks) == 1:
            world.take_job(300)
        return status_call()

    ports.worker.status = look  # type: ignore[method-assign]
    world.follow(watch(ports, SETTINGS), 290)
    assert (world.completions, world.worker.signals) == ([], 0)
    world.follow(watch(ports, SETTINGS), 20)
    assert (world.completions, world.jobs) == (DONE, ["finished"])


def test_queue_a_job_that_slips_in_before_the_signal_is_put_back_by_a_second_one() -> None:
    world = serving("queue")
    world.terminate()
    ports = world.ports()
    terminate_call = ports.compose.terminate

    def terminate(service: str) -> None:
        world.take_job(300)
        terminate_call(service)

    ports.compose.terminate = terminate  # type: ignore[method-assign]
    world.follow(watch(ports, SETTINGS), 5)
    assert (world.completions, world.jobs) == (DONE, ["put_back"])


# --- limits -------------------------------------------------------------------------------------------------------------------


@each_mode
def test_a_job_that_never_ends_is_put_back_at_the_limit_and_the_hook_abandoned(mode: Mode) -> None:
    world = ended(serving(mode, job_seconds=1e6), 2095)
    assert (world.completions, world.worker.state) == ([], "running")
    followed(world, 15)
    assert (world.completions, world.jobs) == (GIVEN_UP, ["put_back"])


@each_mode
def test_the_limit_counts_from_the_first_sight_whoever_saw_it(mode: Mode) -> None:
    world = serving(mode, job_seconds=1e6)
    world.terminate()
    for _ in range(21):
        followed(world, 95)
        world.advance(5)
    assert followed(world, 12).completions == GIVEN_UP


def test_a_worker_that_hangs_is_killed_at_the_limit_and_the_hook_abandoned() -> None:
    world = serving(job_seconds=1e6)
    world.worker.answers = False
    world.worker.stubborn = True
    world.terminate()
    procedure = watch(world.ports(), SETTINGS)
    world.follow(procedure, 2100 + SETTINGS.stop_grace_seconds - 5)
    assert world.worker.state == "running"
    world.follow(procedure, 10)
    assert (world.completions, world.worker.exit_code) == (GIVEN_UP, 137)


def test_an_idle_worker_that_ignores_the_signal_is_killed_after_its_grace_and_the_instance_let_go() -> None:
    world = serving()
    world.worker.stubborn = True
    ended(world, SETTINGS.stop_grace_seconds - 1)
    assert world.worker.state == "running"
    followed(world, SETTINGS.stop_grace_seconds + 5)
    assert (world.completions, world.worker.exit_code) == (DONE, 137)


def test_a_docker_that_never_says_that_the_worker_is_down_abandons_the_hook() -> None:
    world = serving(job_seconds=10)
    world.faults["services"] = [Unavailable("docker", "exit 1")] * 100_000
    assert ended(world, 400).completions == GIVEN_UP


def test_a_spot_notice_drains_inside_its_two_minutes_and_gives_the_job_back() -> None:
    world = serving(job_seconds=1e6)
    world.spot = "terminate"
    followed(world, 109)
    assert (world.jobs, world.worker.state, world.completions) == (["put_back"], "exited", [])


def test_a_spot_notice_shortens_a_drain_that_is_under_way() -> None:
    world = serving(job_seconds=1e6)
    world.after(300, lambda: setattr(world, "spot", "terminate"))
    ended(world, 300 + 110)
    assert (world.jobs, world.completions) == (["put_back"], GIVEN_UP)


# --- the hook -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [30, 300, 7200])
def test_the_hook_is_kept_alive_by_a_beat_every_third_of_its_timeout(timeout: int) -> None:
    world = serving(job_seconds=2000, settings=replace(SETTINGS, heartbeat_timeout_seconds=timeout))
    ended(world, 2010)
    assert (world.completions, world.timed_out) == (DONE, [])
    gaps = [later - earlier for earlier, later in zip(world.beats, world.beats[1:], strict=False)]
    assert all(timeout / 3 <= gap <= timeout / 3 + 1 for gap in gaps)


def test_the_first_beat_comes_at_once() -> None:
    world = serving(job_seconds=100)
    world.terminate()
    began = world.time
    assert followed(world, 3).beats[0] - began < 1


def test_a_failing_beat_is_repeated_every_second() -> None:
    world = serving(job_seconds=600)
    world.faults["heartbeat"] = [BUSY] * 250
    ended(world, 610)
    assert (world.completions, world.timed_out) == (DONE, [])


def test_beats_go_on_while_a_worker_takes_its_time_to_end() -> None:
    settings = replace(SETTINGS, drain_policy="sigterm", heartbeat_timeout_seconds=60)
    world = serving("queue", settings=settings)
    world.worker.stubborn = True
    world.after(1500, lambda: world.exit(0))
    ended(world, 1510)
    assert (world.completions, world.timed_out) == (DONE, [])


def test_a_completion_whose_answer_was_lost_is_done() -> None:
    world = serving()
    world.lost_answers["complete"] = 1
    ended(world, 10)
    assert world.completions == DONE
    assert world.steps("hook_completed") == [{"result": "already"}]


def test_a_completion_is_repeated_until_it_is_heard_and_no_longer_than_the_hook_lives() -> None:
    world = serving()
    world.faults["complete"] = [BUSY] * 40
    assert ended(world, 280).completions == DONE
    world = serving()
    world.faults["complete"] = [BUSY] * 1000
    ended(world, 1000)
    assert (world.completions, world.timed_out, len(world.steps("hook_left_to_its_default"))) == ([], [HOOK], 1)


def test_a_spot_notice_after_the_hook_was_completed_does_not_complete_it_again() -> None:
    world = serving()
    world.after(20, lambda: setattr(world, "spot", "terminate"))
    assert ended(world, 60).called.count("complete") == 1


def test_after_its_end_the_hook_is_left_in_peace() -> None:
    world = ended(serving(), 1000)
    assert (world.called.count("complete"), world.called.count("heartbeat")) == (1, 1)


def test_a_target_state_that_comes_before_the_hooks_action_does_not_leave_the_hook_waiting() -> None:
    world = World(target="Terminated")
    world.after(10, world.terminate)
    assert followed(world, 20).completions == DONE


def test_the_time_for_the_completion_is_fresh_after_the_drains_limit() -> None:
    world = serving(job_seconds=1e6)
    world.faults["complete"] = [BUSY] * 20
    assert ended(world, 2100 + 100).completions == GIVEN_UP


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
    world = serving("legacy")
    world.terminate()
    world.faults[call] = [Unavailable(call, "Timeout")] * 8
    assert followed(world, 30).completions == DONE


# --- who asks for it ----------------------------------------------------------------------------------------------------------


def test_an_operator_who_asks_for_a_drain_gets_it_and_the_hook_is_not_touched() -> None:
    world = serving(job_seconds=50)
    world.mark_file["requested"] = world.time
    followed(world, 60)
    assert (world.worker.state, world.jobs, world.called.count("complete"), world.beats) == (
        "exited",
        ["finished"],
        0,
        [],
    )


def test_the_verb_drain_marks_the_wish_and_waits_until_the_worker_is_down() -> None:
    world = serving()
    world.after(40, lambda: world.exit(0))
    assert world.run(request_drain(world.ports(), SETTINGS), 60) == 0
    assert "requested" in world.mark_file
    assert len(world.steps("draining")) == 2


def test_the_verb_drain_says_so_when_it_was_not_done_in_time() -> None:
    world = serving()
    world.faults["set_flag"] = [Unavailable("marks", "ENOSPC")] * 3
    assert world.run(request_drain(world.ports(), SETTINGS), 10_000) == 1


def test_a_termination_after_an_asked_drain_is_let_go_at_once() -> None:
    world = serving()
    world.mark_file["requested"] = world.time
    procedure = watch(world.ports(), SETTINGS)
    world.follow(procedure, 100)
    world.terminate()
    world.follow(procedure, 3)
    assert world.completions == DONE


def test_a_termination_during_an_asked_drain_is_kept_alive_and_completed() -> None:
    world = serving(job_seconds=1000)
    world.mark_file["requested"] = world.time
    world.after(10, world.terminate)
    followed(world, 1010)
    assert (world.completions, world.jobs, world.timed_out) == (DONE, ["finished"], [])


def test_a_boot_under_way_is_given_time_to_withdraw_and_one_that_died_is_not_waited_for_long() -> None:
    running = BootRecord("running", "start", "", 0, 0.0, {})
    world = World(boot_record=running)
    world.after(5, lambda: setattr(world, "boot_record", replace(running, state="withdrawn")))
    ended(world, 4)
    assert world.completions == []
    assert followed(world, 5).completions == DONE
    assert ended(World(boot_record=running), 25).completions == DONE


# --- the policies for a worker that drains by itself --------------------------------------------------------------------------


def self_draining(job_seconds: float, limit: int = 2100) -> World:
    world = serving("queue", settings=replace(SETTINGS, drain_policy="sigterm", drain_limit_seconds=limit))
    world.worker.patient = True
    world.take_job(job_seconds)
    return world


def test_policy_sigterm_gives_a_job_the_whole_limit_after_one_signal() -> None:
    world = ended(self_draining(2090), 2095)
    assert (world.completions, world.jobs, world.worker.signals) == (DONE, ["finished"], 1)


def test_policy_sigterm_does_not_signal_again_after_a_restart_of_the_agent() -> None:
    world = self_draining(900)
    world.terminate()
    for _ in range(10):
        followed(world, 92)
    assert (world.completions, world.jobs, world.worker.signals) == (DONE, ["finished"], 1)


def test_policy_sigterm_puts_a_job_back_at_the_limit() -> None:
    world = ended(self_draining(1e6, limit=60), 59)
    assert (world.worker.state, world.worker.signals) == ("running", 1)
    followed(world, 5)
    assert (world.completions, world.jobs) == (GIVEN_UP, ["put_back"])


def test_policy_http_drains_first_and_stops_when_idle() -> None:
    world = serving("queue", job_seconds=500, settings=replace(SETTINGS, drain_policy="http"))
    ended(world, 490)
    assert (world.worker.draining, world.worker.signals, world.called.count("drain")) == (True, 0, 1)
    assert followed(world, 15).completions == DONE


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
            world = serving(mode, job_seconds=job_seconds, settings=settings)
            world.terminate()
            world.kill(watch(world.ports(), settings), call, moment)
            world.advance(3)
            followed(world, 60)
            assert world.completions == whole.completions, (call, moment)
            assert world.worker.state == "exited"
            assert world.worker.exit_code in (0, 1)
            assert world.rest_down
            if policy == "wait_idle":
                assert world.jobs == whole.jobs, (call, moment)


@each_mode
def test_a_life_of_one_second_at_a_time_still_drains(mode: Mode) -> None:
    world = serving(mode, job_seconds=100)
    world.terminate()
    for _ in range(150):
        followed(world, 0.9)
        world.advance(0.5)
    assert (world.completions, world.jobs) == (DONE, ["finished"])


def test_an_agent_that_may_not_complete_the_hook_leaves_it_to_its_default_and_says_so() -> None:
    world = serving()
    world.faults["complete"] = [Refused("autoscaling:CompleteLifecycleAction", "AccessDenied")] * 1000
    ended(world, 700)
    assert (world.completions, world.timed_out) == ([], [HOOK])
    assert world.steps("hook_left_to_its_default")
