"""drain.yml: one instance is ended through its hook, replaced or not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fleet.fleet import GROUP, TERMINATION
from tests.fleet.healthy import HealthyFleet
from tests.fleet.hooks import completed_hooks

PLAYBOOK = "playbooks/drain.yml"


@pytest.mark.parametrize("replaced", [True, False])
def test_it_leaves_through_its_hook_and_a_second_run_has_nothing_to_do(replaced: bool, fleet: HealthyFleet) -> None:
    one = fleet.in_service()[0]
    fleet.client("autoscaling").set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=[one], ProtectedFromScaleIn=True
    )
    fleet.clear_trace()
    options: dict[str, Any] = {"fleet_drain": one, "fleet_drain_replace": replaced}
    plan = fleet.play(PLAYBOOK, "--check", **options)
    assert (plan.returncode, plan.changed, fleet.writes()) == (0, 1, []), plan
    with completed_hooks(fleet):
        run = fleet.play(PLAYBOOK, **options)
    assert (run.returncode, run.changed) == (0, 1), run
    assert f"{one} is Terminating:Wait, job unknown (fleet_registry_dsn is empty)" in run.stdout
    assert fleet.writes().count("TerminateInstanceInAutoScalingGroup") == 1
    assert one not in fleet.lifecycle_states(GROUP)
    assert len(fleet.in_service()) == fleet.group()["DesiredCapacity"] == (2 if replaced else 1)
    fleet.clear_trace()
    again = fleet.play(PLAYBOOK, **options)
    assert (again.returncode, again.changed, fleet.writes()) == (0, 0, []), again


def test_a_drain_that_was_interrupted_is_waited_for_and_not_begun_again(fleet: HealthyFleet) -> None:
    one = fleet.in_service()[0]
    first = fleet.play(PLAYBOOK, fleet_drain=one, fleet_drain_timeout=10)
    assert "It goes on by itself" in first.message, first
    fleet.clear_trace()
    with completed_hooks(fleet):
        run = fleet.play(PLAYBOOK, fleet_drain=one)
    assert (run.returncode, run.changed) == (0, 0), run
    assert "TerminateInstanceInAutoScalingGroup" not in fleet.writes()


def test_one_whose_job_is_lost_is_retained_and_the_next_command_is_named(fleet: HealthyFleet) -> None:
    one = fleet.in_service()[0]
    with completed_hooks(fleet, "ABANDON"):
        run = fleet.play(PLAYBOOK, fleet_drain=one)
    assert f"{one} is retained" in run.message, run
    assert "release_retained.yml" in run.message


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("", "fleet_drain is '', no instance of gh-worker-local-asg"),
        ("i-0123456789abcdef0", "Name one of: i-"),
        ("gh-worker", "fleet_drain is 'gh-worker'"),
    ],
)
def test_an_id_that_is_no_instance_of_the_group_is_refused(which: str, said: str, fleet: HealthyFleet) -> None:
    run = fleet.play(PLAYBOOK, fleet_drain=which)
    assert said in run.message, run
    assert fleet.writes() == []


def test_without_the_hook_a_job_would_be_lost(fleet: HealthyFleet) -> None:
    fleet.drop_hook(TERMINATION)
    fleet.clear_trace()
    run = fleet.play(PLAYBOOK, fleet_drain=fleet.in_service()[0])
    assert "would be lost: run lifecycle_hook.yml first" in run.message, run
    assert fleet.writes() == []
