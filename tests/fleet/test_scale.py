"""scale.yml: sizes by hand, beside VALET."""

from __future__ import annotations

import time
from threading import Thread
from typing import Any

import pytest

from tests.fleet.fleet import GROUP
from tests.fleet.healthy import HealthyFleet

PLAYBOOK = "playbooks/scale.yml"


def sizes(fleet: HealthyFleet) -> tuple[int, int, int]:
    group = fleet.group()
    return group["MinSize"], group["MaxSize"], group["DesiredCapacity"]


def test_a_plan_then_the_sizes_then_nothing_to_do(fleet: HealthyFleet) -> None:
    before = sizes(fleet)
    plan = fleet.play(PLAYBOOK, "--check", fleet_scale_desired=3)
    assert (plan.returncode, plan.changed, fleet.writes()) == (0, 1, []), plan
    assert "1 to 10, desired 2 -> 1 to 10, desired 3" in plan.stdout
    assert "VALET sets the sizes" in plan.stdout
    run = fleet.play(PLAYBOOK, fleet_scale_desired=3)
    assert (run.returncode, run.changed) == (0, 1), run
    assert len(fleet.in_service()) == 3
    assert sizes(fleet) == (*before[:2], 3)
    fleet.clear_trace()
    again = fleet.play(PLAYBOOK, fleet_scale_desired=3)
    assert (again.returncode, again.changed, fleet.writes()) == (0, 0, []), again


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "Say what to set"),
        ({"fleet_scale_desired": 11}, "outside of 1 to 10"),
        ({"fleet_scale_min": 4, "fleet_scale_max": 3}, "Min size 4 would be above max size 3"),
        ({"fleet_scale_desired": -2}, "fleet_scale_desired is -2"),
    ],
)
def test_bad_sizes_are_refused_before_anything(variables: dict[str, Any], said: str, fleet: HealthyFleet) -> None:
    run = fleet.play(PLAYBOOK, **variables)
    assert said in run.message, run
    assert fleet.writes() == []


def test_a_scale_in_waits_for_a_busy_instance_and_says_so(fleet: HealthyFleet) -> None:
    fleet.client("autoscaling").set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=fleet.in_service(), ProtectedFromScaleIn=True
    )
    run = fleet.play(PLAYBOOK, fleet_scale_desired=1, fleet_scale_timeout=10)
    assert "has not its sizes after 10 s" in run.message, run
    assert "2 InService, 1 more than desired, of 2 protected instances" in run.stdout
    assert sizes(fleet) == (1, 10, 1)


def test_where_valet_scales_meanwhile_its_capacity_holds(fleet: HealthyFleet) -> None:
    fleet.client("autoscaling").set_instance_protection(
        AutoScalingGroupName=GROUP, InstanceIds=fleet.in_service(), ProtectedFromScaleIn=True
    )

    def valet() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and fleet.group()["DesiredCapacity"] != 1:
            time.sleep(0.2)
        fleet.update(DesiredCapacity=4)

    scaler = Thread(target=valet)
    scaler.start()
    run = fleet.play(PLAYBOOK, fleet_scale_desired=1)
    scaler.join()
    assert run.returncode == 0, run
    assert "desired capacity is 4 now, somebody else has set it" in run.stdout
