"""Scale-in protection: there while a job runs, gone when none does, whatever happened before."""

from __future__ import annotations

import pytest
from ghosthands_agent.ports import Refused, Unavailable
from ghosthands_agent.watch import watch
from unit.world import SETTINGS, World

DOWN = Unavailable("autoscaling:SetInstanceProtection", "Throttling")
NOT_YET = Refused("autoscaling:SetInstanceProtection", "ValidationError")


def followed(world: World, seconds: float) -> World:
    world.follow(watch(world.ports(), SETTINGS), seconds)
    return world


def serving(**values: object) -> World:
    world = World(**values)  # type: ignore[arg-type]
    world.serve()
    return world


def test_a_job_protects_its_instance_within_two_seconds_and_its_end_unprotects_it() -> None:
    world = serving()
    world.after(10, lambda: world.take_job(60))
    followed(world, 12)
    assert world.protected
    followed(world, 60)
    assert not world.protected


def test_the_group_is_told_changes_only_and_once_in_five_minutes() -> None:
    assert followed(serving(), 1000).protection_calls == [False] * 4


def test_an_idle_instance_that_an_earlier_life_left_protected_is_unprotected() -> None:
    assert not followed(serving(protected=True), 2).protected


def test_an_instance_whose_worker_does_not_run_is_unprotected() -> None:
    world = serving(protected=True)
    world.exit(1)
    assert not followed(world, 2).protected


def test_an_instance_without_any_container_is_unprotected() -> None:
    assert not followed(World(protected=True), 2).protected


@pytest.mark.parametrize("protected", [True, False])
def test_a_worker_that_runs_and_does_not_answer_changes_nothing(protected: bool) -> None:
    world = serving(protected=protected)
    world.worker.answers = False
    followed(world, 100)
    assert (world.protected, world.protection_calls) == (protected, [])


def test_a_docker_that_does_not_answer_changes_nothing() -> None:
    world = serving(protected=True)
    world.exit(1)
    world.faults["services"] = [Unavailable("docker", "exit 1")] * 1000
    assert followed(world, 100).protected


def test_docker_is_asked_every_few_seconds_only() -> None:
    world = World()
    assert followed(world, 100).called.count("services") <= 21


def test_a_throttled_call_is_repeated_every_second_until_it_worked() -> None:
    world = serving(faults={"protect": [DOWN] * 30})
    world.take_job(1000)
    assert followed(world, 33).protected
    assert len(world.steps("scale_in_protection_failed")) == 1


def test_a_change_that_failed_is_not_taken_for_made() -> None:
    world = serving()
    world.take_job(10)
    world.after(9, lambda: world.faults.update(protect=[DOWN] * 3))
    assert not followed(world, 20).protected


def test_a_refusal_while_the_instance_is_still_pending_is_tried_again_less_often() -> None:
    world = serving(faults={"protect": [NOT_YET] * 10})
    world.take_job(1000)
    assert followed(world, 58).protected
    assert world.called.count("protect") == 11


def test_an_answer_that_was_lost_is_not_taken_for_done() -> None:
    world = serving(lost_answers={"protect": 1})
    followed(world, 5)
    assert world.protection_calls == [False, False]


@pytest.mark.parametrize("target", [None, "Standby", "Detached", "Warmed:Stopped"])
def test_nothing_is_asked_of_the_group_outside_service(target: str | None) -> None:
    world = serving(target=target)
    world.take_job(1000)
    assert followed(world, 100).called.count("protect") == 0


def test_back_from_standby_the_protection_is_set_again() -> None:
    world = serving()
    world.take_job(1000)
    followed(world, 0.1)
    procedure = watch(world.ports(), SETTINGS)
    world.after(5, lambda: setattr(world, "target", "Standby"))
    world.after(20, lambda: setattr(world, "target", "InService"))
    world.after(19, lambda: setattr(world, "protected", False))
    world.follow(procedure, 23)
    assert world.protected


def test_a_metadata_service_that_is_down_leaves_the_last_target_state_standing() -> None:
    world = serving()
    procedure = watch(world.ports(), SETTINGS)
    world.follow(procedure, 5)
    world.faults["target_state"] = [Unavailable("imds", "Timeout")] * 1000
    world.take_job(1000)
    world.follow(procedure, 5)
    assert world.protected


def test_a_job_taken_after_the_last_idle_look_is_protected_at_the_next() -> None:
    world = serving()
    procedure = watch(world.ports(), SETTINGS)
    world.follow(procedure, 5)
    assert world.protection_calls == [False]
    world.take_job(100)
    world.follow(procedure, 2)
    assert world.protection_calls == [False, True]


def test_killed_at_any_call_and_started_again_no_idle_instance_stays_protected() -> None:
    whole = serving()
    whole.take_job(3)
    followed(whole, 8)
    for call in range(1, whole.calls):
        for moment in ("before", "after"):
            world = serving()
            world.take_job(3)
            world.kill(watch(world.ports(), SETTINGS), call, moment)
            world.advance(5)
            assert not followed(world, 3).protected, (call, moment)
