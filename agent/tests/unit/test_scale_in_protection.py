"""Scale-in protection: set while a job runs and removed when none does, whatever happened before."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from ghosthands_agent.ports import Refused, Unavailable
from ghosthands_agent.watch import watch
from model.agent_conf import SETTINGS
from unit.simulated_instance import SimulatedInstance

DOWN = Unavailable("autoscaling:SetInstanceProtection", "Throttling")
NOT_YET = Refused("autoscaling:SetInstanceProtection", "ValidationError")


def followed(instance: SimulatedInstance, seconds: float) -> SimulatedInstance:
    instance.follow(watch(instance.ports(), SETTINGS), seconds)
    return instance


def serving(**values: object) -> SimulatedInstance:
    instance = SimulatedInstance(**values)  # type: ignore[arg-type]
    instance.start_worker()
    return instance


LINGER = SETTINGS.protection_linger_seconds


def test_an_instance_is_protected_within_two_seconds_as_long_as_a_job_runs_and_for_a_while_after_it() -> None:
    instance = serving()
    procedure = watch(instance.ports(), SETTINGS)
    instance.after(10, lambda: instance.submit_job(60))
    instance.follow(procedure, 12)
    assert instance.protected
    instance.follow(procedure, 58 + LINGER - 2)
    assert instance.protected
    instance.follow(procedure, 4)
    assert not instance.protected


def test_jobs_that_follow_each_other_within_that_time_take_one_call() -> None:
    instance = serving()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 1)
    for _ in range(4):
        instance.submit_job(30)
        instance.follow(procedure, 30 + LINGER - 5)
    assert instance.protection_calls == [False, True]


def test_without_that_time_a_protection_ends_with_its_job() -> None:
    settings = replace(SETTINGS, protection_linger_seconds=0)
    instance = serving()
    procedure = watch(instance.ports(), settings)
    instance.submit_job(30)
    instance.follow(procedure, 29)
    assert instance.protected
    instance.follow(procedure, 2)
    assert not instance.protected


def test_a_job_that_ends_unprotected_leaves_nothing_to_linger() -> None:
    instance = serving(faults={"protect": [DOWN] * 4})
    instance.submit_job(3)
    followed(instance, 60)
    assert instance.protection_calls == [False]


def test_an_instance_is_not_protected_for_ever_though_the_call_that_ends_it_fails_for_long() -> None:
    instance = serving()
    procedure = watch(instance.ports(), SETTINGS)
    instance.submit_job(10)
    instance.follow(procedure, 20)
    instance.faults["protect"] = [DOWN] * 10
    instance.follow(procedure, LINGER + 300)
    assert not instance.protected


def test_protection_is_set_on_changes_and_now_and_then_at_no_fixed_time() -> None:
    instance = serving()
    times: list[float] = []
    procedure = watch(instance.ports(), SETTINGS)
    for _ in range(10_000):
        before = len(instance.protection_calls)
        instance.follow(procedure, 1)
        times += [instance.now] * (len(instance.protection_calls) - before)
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert set(instance.protection_calls) == {False}
    assert min(gaps) >= 299
    assert max(gaps) <= 902
    assert len(set(gaps)) > len(gaps) / 2


def test_a_repetition_that_fails_does_not_end_a_protection() -> None:
    instance = serving()
    procedure = watch(instance.ports(), SETTINGS)
    instance.submit_job(2000)
    instance.follow(procedure, 200)
    instance.faults["protect"] = [DOWN] * 3
    instance.follow(procedure, 1700)
    assert set(instance.protection_calls) == {True}
    assert instance.faults["protect"] == []


def test_protection_that_was_left_on_an_idle_instance_is_removed() -> None:
    assert not followed(serving(protected=True), 2).protected


def test_an_instance_whose_worker_does_not_run_is_not_protected() -> None:
    instance = serving(protected=True)
    instance.host.stop_container("stopped by somebody", 10.0)
    instance.advance(1)
    assert not followed(instance, 2).protected


def test_an_instance_without_any_container_is_not_protected() -> None:
    assert not followed(SimulatedInstance(protected=True), 2).protected


@pytest.mark.parametrize("protected", [True, False])
def test_a_worker_that_runs_and_does_not_answer_changes_nothing(protected: bool) -> None:
    instance = serving(protected=protected)
    instance.host.worker_hangs_until = math.inf
    followed(instance, 100)
    assert (instance.protected, instance.protection_calls) == (protected, [])


def test_a_docker_that_does_not_answer_changes_nothing() -> None:
    instance = serving(protected=True)
    instance.host.stop_container("stopped by somebody", 10.0)
    instance.advance(1)
    instance.faults["services"] = [Unavailable("docker", "exit 1")] * 1000
    assert followed(instance, 100).protected


def test_docker_is_called_every_few_seconds_only() -> None:
    instance = SimulatedInstance()
    assert followed(instance, 100).called.count("services") <= 21


def test_a_throttled_call_is_repeated_less_and_less_often_until_it_worked() -> None:
    instance = serving(faults={"protect": [DOWN] * 20})
    instance.submit_job(1000)
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 20)
    assert 3 <= instance.called.count("protect") <= 20
    instance.follow(procedure, 20 * 30)
    assert instance.protected
    assert len(instance.steps("scale_in_protection_failed")) == 1


def test_a_new_job_is_protected_at_once_whatever_failed_before() -> None:
    instance = serving(faults={"protect": [DOWN] * 8})
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 5)
    while instance.faults["protect"]:
        instance.follow(procedure, 1)
    instance.submit_job(100)
    instance.follow(procedure, 1)
    assert instance.protected


def test_a_failed_change_of_protection_is_repeated() -> None:
    instance = serving()
    instance.submit_job(10)
    instance.after(LINGER + 9, lambda: instance.faults.update(protect=[DOWN] * 3))
    assert not followed(instance, LINGER + 60).protected
    assert instance.faults["protect"] == []


def test_a_call_refused_while_the_instance_is_pending_is_repeated() -> None:
    instance = serving(faults={"protect": [NOT_YET] * 5})
    instance.submit_job(1000)
    assert followed(instance, 40).protected
    assert instance.called.count("protect") == 6


def test_a_protection_whose_answer_was_lost_is_repeated() -> None:
    instance = serving(lost_answers={"protect": 1})
    followed(instance, 8)
    assert instance.protection_calls == [False, False]


@pytest.mark.parametrize("target", [None, "Standby", "Detached", "Warmed:Stopped"])
def test_protection_is_not_set_unless_in_service(target: str | None) -> None:
    instance = serving(target=target)
    instance.submit_job(1000)
    assert followed(instance, 100).called.count("protect") == 0


def test_back_from_standby_the_protection_is_set_again() -> None:
    instance = serving()
    instance.submit_job(1000)
    followed(instance, 0.1)
    procedure = watch(instance.ports(), SETTINGS)
    instance.after(5, lambda: setattr(instance.host, "target", "Standby"))
    instance.after(20, lambda: setattr(instance.host, "target", "InService"))
    instance.after(19, lambda: setattr(instance, "protected", False))
    instance.follow(procedure, 23)
    assert instance.protected


def test_while_the_metadata_service_is_down_the_last_target_state_counts() -> None:
    instance = serving()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 5)
    instance.faults["target_state"] = [Unavailable("imds", "Timeout")] * 1000
    instance.submit_job(1000)
    instance.follow(procedure, 5)
    assert instance.protected


def test_a_job_taken_after_an_idle_status_is_protected_at_the_next_status() -> None:
    instance = serving()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 5)
    assert instance.protection_calls == [False]
    instance.submit_job(100)
    instance.follow(procedure, 2)
    assert instance.protection_calls == [False, True]


def test_killed_at_any_call_and_restarted_no_idle_instance_stays_protected() -> None:
    whole = serving()
    whole.submit_job(3)
    followed(whole, 8)
    for call in range(1, whole.call_count):
        for moment in ("before", "after"):
            instance = serving()
            instance.submit_job(3)
            instance.kill(watch(instance.ports(), SETTINGS), call, moment)
            instance.advance(5)
            assert not followed(instance, 3).protected, (call, moment)
