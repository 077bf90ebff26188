"""Desired capacity is VALET's: no run reverts an outside scaler."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from localcloud.testing import repeatedly

from tests.fleet.cloud import PlaybookCloud
from tests.fleet.healthy import HealthyFleet

GROUP = "gh-worker-local-asg"
# With 50 changes per second, instances would never be done launching and terminating.
NO_INSTANCES: dict[str, Any] = {"fleet_suspended_processes": ["AZRebalance", "Launch", "Terminate"]}


class Scaler:
    """Does what VALET does, but faster: writes desired capacity and sometimes the sizes, and notices other writes."""

    def __init__(self, cloud: PlaybookCloud) -> None:
        self._autoscaling = cloud.client("autoscaling")
        self._cloud = cloud
        self._numbers = itertools.cycle([3, 5, 2, 7, 4, 6])
        self.desired = cloud.group()["DesiredCapacity"]
        self.sizes = (1, 10)
        self.writes: dict[str, int] = {"SetDesiredCapacity": 0, "UpdateAutoScalingGroup": 0}
        self.reverted: list[tuple[Any, ...]] = []

    def __call__(self) -> None:
        """Read the group, then write."""
        group = self._cloud.group()
        found, own = (group["DesiredCapacity"], group["MinSize"], group["MaxSize"]), (self.desired, *self.sizes)
        if found != own:
            self.reverted.append((found, own))
        self.desired = next(self._numbers)
        self._autoscaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=self.desired)
        self.writes["SetDesiredCapacity"] += 1
        if self.writes["SetDesiredCapacity"] % 25 == 0:
            self.sizes = (0, 12) if self.sizes == (1, 10) else (1, 10)
            self._autoscaling.update_auto_scaling_group(
                AutoScalingGroupName=GROUP, MinSize=self.sizes[0], MaxSize=self.sizes[1]
            )
            self.writes["UpdateAutoScalingGroup"] += 1


@pytest.mark.parametrize("runs", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_an_outside_scaler_is_never_reverted(runs: int, fleet: HealthyFleet) -> None:
    assert fleet.play("playbooks/autoscaling_group.yml", **NO_INSTANCES).returncode == 0
    scaler, updates = Scaler(fleet), 0
    fleet.clear_trace()
    with repeatedly(scaler, every=0.02):
        for n in range(runs):
            change: dict[str, Any] = (
                {"fleet_cooldown_seconds": 100 + n}
                if n % 4 == 1
                else {"fleet_tags": {"Turn": str(n)}}
                if n == 7
                else {}
            )
            book = (
                "site.yml"
                if n % 10 == 2
                else "playbooks/lifecycle_hook.yml"
                if n % 4 == 3
                else "playbooks/autoscaling_group.yml"
            )
            run = fleet.play(book, **NO_INSTANCES, **change)
            assert run.returncode == 0, run
            updates += run.changed_tasks.count("Create or update the Auto Scaling group")
    assert scaler.reverted == []
    assert (fleet.group()["DesiredCapacity"], fleet.group()["MinSize"], fleet.group()["MaxSize"]) == (
        scaler.desired,
        *scaler.sizes,
    )
    assert updates > runs // 4, "the runs did change the group meanwhile"
    assert scaler.writes["SetDesiredCapacity"] > 100

    calls = [call for call in fleet.calls() if call["service"] == "autoscaling"]
    of_sizes = [
        c for c in calls if c["action"] == "UpdateAutoScalingGroup" and {"MinSize", "MaxSize"} & c["parameters"].keys()
    ]
    assert [c for c in calls if "DesiredCapacity" in c["parameters"] and c["action"] != "SetDesiredCapacity"] == []
    assert len([c for c in calls if c["action"] == "SetDesiredCapacity"]) == scaler.writes["SetDesiredCapacity"], (
        "only the scaler's"
    )
    assert len(of_sizes) == scaler.writes["UpdateAutoScalingGroup"], "only the scaler's"
    assert len([c for c in calls if c["action"] == "UpdateAutoScalingGroup"]) > len(of_sizes), (
        "the runs wrote other settings"
    )


def test_sizes_that_valet_owns_are_only_reported(fleet: HealthyFleet) -> None:
    for how in (["--check"], []):
        run = fleet.play("site.yml", *how, fleet_min_size=3, fleet_max_size=4, fleet_desired_capacity=3)
        assert run.returncode == 0, run
        assert (
            "The group's sizes are 1 to 10, fleet_min_size and fleet_max_size say 3 to 4. Left to VALET." in run.stdout
        )
        assert "fleet_size_owner=playbook" in run.stdout
        assert ("autoscaling_group", "Create or update the Auto Scaling group") not in run.differs
    assert [action for action in fleet.writes() if action.startswith(("Update", "Set"))] == []


@pytest.mark.parametrize(("sizes", "clamped"), [((3, 10), 3), ((1, 1), 1)])
def test_sizes_that_the_playbook_owns_are_converged_and_aws_clamps_desired(
    sizes: tuple[int, int], clamped: int, fleet: HealthyFleet
) -> None:
    variables: dict[str, Any] = {
        "fleet_size_owner": "playbook",
        "fleet_min_size": sizes[0],
        "fleet_max_size": sizes[1],
        "fleet_desired_capacity": sizes[0],
    }
    run = fleet.play("playbooks/autoscaling_group.yml", **variables)
    assert run.changed_tasks == ["Create or update the Auto Scaling group"], run
    group = fleet.group()
    assert (group["MinSize"], group["MaxSize"], group["DesiredCapacity"]) == (*sizes, clamped)
    assert [c["parameters"] for c in fleet.calls() if "DesiredCapacity" in c["parameters"]] == []
    fleet.clear_trace()
    assert fleet.play("playbooks/autoscaling_group.yml", **variables).changed == 0
    assert fleet.writes() == []
