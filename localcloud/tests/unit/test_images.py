"""Images as Packer makes, marks and shares them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from localcloud.testing import Cloud
from unit.resources import IMAGE, SUBNETS, refused

TAGS = [{"Key": "Name", "Value": "gh-worker-golden"}]


@pytest.fixture
def builder(ec2: Any) -> str:
    """A running instance with a root volume of 40 GiB."""
    devices = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 40, "VolumeType": "gp3", "Encrypted": True}}]
    made = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.medium",
        MinCount=1,
        MaxCount=1,
        SubnetId=SUBNETS[0],
        BlockDeviceMappings=devices,
    )
    return str(made["Instances"][0]["InstanceId"])


def described_image(ec2: Any, id: str) -> dict[str, Any]:
    """An image as DescribeImages shows it."""
    return dict(ec2.describe_images(ImageIds=[id])["Images"][0])


def test_an_image_has_its_instances_volume_and_its_snapshot_the_tags_meant_for_it(ec2: Any, builder: str) -> None:
    specifications = [
        {"ResourceType": "image", "Tags": TAGS},
        {"ResourceType": "snapshot", "Tags": [{"Key": "Of", "Value": "worker"}]},
    ]
    id = ec2.create_image(InstanceId=builder, Name="gh-worker-1", Description="d", TagSpecifications=specifications)[
        "ImageId"
    ]
    image = described_image(ec2, id)
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
    again = ec2.run_instances(ImageId=id, InstanceType="t3.medium", MinCount=1, MaxCount=1, SubnetId=SUBNETS[0])[
        "Instances"
    ][0]
    volume = again["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 40


def test_a_name_is_taken_once_and_free_again_after_deregistering(ec2: Any, builder: str) -> None:
    id = ec2.create_image(InstanceId=builder, Name="gh-worker-1")["ImageId"]
    with refused("InvalidAMIName.Duplicate", f"AMI name gh-worker-1 is already in use by AMI {id}"):
        ec2.create_image(InstanceId=builder, Name="gh-worker-1")
    ec2.deregister_image(ImageId=id)
    ec2.create_image(InstanceId=builder, Name="gh-worker-1")


def test_devices_of_the_call_are_laid_over_the_instances(ec2: Any, builder: str) -> None:
    devices = [
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 60}},
        {"DeviceName": "/dev/xvdb", "Ebs": {"VolumeSize": 5}},
    ]
    id = ec2.create_image(InstanceId=builder, Name="gh-worker-1", BlockDeviceMappings=devices)["ImageId"]
    assert [(d["DeviceName"], d["Ebs"]["VolumeSize"]) for d in described_image(ec2, id)["BlockDeviceMappings"]] == [
        ("/dev/xvda", 60),
        ("/dev/xvdb", 5),
    ]


def test_a_registered_image_keeps_architecture_root_device_and_the_rest(ec2: Any, builder: str) -> None:
    first = ec2.create_image(InstanceId=builder, Name="gh-worker-1")["ImageId"]
    snapshot = described_image(ec2, first)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    id = ec2.register_image(
        Name="gh-worker-2",
        Architecture="arm64",
        RootDeviceName="/dev/sda1",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot, "VolumeType": "gp3"}}],
        ImdsSupport="v2.0",
        TagSpecifications=[{"ResourceType": "image", "Tags": TAGS}],
    )["ImageId"]
    image = described_image(ec2, id)
    assert (
        image["Architecture"],
        image["RootDeviceName"],
        image["RootDeviceType"],
        image["ImdsSupport"],
        image["Tags"],
    ) == (
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
    assert described_image(ec2, id)["DeprecationTime"] == at.strftime("%Y-%m-%dT%H:%M:00.000Z")
    ec2.disable_image_deprecation(ImageId=id)
    assert "DeprecationTime" not in described_image(ec2, id)
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
    assert (described_image(ec2, id)["Description"], described_image(ec2, id)["ImdsSupport"]) == ("new", "v2.0")
    attribute = ec2.describe_image_attribute(ImageId=id, Attribute="launchPermission")
    assert attribute["LaunchPermissions"] == [{"UserId": "210987654321"}]
    with refused("InvalidParameterValue"):
        ec2.modify_image_attribute(ImageId=id, ImdsSupport={"Value": "v1.0"})


def snapshot_of(ec2: Any, image_id: str) -> dict[str, Any]:
    """The snapshot of an image's root volume."""
    id = described_image(ec2, image_id)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    return dict(ec2.describe_snapshots(SnapshotIds=[id])["Snapshots"][0])


def test_a_copy_in_another_region_keeps_the_devices_under_the_key_that_is_asked_for(
    cloud: Cloud, ec2: Any, builder: str
) -> None:
    made = ec2.create_image(
        InstanceId=builder, Name="gh-worker-1", TagSpecifications=[{"ResourceType": "image", "Tags": TAGS}]
    )["ImageId"]
    there, key = cloud.client("ec2", "eu-west-1"), cloud.client("kms", "eu-west-1").create_key()["KeyMetadata"]["Arn"]
    source = {"SourceImageId": made, "SourceRegion": "us-east-1", "Name": "gh-worker-1", "CopyImageTags": True}
    id = there.copy_image(**source, Encrypted=True, KmsKeyId=key, ClientToken="once")["ImageId"]
    assert there.copy_image(**source, Encrypted=True, KmsKeyId=key, ClientToken="once")["ImageId"] == id
    copied, before = described_image(there, id), described_image(ec2, made)
    assert (copied["RootDeviceName"], copied["RootDeviceType"], copied["Tags"]) == ("/dev/xvda", "ebs", TAGS)
    ebs = copied["BlockDeviceMappings"][0]["Ebs"]
    assert (ebs["VolumeSize"], ebs["VolumeType"], ebs["Encrypted"]) == (40, "gp3", True)
    assert ebs["SnapshotId"] != before["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert snapshot_of(there, id)["KmsKeyId"] == key
    assert [snapshot["SnapshotId"] for snapshot in there.describe_snapshots()["Snapshots"]] == [ebs["SnapshotId"]]


def test_a_copy_has_no_tags_unless_they_are_asked_for_and_never_a_taken_name(ec2: Any, builder: str) -> None:
    made = ec2.create_image(
        InstanceId=builder, Name="gh-worker-1", TagSpecifications=[{"ResourceType": "image", "Tags": TAGS}]
    )["ImageId"]
    source = {"SourceImageId": made, "SourceRegion": "us-east-1"}
    assert described_image(ec2, ec2.copy_image(**source, Name="gh-worker-2")["ImageId"]).get("Tags", []) == []
    with refused("InvalidAMIName.Duplicate"):
        ec2.copy_image(**source, Name="gh-worker-1")
    with refused("InvalidParameterDependency"):
        ec2.copy_image(**source, Name="gh-worker-3", KmsKeyId="alias/mine")
    with refused("InvalidAMIID.NotFound"):
        ec2.copy_image(**{**source, "SourceImageId": "ami-0123456789abcdef0"}, Name="gh-worker-3")


def test_a_snapshot_is_shared_under_a_customers_key_only(cloud: Cloud, ec2: Any, builder: str) -> None:
    made = ec2.create_image(InstanceId=builder, Name="gh-worker-1")["ImageId"]
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    copy = ec2.copy_image(
        SourceImageId=made, SourceRegion="us-east-1", Name="gh-worker-2", Encrypted=True, KmsKeyId=key
    )["ImageId"]
    mine, ours = snapshot_of(ec2, made)["SnapshotId"], snapshot_of(ec2, copy)["SnapshotId"]
    share = {"Add": [{"UserId": "210987654321"}]}
    with refused("InvalidParameter", "default key cannot be shared"):
        ec2.modify_snapshot_attribute(SnapshotId=mine, CreateVolumePermission=share)
    # Packer's way: both forms at once, and no OperationType.
    ec2.modify_snapshot_attribute(SnapshotId=ours, CreateVolumePermission=share, UserIds=["210987654321"])

    def shared() -> list[dict[str, str]]:
        return list(
            ec2.describe_snapshot_attribute(SnapshotId=ours, Attribute="createVolumePermission")[
                "CreateVolumePermissions"
            ]
        )

    assert shared() == [{"UserId": "210987654321"}]
    ec2.modify_snapshot_attribute(SnapshotId=ours, OperationType="remove", UserIds=["210987654321"])
    assert shared() == []


def test_a_zone_without_instances_is_shown_empty(ec2: Any) -> None:
    options = {"ImageId": IMAGE, "InstanceType": "t3.medium", "MinCount": 1, "MaxCount": 1}
    made = ec2.run_instances(**options, SubnetId="", Placement={"AvailabilityZone": ""})["Instances"][0]
    assert made["SubnetId"] == SUBNETS[0]
