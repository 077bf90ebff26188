"""Images as Packer makes, marks and shares them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.localcloud.wanted import IMAGE, SUBNETS, refused

TAGS = [{"Key": "Name", "Value": "gh-worker-golden"}]


@pytest.fixture
def builder(ec2: Any) -> str:
    """A running instance with a root volume of 40 GiB."""
    devices = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 40, "VolumeType": "gp3", "Encrypted": True}}]
    made = ec2.run_instances(
        ImageId=IMAGE, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=SUBNETS[0], BlockDeviceMappings=devices
    )
    return str(made["Instances"][0]["InstanceId"])


def shown(ec2: Any, id: str) -> dict[str, Any]:
    """An image as DescribeImages shows it."""
    return dict(ec2.describe_images(ImageIds=[id])["Images"][0])


def test_an_image_has_its_instances_volume_and_its_snapshot_the_tags_meant_for_it(ec2: Any, builder: str) -> None:
    specifications = [{"ResourceType": "image", "Tags": TAGS}, {"ResourceType": "snapshot", "Tags": [{"Key": "Of", "Value": "worker"}]}]
    id = ec2.create_image(InstanceId=builder, Name="gh-worker-1", Description="d", TagSpecifications=specifications)["ImageId"]
    image = shown(ec2, id)
    assert (image["Name"], image["Architecture"], image["RootDeviceName"], image["State"], image["Tags"]) == (
        "gh-worker-1",
        "x86_64",
        "/dev/xvda",
        "available",
        TAGS,
    )
    ebs = image["BlockDeviceMappings"][0]["Ebs"]
    assert (ebs["VolumeSize"], ebs["VolumeType"], ebs["Encrypted"]) == (40, "gp3", True)
    snapshot = ec2.describe_snapshots(SnapshotIds=[ebs["SnapshotId"]])["Snapshots"][0]
    assert snapshot["Tags"] == [{"Key": "Of", "Value": "worker"}]
    assert f"CreateImage({builder}) for {id}" in snapshot["Description"]


def test_an_image_boots_again(ec2: Any, builder: str) -> None:
    id = ec2.create_image(InstanceId=builder, Name="gh-worker-1")["ImageId"]
    again = ec2.run_instances(ImageId=id, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])["Instances"][0]
    volume = again["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 40


def test_a_name_is_taken_once_and_free_again_after_deregistering(ec2: Any, builder: str) -> None:
    id = ec2.create_image(InstanceId=builder, Name="gh-worker-1")["ImageId"]
    with refused("InvalidAMIName.Duplicate", f"AMI name gh-worker-1 is already in use by AMI {id}"):
        ec2.create_image(InstanceId=builder, Name="gh-worker-1")
    ec2.deregister_image(ImageId=id)
    ec2.create_image(InstanceId=builder, Name="gh-worker-1")


def test_devices_of_the_call_are_laid_over_the_instances(ec2: Any, builder: str) -> None:
    devices = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 60}}, {"DeviceName": "/dev/xvdb", "Ebs": {"VolumeSize": 5}}]
    id = ec2.create_image(InstanceId=builder, Name="gh-worker-1", BlockDeviceMappings=devices)["ImageId"]
    assert [(d["DeviceName"], d["Ebs"]["VolumeSize"]) for d in shown(ec2, id)["BlockDeviceMappings"]] == [
        ("/dev/xvda", 60),
        ("/dev/xvdb", 5),
    ]


def test_a_registered_image_keeps_architecture_root_device_and_the_rest(ec2: Any, builder: str) -> None:
    first = ec2.create_image(InstanceId=builder, Name="gh-worker-1")["ImageId"]
    snapshot = shown(ec2, first)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    id = ec2.register_image(
        Name="gh-worker-2",
        Architecture="arm64",
        RootDeviceName="/dev/sda1",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot, "VolumeType": "gp3"}}],
        ImdsSupport="v2.0",
        TagSpecifications=[{"ResourceType": "image", "Tags": TAGS}],
    )["ImageId"]
    image = shown(ec2, id)
    assert (image["Architecture"], image["RootDeviceName"], image["RootDeviceType"], image["ImdsSupport"], image["Tags"]) == (
        "arm64",
        "/dev/sda1",
        "ebs",
        "v2.0",
        TAGS,
    )
    assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 40
    with refused("InvalidBlockDeviceMapping"):
        ec2.register_image(Name="gh-worker-3", RootDeviceName="/dev/sda1")


def test_deprecation_is_set_shown_and_taken_back(ec2: Any, builder: str) -> None:
    id = ec2.create_image(InstanceId=builder, Name="gh-worker-1")["ImageId"]
    at = datetime.now(UTC) + timedelta(days=90)
    ec2.enable_image_deprecation(ImageId=id, DeprecateAt=at)
    assert shown(ec2, id)["DeprecationTime"] == at.strftime("%Y-%m-%dT%H:%M:00.000Z")
    ec2.disable_image_deprecation(ImageId=id)
    assert "DeprecationTime" not in shown(ec2, id)
    with refused("InvalidParameterValue"):
        ec2.enable_image_deprecation(ImageId=id, DeprecateAt=datetime.now(UTC) - timedelta(days=1))
    with refused("InvalidAMIID.NotFound"):
        ec2.enable_image_deprecation(ImageId="ami-0123456789abcdef0", DeprecateAt=at)
    with refused("AuthFailure"):
        ec2.enable_image_deprecation(ImageId="ami-0137112412989a001", DeprecateAt=at)


def test_description_imds_support_and_launch_permission_are_modified(ec2: Any, builder: str) -> None:
    id = ec2.create_image(InstanceId=builder, Name="gh-worker-1")["ImageId"]
    ec2.modify_image_attribute(ImageId=id, Description={"Value": "new"})
    ec2.modify_image_attribute(ImageId=id, ImdsSupport={"Value": "v2.0"})
    ec2.modify_image_attribute(ImageId=id, LaunchPermission={"Add": [{"UserId": "210987654321"}]})
    assert (shown(ec2, id)["Description"], shown(ec2, id)["ImdsSupport"]) == ("new", "v2.0")
    attribute = ec2.describe_image_attribute(ImageId=id, Attribute="launchPermission")
    assert attribute["LaunchPermissions"] == [{"UserId": "210987654321"}]
    with refused("InvalidParameterValue"):
        ec2.modify_image_attribute(ImageId=id, ImdsSupport={"Value": "v1.0"})
