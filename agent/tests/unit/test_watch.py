"""The procedure `watch`: when its process has to be started anew, and target states that end the running system."""

from __future__ import annotations

import pytest
from ghosthands_agent.monitor import NO_CREDENTIALS_LIMIT
from ghosthands_agent.ports import NO_CREDENTIALS, Refused, Unavailable
from ghosthands_agent.watch import NO_CREDENTIALS_EXIT, watch
from model.agent_conf import SETTINGS
from unit.simulated_instance import SimulatedInstance

WITHOUT = Unavailable("autoscaling:set_instance_protection", NO_CREDENTIALS)
DONE = [(SETTINGS.termination_hook, "CONTINUE")]


def serving() -> SimulatedInstance:
    instance = SimulatedInstance()
    instance.start_worker()
    return instance


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["protect", "heartbeat", "complete"])
def test_a_process_that_finds_no_credentials_ends_with_its_own_code_and_says_why(call: str) -> None:
    instance = serving()
    instance.faults[call] = [WITHOUT] * NO_CREDENTIALS_LIMIT
    if call == "heartbeat":
        instance.submit_job(1000)
    if call != "protect":
        instance.terminate()
    assert instance.run(watch(instance.ports(), SETTINGS), 1000) == NO_CREDENTIALS_EXIT
    (step,) = instance.steps("watch_restarts")
    assert step == {"reason": NO_CREDENTIALS, "failures": NO_CREDENTIALS_LIMIT}


def test_the_next_process_completes_what_the_one_without_credentials_could_not() -> None:
    instance = serving()
    instance.faults["complete"] = [WITHOUT] * NO_CREDENTIALS_LIMIT
    instance.submit_job(20)
    instance.terminate()
    assert instance.run(watch(instance.ports(), SETTINGS), 1000) == NO_CREDENTIALS_EXIT
    instance.follow(watch(instance.ports(), SETTINGS), 30)
    assert (instance.completions, instance.timed_out, instance.job_results) == (DONE, [], ["finished"])


def test_a_few_calls_without_credentials_are_retried() -> None:
    instance = serving()
    instance.faults["protect"] = [WITHOUT] * (NO_CREDENTIALS_LIMIT - 1)
    instance.submit_job(2000)
    instance.follow(watch(instance.ports(), SETTINGS), 1000)
    assert instance.protected
    assert instance.steps("watch_restarts") == []


def test_other_errors_never_end_the_process() -> None:
    instance = serving()
    instance.faults["protect"] = [Unavailable("autoscaling", "Throttling")] * 200
    instance.follow(watch(instance.ports(), SETTINGS), 1000)
    assert instance.steps("watch_restarts") == []


# --- the hook's calls come first --------------------------------------------------------------------------------------


def test_a_heartbeat_that_is_denied_is_retried_at_once_as_one_that_is_throttled() -> None:
    """A policy that was just rewritten denies for a while."""
    instance = serving()
    instance.submit_job(1000)
    instance.faults["heartbeat"] = [Refused("autoscaling:record_lifecycle_action_heartbeat", "AccessDenied")] * 3
    instance.terminate()
    instance.follow(watch(instance.ports(), SETTINGS), 60)
    assert instance.heartbeats
    assert instance.heartbeats[0] < instance.now - 60 + 30


def test_protection_is_neither_called_nor_retried_once_the_instance_is_to_terminate() -> None:
    instance = serving()
    instance.faults["protect"] = [Unavailable("autoscaling", "Throttling")] * 1000
    procedure = watch(instance.ports(), SETTINGS)
    instance.submit_job(100)
    instance.follow(procedure, 30)
    instance.terminate()
    instance.follow(procedure, 1)
    before = instance.called.count("protect")
    instance.follow(procedure, 100)
    assert instance.called.count("protect") == before
    assert instance.completions == DONE


def test_a_completion_that_is_given_up_says_so_with_its_last_error() -> None:
    instance = serving()
    instance.faults["complete"] = [Unavailable("autoscaling:complete_lifecycle_action", "Throttling")] * 10_000
    instance.terminate()
    instance.follow(watch(instance.ports(), SETTINGS), 400)
    (step,) = instance.steps("hook_left_to_its_default")
    assert step["code"] == "Throttling"
    assert isinstance(step["tries"], int)
    assert 300 / 10 <= step["tries"] <= 300 / 1


# --- target states ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["Warmed:Terminated", "Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated", "RootVolumeReplaced"],
)
def test_a_worker_is_drained_and_the_hook_completed_before_its_system_goes(target: str) -> None:
    instance = serving()
    instance.submit_job(40)

    def leave() -> None:
        instance.terminate()
        instance.host.target = target

    instance.after(10, leave)
    instance.follow(watch(instance.ports(), SETTINGS), 60)
    assert (instance.completions, instance.job_results) == (DONE, ["finished"])
    assert instance.container.state == "exited"


@pytest.mark.parametrize("target", ["Warmed:Stopped", "Warmed:Running", "ReplacingRootVolume", "RootVolumeReplaced"])
def test_nothing_is_drained_on_a_system_that_has_not_served_yet(target: str) -> None:
    instance = SimulatedInstance(target=target)
    instance.follow(watch(instance.ports(), SETTINGS), 30)
    assert (instance.host.flags, instance.steps("drain_began")) == ({}, [])


def test_out_of_a_warm_pool_an_instance_terminates_at_once() -> None:
    instance = SimulatedInstance(target="Warmed:Running")
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 30)
    instance.terminate()
    instance.host.target = "Warmed:Terminated"
    instance.follow(procedure, 30)
    assert instance.completions == DONE
