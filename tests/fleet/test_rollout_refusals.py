"""What rollout.yml and rollback.yml are refused for, before anything changes; and that status.yml shows a rollout."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from localcloud.testing import wait_until

from tests.fleet.fleet import GROUP, TERMINATION
from tests.fleet.healthy import IMAGE, HealthyFleet

ROLLOUT, ROLLBACK = "playbooks/rollout.yml", "playbooks/rollback.yml"
ARM, STRANGERS = "ami-010ca1c10d000a002", "ami-0999999999999a001"
DIGEST = f"sha256:{'0' * 64}"


def nothing(_fleet: HealthyFleet) -> None: ...


def older_schema(fleet: HealthyFleet) -> None:
    fleet.add_image()
    for image in fleet.client("ec2").describe_images(Owners=["self"])["Images"]:
        if image["ImageId"] != IMAGE:
            fleet.tag(image["ImageId"], "ghosthands:agent-schema", "3")


def without_agent(fleet: HealthyFleet) -> None:
    fleet.add_unmanaged()


def went_to_2(change: Callable[[dict[str, Any]], Any] = lambda data: None) -> Callable[[HealthyFleet], None]:
    """A fleet whose last rollout replaced a version with that change."""

    def apply(fleet: HealthyFleet) -> None:
        fleet.version(change)
        fleet.version(lambda data: data.update(InstanceType="t3.large"))
        fleet.set_version("3")
        value = f"2 {fleet.template_id()}"
        tag = {"ResourceId": GROUP, "ResourceType": "auto-scaling-group", "Key": "ghosthands:last-version"}
        fleet.client("autoscaling").create_or_update_tags(Tags=[{**tag, "Value": value, "PropagateAtLaunch": False}])

    return apply


def version_deleted(fleet: HealthyFleet) -> None:
    went_to_2()(fleet)
    fleet.client("ec2").delete_launch_template_versions(LaunchTemplateId=fleet.template_id(), Versions=["2"])


CASES = [
    (ROLLOUT, nothing, {"fleet_image": "ami-0123456789abcdef0"}, "Image ami-0123456789abcdef0 does not exist"),
    (ROLLOUT, nothing, {"fleet_image": ARM}, f"Image {ARM} is for arm64, but t3.medium runs x86_64."),
    (ROLLOUT, nothing, {"fleet_image": STRANGERS}, "belongs to account 999999999999: its system"),
    (ROLLOUT, older_schema, {}, "reads schema 3 of agent.conf, but these playbooks write 4."),
    (ROLLOUT, nothing, {"fleet_worker_image": f"@{DIGEST}"}, DIGEST),
    (ROLLOUT, lambda f: f.drop_hook(TERMINATION), {}, "has no termination hook"),
    (ROLLOUT, without_agent, {}, "1 instance without the agent"),
    (ROLLBACK, nothing, {}, "there is no version to go back to"),
    (ROLLBACK, version_deleted, {}, "has no version 2: it was deleted."),
    (
        ROLLBACK,
        went_to_2(lambda data: data.update(ImageId=ARM)),
        {},
        f"Image {ARM} of launch template version 2 is for",
    ),
    (ROLLBACK, went_to_2(lambda data: data.pop("UserData")), {}, "version 2 boots no worker"),
]


@pytest.mark.parametrize(
    ("playbook", "apply", "variables", "message"),
    [
        pytest.param(*case, id=case[3], marks=() if number in (1, 8) else pytest.mark.slow)
        for number, case in enumerate(CASES)
    ],
)
def test_it_is_refused_before_anything_changes(
    playbook: str,
    apply: Callable[[HealthyFleet], Any],
    variables: dict[str, Any],
    message: str,
    fleet: HealthyFleet,
) -> None:
    apply(fleet)
    fleet.clear_trace()
    run = fleet.play(playbook, **variables)
    assert run.returncode != 0
    assert message in run.message, run
    assert fleet.writes() == []


def test_status_shows_who_rolls_what_out_and_how_far_it_is(fleet: HealthyFleet) -> None:
    aws = fleet.client("autoscaling")
    fleet.version(lambda data: data.update(InstanceType="t3.large"))
    rollout = "version=2 from=1 run=1a2b3c4d since=2026-11-27T11:40:08Z going=forward by=arn:aws:iam::1:user/me"
    tag = {"ResourceId": GROUP, "ResourceType": "auto-scaling-group", "Key": "ghosthands:rollout", "Value": rollout}
    aws.create_or_update_tags(Tags=[{**tag, "PropagateAtLaunch": False}])
    template = {"LaunchTemplateId": fleet.template_id(), "Version": "2"}
    preferences = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110, "InstanceWarmup": 0}
    aws.start_instance_refresh(
        AutoScalingGroupName=GROUP,
        DesiredConfiguration={"LaunchTemplate": template},
        Preferences={**preferences, "CheckpointPercentages": [50, 100], "CheckpointDelay": 3600},
    )
    wait_until(lambda: fleet.in_state("Terminating:Wait"))
    shown = fleet.play("playbooks/status.yml")
    assert shown.returncode == 0, shown
    assert re.search(
        r"rollout +version 2 \(from 1\) +1 of 2 in service, since 2026-11-27T11:40:08Z, by arn:aws:iam::1:user/me",
        shown.stdout,
    ), shown
    assert re.search(
        r"refresh +\S+ +InProgress, 50 %, 1 to replace, to version 2: Reached the checkpoint at 50%", shown.stdout
    )
    assert re.search(r"Terminating:Wait.*version 1", shown.stdout)
    assert re.search(r"InService.*version 2.*, of the rollout", shown.stdout)
