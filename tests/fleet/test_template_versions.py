"""Launch template versions: when one is created, which one the group uses, and which image it has."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.fleet.cloud import PlaybookCloud, Run
from tests.fleet.fleet import LAUNCH_OPERATIONS
from tests.fleet.healthy import HealthyFleet

TEMPLATE, IMAGE = "gh-worker-local-lt", "ami-010ca1c10d000a001"
ADOPT = {"fleet_new_version": "adopt"}


def versions(cloud: PlaybookCloud) -> list[dict[str, Any]]:
    """The template's versions, oldest first."""
    found = cloud.client("ec2").describe_launch_template_versions(LaunchTemplateName=TEMPLATE)["LaunchTemplateVersions"]
    return sorted(found, key=lambda version: int(version["VersionNumber"]))


def group_version(cloud: PlaybookCloud) -> str:
    """The version that the group uses, as it names it."""
    return str(cloud.group()["LaunchTemplate"]["Version"])


def site(cloud: PlaybookCloud, **variables: Any) -> Run:
    run = cloud.play("site.yml", **variables)
    assert run.returncode == 0, run
    return run


def newer_image(cloud: PlaybookCloud) -> str:
    """Add an image of the account that is newer than the group's."""
    ec2 = cloud.client("ec2")
    image = str(
        ec2.copy_image(SourceImageId=IMAGE, SourceRegion="us-east-1", Name="gh-worker-20990101000000")["ImageId"]
    )
    ec2.create_tags(Resources=[image], Tags=[{"Key": "ghosthands:agent-schema", "Value": "4"}])
    return image


def test_a_run_that_changes_nothing_creates_no_version(fleet: HealthyFleet) -> None:
    site(fleet)
    assert len(versions(fleet)) == 1


def test_a_removed_parameter_creates_exactly_one_version_without_it(fleet: HealthyFleet) -> None:
    assert versions(fleet)[-1]["LaunchTemplateData"]["KeyName"] == "valet-worker"
    for _ in range(2):
        site(fleet, fleet_key_name="")
        assert len(versions(fleet)) == 2
    assert "KeyName" not in versions(fleet)[-1]["LaunchTemplateData"]
    assert (group_version(fleet), versions(fleet)[-1]["DefaultVersion"]) == ("1", True)


@pytest.mark.slow
def test_a_kms_key_is_set_and_removed_with_one_version_each(fleet: HealthyFleet) -> None:
    kms = fleet.client("kms")
    key = kms.create_key()["KeyMetadata"]
    role = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=role, Operations=LAUNCH_OPERATIONS)
    steps: list[tuple[int, dict[str, Any]]] = [(2, {"fleet_volume_kms_key_id": key["Arn"]}), (3, {})]
    for number, variables in steps:
        for _ in range(2):
            assert fleet.play("playbooks/launch_template.yml", **variables).returncode == 0
            assert len(versions(fleet)) == number
    ebs = [version["LaunchTemplateData"]["BlockDeviceMappings"][0]["Ebs"] for version in versions(fleet)]
    assert [e.get("KmsKeyId") for e in ebs] == [None, key["Arn"], None]
    assert [e["Encrypted"] for e in ebs] == [True] * 3


def test_adopt_changes_the_groups_version_and_leaves_its_instances(fleet: HealthyFleet) -> None:
    before = {i["InstanceId"]: i["LaunchTemplate"]["Version"] for i in fleet.group()["Instances"]}
    site(fleet, fleet_volume_size_gib=50, **ADOPT)
    assert group_version(fleet) == "2"
    assert {i["InstanceId"]: i["LaunchTemplate"]["Version"] for i in fleet.group()["Instances"]} == before


def test_hold_creates_a_version_that_is_reported_as_pending(fleet: HealthyFleet) -> None:
    pending = (
        "Launch template version 2 is pending: the group keeps version 1 until a rollout (fleet_new_version: hold)."
    )
    first = site(fleet, fleet_volume_size_gib=50)
    assert (first.changed_tasks, pending in first.stdout) == (["Create the launch template"], True)
    assert (group_version(fleet), len(versions(fleet))) == ("1", 2)
    assert [v["VersionDescription"] for v in versions(fleet)] == ["the first version", "VolumeSize 40 -> 50"]
    fleet.clear_trace()
    again = site(fleet, fleet_volume_size_gib=50)
    assert (again.changed, again.differs, fleet.writes(), pending in again.stdout) == (0, [], [], True)
    adopted = site(fleet, fleet_volume_size_gib=50, **ADOPT)
    assert adopted.changed_tasks == ["Create or update the Auto Scaling group"], "adopting it changes the group only"
    assert group_version(fleet) == "2"


def test_a_version_that_says_the_same_as_the_groups_is_not_pending(fleet: HealthyFleet) -> None:
    fleet.version(lambda data: data.update(InstanceType="t3.large"))  # a rollout that was rolled back
    back = site(fleet)
    assert (len(versions(fleet)), group_version(fleet)) == (3, "1")
    assert versions(fleet)[-1]["VersionDescription"] == "instance_type t3.large -> t3.medium"
    again = site(fleet)
    assert (again.changed, "is pending" in again.stdout, "is pending" in back.stdout) == (0, False, True)


def test_hooks_do_not_change_without_the_agents_that_complete_them(fleet: HealthyFleet) -> None:
    run = fleet.play("site.yml", fleet_launch_hook_name="other")
    assert run.returncode != 0
    assert "whose agents have LAUNCH_HOOK=gh-worker-local-launch, and its hooks are to be other" in run.message
    assert len(versions(fleet)) == 1
    site(fleet, fleet_launch_hook_name="other", **ADOPT)
    assert group_version(fleet) == "2"


@pytest.mark.slow
def test_the_version_latest_stays_and_follows(fleet: HealthyFleet) -> None:
    latest: dict[str, Any] = {"fleet_template_version": "$Latest"}
    assert site(fleet, **latest).changed_tasks == ["Create or update the Auto Scaling group"]
    assert group_version(fleet) == "$Latest"
    assert site(fleet, **latest, fleet_volume_size_gib=50).changed_tasks == ["Create the launch template"]
    assert (group_version(fleet), len(versions(fleet))) == ("$Latest", 2)


def test_keep_never_changes_to_a_newer_image_and_newest_does(fleet: HealthyFleet) -> None:
    newer = newer_image(fleet)
    assert site(fleet).changed == 0
    assert site(fleet, fleet_volume_size_gib=50, **ADOPT).changed_tasks == [
        "Create the launch template",
        "Create or update the Auto Scaling group",
    ]
    assert [v["LaunchTemplateData"]["ImageId"] for v in versions(fleet)] == [IMAGE, IMAGE], (
        "not even with another change"
    )
    site(fleet, fleet_volume_size_gib=50, fleet_image="newest", **ADOPT)
    assert versions(fleet)[-1]["LaunchTemplateData"]["ImageId"] == newer
    assert site(fleet, fleet_volume_size_gib=50).changed == 0, "and keep keeps that image"


@pytest.mark.slow
def test_keep_means_the_image_of_the_groups_version_not_of_a_pending_one(fleet: HealthyFleet) -> None:
    newer = newer_image(fleet)
    site(fleet, fleet_image="newest")
    assert versions(fleet)[-1]["LaunchTemplateData"]["ImageId"] == newer
    site(fleet)
    assert versions(fleet)[-1]["LaunchTemplateData"]["ImageId"] == IMAGE


@pytest.mark.slow
def test_an_image_id_is_used(fleet: HealthyFleet) -> None:
    newer = newer_image(fleet)
    site(fleet, fleet_image=newer, **ADOPT)
    assert (versions(fleet)[-1]["LaunchTemplateData"]["ImageId"], group_version(fleet)) == (newer, "2")
    site(fleet, fleet_image=IMAGE, **ADOPT)
    assert (versions(fleet)[-1]["LaunchTemplateData"]["ImageId"], group_version(fleet)) == (IMAGE, "3")


def test_a_new_fleet_uses_the_newest_own_image_of_its_architecture(cloud: PlaybookCloud) -> None:
    checked = cloud.play("playbooks/launch_template.yml", "--check", "--diff", fleet_instance_type="t4g.medium")
    assert checked.returncode == 0, checked
    assert '"image_id": "ami-010ca1c10d000a002"' in checked.stdout
    assert '"unknown until applied": "network_interfaces"' in checked.stdout, "the security group has no id yet"


def test_user_data_is_configuration_only(fleet: HealthyFleet) -> None:
    text = base64.b64decode(versions(fleet)[-1]["LaunchTemplateData"]["UserData"]).decode()
    assert text.startswith("#cloud-config\nwrite_files:\n  - path: /etc/ghosthands/agent.conf\n")
    assert "runcmd" not in text
    lines = [
        "SCHEMA=4",
        "REGION=us-east-1",
        "GROUP=gh-worker-local-asg",
        "TERMINATION_HOOK=gh-worker-local-termination",
    ]
    assert "".join(f"      {line}\n" for line in lines) in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "value", "found"),
    [
        ("fleet_metadata_hop_limit", 3, lambda data: data["MetadataOptions"]["HttpPutResponseHopLimit"] == 3),
        ("fleet_public_address", False, lambda data: data["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False),
    ],
)
def test_an_option_of_the_instance_reaches_the_template(
    option: str, value: Any, found: Any, fleet: HealthyFleet
) -> None:
    data = versions(fleet)[-1]["LaunchTemplateData"]
    assert (data["MetadataOptions"]["HttpTokens"], data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]) == (
        "required",
        True,
    )
    assert not found(data)
    assert fleet.play("playbooks/launch_template.yml", **{option: value}).returncode == 0
    assert found(versions(fleet)[-1]["LaunchTemplateData"])


@pytest.mark.parametrize("new_version", ["adopt", "hold"])
def test_a_template_that_was_deleted_and_made_anew_is_another_one_and_the_group_moves_to_it(
    fleet: HealthyFleet, new_version: str
) -> None:
    fleet.version(lambda data: None)
    fleet.set_version("2")
    made = fleet.recreate_template()
    run = site(fleet, fleet_new_version=new_version)
    assert run.differs == [("autoscaling_group", "Create or update the Auto Scaling group")], run
    used = fleet.group()["LaunchTemplate"]
    assert (used["LaunchTemplateId"], used["Version"]) == (made, "1")
    assert site(fleet, fleet_new_version=new_version).differs == []
    fleet.update(DesiredCapacity=3)
    assert len(fleet.in_service()) == 3
