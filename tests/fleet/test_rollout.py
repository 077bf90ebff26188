"""rollout.yml and rollback.yml on simulated instances, whose hooks are completed as agents do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from localcloud.testing import repeatedly

from tests.fleet.cloud import Run
from tests.fleet.fleet import GROUP
from tests.fleet.healthy import HealthyFleet

ROLLOUT, ROLLBACK = "playbooks/rollout.yml", "playbooks/rollback.yml"
QUICK: dict[str, Any] = {"fleet_rollout_bake_minutes": 0}
TAG, LAST_VERSION_TAG = "ghosthands:rollout", "ghosthands:last-version"


def versions(fleet: HealthyFleet) -> dict[str, str]:
    """Instance in service -> its launch template version."""
    return {
        i["InstanceId"]: i["LaunchTemplate"]["Version"]
        for i in fleet.group()["Instances"]
        if i["LifecycleState"] == "InService"
    }


def pinned(fleet: HealthyFleet) -> str:
    """The version that the group launches."""
    return str(fleet.group()["LaunchTemplate"]["Version"])


def tags(fleet: HealthyFleet) -> dict[str, str]:
    """The rollout's tags of the group."""
    return {t["Key"]: t["Value"] for t in fleet.group()["Tags"] if t["Key"] in (TAG, LAST_VERSION_TAG)}


def refreshes(fleet: HealthyFleet) -> list[dict[str, Any]]:
    """The group's refreshes, the oldest first."""
    found = fleet.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"]
    return list(reversed(found))


def agents(fleet: HealthyFleet) -> Callable[[], None]:
    """What agents do: complete the termination hook."""

    def act() -> None:
        for instance in fleet.group().get("Instances", []):
            if instance["LifecycleState"] == "Terminating:Wait":
                fleet.complete(instance["InstanceId"])

    return act


def play(fleet: HealthyFleet, playbook: str = ROLLOUT, *more: str, **variables: Any) -> Run:
    with repeatedly(agents(fleet), every=0.2):
        return fleet.play(playbook, *more, **QUICK, **variables)


@pytest.fixture
def image(fleet: HealthyFleet) -> HealthyFleet:
    """A fleet of two, with a newer image than the one that it runs."""
    fleet.add_image()
    fleet.clear_trace()
    return fleet


def test_the_newest_image_replaces_every_instance_and_moves_the_version(image: HealthyFleet) -> None:
    before = versions(image)
    checked = play(image, ROLLOUT, "--check", "--diff")
    assert (checked.returncode, image.writes()) == (0, []), checked
    run = play(image)
    assert run.returncode == 0, run
    print(run)
    after = versions(image)
    assert set(after.values()) == {"2"} == {pinned(image)}
    assert not set(before) & set(after)
    assert tags(image) == {LAST_VERSION_TAG: f"1 {image.group()['LaunchTemplate']['LaunchTemplateId']}"}
    assert [r["Status"] for r in refreshes(image)] == ["Cancelled", "Successful"]
    image.clear_trace()
    again = play(image)
    assert (again.returncode, again.changed, image.writes()) == (0, 0, []), again
