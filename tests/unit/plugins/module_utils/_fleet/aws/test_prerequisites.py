# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS's answers as a fleet's prerequisites, from an account that fails every request that a test does not expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import ec2, other_services
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import prerequisites as read
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.iam import caller
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Image, Secret, Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.network import PrefixList, Route
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import (
    Caller,
    InstanceType,
    KmsKey,
)

Settings = dict[str, Any]
LINKED = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
OWN = [{"Name": "name", "Values": ["gh-worker-*"]}, {"Name": "state", "Values": ["available"]}]


def own(answers: Any, *images: tuple[str, str, str]) -> None:
    """The account's images: (id, creation date, architecture)."""
    raw = [
        {"ImageId": i, "CreationDate": c, "Architecture": a, "State": "available", "Name": f"gh-worker-{i}"}
        for i, c, a in images
    ]
    answers.on("describe_images", {"Images": raw}, Owners=["self"], Filters=OWN)


def one_image(answers: Any, name: str) -> None:
    raw = {"ImageId": name, "Architecture": "x86_64", "State": "available"}
    answers.on("describe_images", {"Images": [raw]}, ImageIds=[name])


def kind(answers: Any) -> None:
    processor = {"ProcessorInfo": {"SupportedArchitectures": ["x86_64"]}, "MemoryInfo": {"SizeInMiB": 4096}}
    answers.on("describe_instance_types", {"InstanceTypes": [processor]}, InstanceTypes=["t3.medium"])
    answers.on(
        "describe_instance_type_offerings",
        {"InstanceTypeOfferings": [{"Location": "us-east-1b"}, {"Location": "us-east-1a"}]},
        LocationType="availability-zone",
        Filters=[{"Name": "instance-type", "Values": ["t3.medium"]}],
    )


def group(answers: Any, **raw: Any) -> None:
    group = {
        "AutoScalingGroupName": "gh-worker-asg",
        "AutoScalingGroupARN": "arn:g",
        "MinSize": 1,
        "MaxSize": 10,
        "DesiredCapacity": 3,
        "Instances": [],
    }
    answers.on(
        "describe_auto_scaling_groups",
        {"AutoScalingGroups": [{**group, **raw}] if raw else []},
        AutoScalingGroupNames=["gh-worker-asg"],
    )


def template(answers: Any, latest: int = 3, image: str = "ami-3") -> None:
    answers.on(
        "describe_launch_templates",
        {"LaunchTemplates": [{"LaunchTemplateId": "lt-1"}]},
        LaunchTemplateNames=["gh-worker-lt"],
    )
    versions = [{"VersionNumber": latest, "LaunchTemplateData": {"ImageId": image}}]
    request = {"LaunchTemplateName": "gh-worker-lt", "Versions": ["$Latest", "$Default"]}
    answers.on("describe_launch_template_versions", {"LaunchTemplateVersions": versions}, **request)


def me(answers: Any) -> None:
    answers.on("get_caller_identity", {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"})


@pytest.mark.parametrize(
    ("partition", "suffix"), [("aws", "amazonaws.com"), ("aws-cn", "amazonaws.com.cn"), ("aws-us-gov", "amazonaws.com")]
)
def test_the_caller_names_account_and_partition(answers: Any, partition: str, suffix: str) -> None:
    arn = f"arn:{partition}:sts::123456789012:assumed-role/r/s"
    answers.on("get_caller_identity", {"Account": "123456789012", "Arn": arn})
    found = caller(answers.call)
    assert found == Caller("123456789012", partition, arn)
    assert found.dns_suffix == suffix


def test_the_default_vpc_is_used_where_none_is_named(answers: Any, settings: Settings) -> None:
    answers.on("describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1"}]}, Filters=[{"Name": "is-default", "Values": ["true"]}])
    assert read.PARTS["vpc"](answers.call, settings) == "vpc-1"


def test_a_vpc_that_is_named_and_does_not_exist_is_none(answers: Any, settings: Settings) -> None:
    answers.on("describe_vpcs", {"Vpcs": []}, Filters=[{"Name": "vpc-id", "Values": ["vpc-9"]}])
    assert read.PARTS["vpc"](answers.call, settings | {"fleet_vpc_id": "vpc-9"}) is None


@pytest.mark.parametrize(
    ("variables", "filters"),
    [
        ({}, [("default-for-az", ["true"])]),
        ({"fleet_vpc_id": "vpc-9"}, [("default-for-az", ["true"]), ("vpc-id", ["vpc-9"])]),
        (
            {"fleet_subnet_ids": ["subnet-b", "subnet-a"], "fleet_vpc_id": "vpc-9"},
            [("subnet-id", ["subnet-a", "subnet-b"])],
        ),
    ],
)
def test_subnets_are_sorted_by_zone(
    answers: Any, settings: Settings, variables: Settings, filters: list[tuple[str, list[str]]]
) -> None:
    raw = [{"SubnetId": f"subnet-{z}", "VpcId": "vpc-1", "AvailabilityZone": f"us-east-1{z}"} for z in "ba"]
    answers.on("describe_subnets", {"Subnets": raw}, Filters=[{"Name": n, "Values": v} for n, v in filters])
    found = read.PARTS["subnets"](answers.call, settings | variables)
    assert [n.id for n in found] == ["subnet-a", "subnet-b"]


def test_an_instance_type_has_the_zones_that_offer_it(answers: Any, settings: Settings) -> None:
    kind(answers)
    assert read.PARTS["instance_type"](answers.call, settings) == InstanceType(
        "t3.medium", ("x86_64",), ("us-east-1a", "us-east-1b"), 4096
    )


def test_an_unknown_instance_type_is_none(answers: Any, settings: Settings) -> None:
    answers.on("describe_instance_types", None, InstanceTypes=["t9.huge"])
    assert read.PARTS["instance_type"](answers.call, settings | {"fleet_instance_type": "t9.huge"}) is None


def test_the_newest_own_image_of_a_fitting_architecture_is_chosen(answers: Any, settings: Settings) -> None:
    kind(answers)
    own(answers, ("ami-1", "2026-01-01", "x86_64"), ("ami-2", "2026-03-01", "x86_64"), ("ami-3", "2026-09-01", "arm64"))
    found, requested = read.PARTS["image"](answers.call, settings | {"fleet_image": "newest"})
    assert (found and found.id, requested) == ("ami-2", "ami-2")


def test_an_account_without_images_has_none(answers: Any, settings: Settings) -> None:
    kind(answers)
    own(answers)
    assert read.PARTS["image"](answers.call, settings | {"fleet_image": "newest"}) == (None, "")


def test_keep_uses_the_newest_image_only_while_there_is_no_group(answers: Any, settings: Settings) -> None:
    kind(answers)
    group(answers)
    own(answers, ("ami-1", "2026-01-01", "x86_64"))
    found, _requested = read.PARTS["image"](answers.call, settings)
    assert found
    assert found.id == "ami-1"


@pytest.mark.parametrize("version", ["3", "$Latest"])
def test_keep_takes_the_image_of_the_version_that_the_group_uses(
    answers: Any, settings: Settings, version: str
) -> None:
    group(answers, LaunchTemplate={"LaunchTemplateId": "lt-1", "Version": version})
    template(answers, latest=3, image="ami-3")
    one_image(answers, "ami-3")
    assert read.PARTS["image"](answers.call, settings)[1] == "ami-3"


def test_keep_takes_the_image_of_an_older_version_that_the_group_uses(answers: Any, settings: Settings) -> None:
    group(answers, LaunchTemplate={"LaunchTemplateId": "lt-1", "Version": "2"})
    template(answers, latest=3, image="ami-3")
    older = {"LaunchTemplateVersions": [{"VersionNumber": 2, "LaunchTemplateData": {"ImageId": "ami-2"}}]}
    answers.on("describe_launch_template_versions", older, LaunchTemplateId="lt-1", Versions=["2"])
    one_image(answers, "ami-2")
    assert read.PARTS["image"](answers.call, settings)[1] == "ami-2"


def test_a_template_that_was_created_again_is_not_the_groups(answers: Any, settings: Settings) -> None:
    group(answers, LaunchTemplate={"LaunchTemplateId": "lt-gone", "Version": "3"})
    template(answers, latest=3, image="ami-3")
    answers.on("describe_launch_template_versions", None, LaunchTemplateId="lt-gone", Versions=["3"])
    kind(answers)
    own(answers, ("ami-9", "2026-01-01", "x86_64"))
    assert read.PARTS["image"](answers.call, settings)[1] == "ami-9"


def test_an_image_that_does_not_exist_is_none_and_its_id_is_kept(answers: Any, settings: Settings) -> None:
    answers.on("describe_images", None, ImageIds=["ami-01234567"])
    assert read.PARTS["image"](answers.call, settings | {"fleet_image": "ami-01234567"}) == (None, "ami-01234567")


def test_an_image_has_the_schema_that_its_agent_reads(answers: Any, settings: Settings) -> None:
    tags = [{"Key": "ghosthands:agent-schema", "Value": "4"}]
    raw = {
        "ImageId": "ami-1",
        "Name": "n",
        "Architecture": "x86_64",
        "State": "available",
        "CreationDate": "2026",
        "Tags": tags,
    }
    answers.on("describe_images", {"Images": [raw]}, ImageIds=["ami-1"])
    found, _requested = read.PARTS["image"](answers.call, settings | {"fleet_image": "ami-1"})
    assert found == Image("ami-1", "n", "x86_64", "available", "2026", "4")


def test_an_image_has_its_root_device_and_its_snapshots(answers: Any) -> None:
    raw: dict[str, Any] = {"ImageId": "ami-1", "Architecture": "x86_64", "State": "available", "OwnerId": "1"}
    raw |= {"RootDeviceName": "/dev/sda1", "BlockDeviceMappings": DEVICES}
    answers.on("describe_images", {"Images": [raw]}, ImageIds=["ami-1"])
    found = ec2.image(answers.call, "ami-1")
    assert found is not None
    assert (found.root_device, found.root_gib, found.encrypted_snapshots, found.plain) == (
        "/dev/sda1",
        12,
        ("snap-1",),
        True,
    )


def test_the_latest_version_is_the_templates(answers: Any, settings: Settings) -> None:
    template(answers, latest=12)
    assert read.PARTS["latest_version"](answers.call, settings) == 12


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (None, None),
        ({"ARN": "arn:s"}, Secret("arn:s", False)),
        ({"ARN": "arn:s", "DeletedDate": "2026"}, Secret("arn:s", True)),
    ],
)
def test_a_secret_is_described_and_its_value_never_read(
    answers: Any, settings: Settings, raw: Any, found: Secret | None
) -> None:
    answers.on("describe_secret", raw, SecretId="ghosthands/worker/env")
    assert read.PARTS["secret"](answers.call, settings) == found
    assert answers.asked == ["describe_secret"]


SECRET_ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:s-AbCdEf"
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({}, ""),
        ({"KmsKeyId": "alias/aws/secretsmanager"}, ""),
        ({"KmsKeyId": "arn:aws:kms:us-east-1:123456789012:alias/aws/secretsmanager"}, ""),
        ({"KmsKeyId": KEY_ID}, f"arn:aws:kms:us-east-1:123456789012:key/{KEY_ID}"),
        (
            {"KmsKeyId": f"arn:aws:kms:us-east-1:222222222222:key/{KEY_ID}"},
            f"arn:aws:kms:us-east-1:222222222222:key/{KEY_ID}",
        ),
        ({"KmsKeyId": "alias/worker"}, "arn:of-the-alias"),
        ({"KmsKeyId": "arn:aws:kms:us-east-1:222222222222:alias/worker"}, "arn:of-the-alias"),
    ],
)
def test_a_secrets_key_is_a_customers_key_as_an_arn(
    answers: Any, settings: Settings, raw: dict[str, str], key: str
) -> None:
    answers.on("describe_secret", {"ARN": SECRET_ARN, **raw}, SecretId="ghosthands/worker/env")
    if key == "arn:of-the-alias":
        metadata = {"Arn": key, "KeyManager": "CUSTOMER"}
        answers.on("describe_key", {"KeyMetadata": metadata}, KeyId=raw["KmsKeyId"])
    assert read.PARTS["secret"](answers.call, settings).key == key


def test_what_is_not_configured_is_not_read(answers: Any, settings: Settings) -> None:
    s = settings | {"fleet_key_name": ""}
    found = [
        read.PARTS["key_pair_exists"](answers.call, s),
        read.PARTS["user_has_access_key"](answers.call, s),
    ]
    assert found == [False, False]
    assert answers.asked == []


@pytest.mark.parametrize(("raw", "found"), [(None, False), ({"KeyPairs": [{"KeyName": "valet-worker"}]}, True)])
def test_whether_a_key_pair_exists(answers: Any, settings: Settings, raw: Any, found: bool) -> None:
    answers.on("describe_key_pairs", raw, KeyNames=["valet-worker"])
    assert read.PARTS["key_pair_exists"](answers.call, settings) is found


@pytest.mark.parametrize(
    ("raw", "found"), [(None, False), ({"AccessKeyMetadata": []}, False), ({"AccessKeyMetadata": [{}]}, True)]
)
def test_whether_valets_user_has_an_access_key(answers: Any, settings: Settings, raw: Any, found: bool) -> None:
    answers.on("list_access_keys", raw, UserName="valet")
    assert (
        read.PARTS["user_has_access_key"](
            answers.call, settings | {"fleet_valet_access_key": True, "fleet_valet_user_name": "valet"}
        )
        is found
    )


@pytest.mark.parametrize(("key", "found"), [("AKIA1", True), ("AKIA2", False)])
def test_an_access_key_that_is_not_the_written_one_is_not_the_one_in_use(
    answers: Any, settings: Settings, key: str, found: bool, tmp_path: Path
) -> None:
    (tmp_path / "access-key.env").write_text("AWS_ACCESS_KEY_ID=AKIA1\nAWS_SECRET_ACCESS_KEY=x\n")
    answers.on("list_access_keys", {"AccessKeyMetadata": [{"AccessKeyId": key}]}, UserName="valet")
    valet = {"fleet_valet_access_key": True, "fleet_valet_user_name": "valet", "fleet_valet_dir": str(tmp_path)}
    assert read.PARTS["user_has_access_key"](answers.call, settings | valet) is found


@pytest.mark.parametrize(("raw", "found"), [(None, False), ({"Role": {}}, True)])
def test_whether_the_role_exists(answers: Any, settings: Settings, raw: Any, found: bool) -> None:
    answers.on("get_role", raw, RoleName="gh-worker-role")
    assert read.PARTS["role_exists"](answers.call, settings) is found


KEY_ARN, THEIR_KEY = "arn:aws:kms:us-east-1:123456789012:key/k", "arn:aws:kms:us-east-1:999999999999:key/k"
DEVICES: list[dict[str, Any]] = [
    {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": "snap-1", "VolumeSize": 12, "Encrypted": True}},
    {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
    {"DeviceName": "/dev/sdc", "Ebs": {"SnapshotId": "snap-2", "VolumeSize": 30, "Encrypted": False}},
]


def key(answers: Any, name: str = "alias/k", arn: str = KEY_ARN, **metadata: Any) -> None:
    me(answers)
    raw = {"Arn": arn, "KeyState": "Enabled", "KeyManager": "CUSTOMER", **metadata}
    answers.on("describe_key", {"KeyMetadata": raw}, KeyId=name)


def use(operation: str, role: str = LINKED, **more: Any) -> dict[str, Any]:
    """A grant."""
    return {"GranteePrincipal": role, "Operations": [operation], **more}


def test_a_customers_key_has_its_policy_and_what_grants_allow_auto_scaling(answers: Any, settings: Settings) -> None:
    key(answers, KeySpec="SYMMETRIC_DEFAULT")
    answers.on("get_key_policy", {"Policy": '{"Statement": []}'}, KeyId=KEY_ARN, PolicyName="default")
    grants = [use("Decrypt"), use("CreateGrant"), use("Encrypt", "x"), use("DescribeKey", Constraints={"a": "b"})]
    answers.on("list_grants", {"Grants": grants}, KeyId=KEY_ARN)
    found = other_services.kms_key(answers.call, "alias/k")
    granted = frozenset({"Decrypt", "CreateGrant"})
    assert found == KmsKey(KEY_ARN, "Enabled", True, False, {"Statement": []}, granted)


def test_an_aws_managed_key_has_no_policy_to_read(answers: Any) -> None:
    key(answers, KeyManager="AWS", KeyState="Disabled", KeySpec="RSA_2048")
    found = other_services.kms_key(answers.call, "alias/k")
    assert found == KmsKey(KEY_ARN, "Disabled", False, True, {}, frozenset())


def test_the_policy_of_another_accounts_key_is_not_asked_for(answers: Any) -> None:
    key(answers, arn=THEIR_KEY)
    answers.on("list_grants", {"Grants": [use("Decrypt")]}, KeyId=THEIR_KEY)
    found = other_services.kms_key(answers.call, "alias/k")
    assert found is not None
    assert (found.account, found.granted) == ("999999999999", frozenset({"Decrypt"}))
    assert found.policy == Unread(
        "It belongs to account 999999999999, and AWS shows a key's policy to its own account only."
    )


def launched(answers: Any, *devices: dict[str, Any], owner: str = "123456789012", image: str = "ami-3") -> None:
    """A group that uses ami-3, and this image."""
    me(answers)
    group(answers, LaunchTemplate={"LaunchTemplateId": "lt-1", "Version": "3"})
    template(answers, latest=3, image="ami-3")
    raw: dict[str, Any] = {"ImageId": image, "Architecture": "x86_64", "State": "available", "OwnerId": owner}
    raw |= {"RootDeviceName": "/dev/sda1", "BlockDeviceMappings": list(devices)}
    answers.on("describe_images", {"Images": [raw]}, ImageIds=[image])


def purposes(answers: Any, settings: Settings, whole: bool = False) -> list[tuple[str, str]]:
    """Of the keys that a launch uses: (purpose, name)."""
    return [(one.purpose, one.name) for one in read.LAUNCH["keys"](answers.call, settings, whole)]


def test_the_keys_of_an_image_that_the_group_uses_are_not_read_again(answers: Any, settings: Settings) -> None:
    launched(answers, *DEVICES)
    assert purposes(answers, settings) == []
    key(answers, "alias/k", KeyManager="AWS")
    named = settings | {"fleet_volume_kms_key_id": "alias/k"}
    assert purposes(answers, named) == [("fleet_volume_kms_key_id", "alias/k")]
    assert "describe_snapshots" not in answers.asked


def test_a_launch_uses_the_snapshots_keys_and_the_accounts_default_for_what_is_not_encrypted(
    answers: Any, settings: Settings
) -> None:
    launched(answers, *DEVICES, image="ami-01234567")
    snapshots = {"Snapshots": [{"SnapshotId": "snap-1", "KmsKeyId": KEY_ARN}]}
    answers.on("describe_snapshots", snapshots, Filters=[{"Name": "snapshot-id", "Values": ["snap-1"]}])
    answers.on("get_ebs_default_kms_key_id", {"KmsKeyId": f"{KEY_ARN}2"})
    key(answers, KEY_ARN, KeyManager="AWS")
    key(answers, f"{KEY_ARN}2", arn=f"{KEY_ARN}2", KeyManager="AWS")
    chosen, of_the_snapshot = settings | {"fleet_image": "ami-01234567"}, "snapshot snap-1 of image ami-01234567"
    assert purposes(answers, chosen) == [(of_the_snapshot, KEY_ARN), ("the account's default EBS key", f"{KEY_ARN}2")]
    answers.on("get_ebs_default_kms_key_id", {"KmsKeyId": "alias/aws/ebs"})
    assert purposes(answers, chosen) == [(of_the_snapshot, KEY_ARN)], "AWS's own key needs no look"


def test_one_key_for_two_purposes_is_read_and_named_once(answers: Any, settings: Settings) -> None:
    launched(answers, DEVICES[0])
    snapshots = {"Snapshots": [{"SnapshotId": "snap-1", "KmsKeyId": KEY_ARN}]}
    answers.on("describe_snapshots", snapshots, Filters=[{"Name": "snapshot-id", "Values": ["snap-1"]}])
    key(answers, "alias/k", KeyManager="AWS")
    key(answers, KEY_ARN, KeyManager="AWS")
    found = purposes(answers, settings | {"fleet_volume_kms_key_id": "alias/k"}, whole=True)
    assert found == [("fleet_volume_kms_key_id", "alias/k")]


def test_the_key_of_another_accounts_snapshot_is_not_known(answers: Any, settings: Settings) -> None:
    launched(answers, DEVICES[0], owner="999999999999")
    answers.on("describe_snapshots", {"Snapshots": []}, Filters=[{"Name": "snapshot-id", "Values": ["snap-1"]}])
    answers.on("get_ebs_default_kms_key_id", {"KmsKeyId": KEY_ARN})
    key(answers, KEY_ARN, KeyManager="AWS")
    theirs, default = read.LAUNCH["keys"](answers.call, settings, True)
    assert isinstance(theirs.key, Unread)
    assert default.name == KEY_ARN, "AWS encrypts volumes of a shared snapshot with the account's own default key"


def network(answers: Any, *tables: dict[str, Any]) -> None:
    answers.on("describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1"}]}, Filters=[{"Name": "is-default", "Values": ["true"]}])
    raw: list[dict[str, Any]] = [
        {"SubnetId": f"subnet-{z}", "VpcId": "vpc-1", "AvailabilityZone": f"us-east-1{z}"} for z in "ab"
    ]
    raw[0] |= {"AvailableIpAddressCount": 251}
    raw[1] |= {"Ipv6Native": True}
    answers.on("describe_subnets", {"Subnets": raw}, Filters=[{"Name": "default-for-az", "Values": ["true"]}])
    answers.on(
        "describe_route_tables", {"RouteTables": list(tables)}, Filters=[{"Name": "vpc-id", "Values": ["vpc-1"]}]
    )


def table(target: dict[str, str], **association: Any) -> dict[str, Any]:
    """A route table."""
    routes = [{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}, target]
    return {"Routes": routes, "Associations": [association] if association else []}


MAIN = table({"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}, Main=True)
PRIVATE = table({"DestinationPrefixListId": "pl-1", "GatewayId": "vpce-1", "State": "active"}, SubnetId="subnet-b")
STRAY = table({"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "blackhole"})


def test_a_subnet_has_the_routes_of_its_own_table_or_of_the_main_one(answers: Any, settings: Settings) -> None:
    group(answers)
    network(answers, MAIN, PRIVATE, STRAY)
    found = read.LAUNCH["routes"](answers.call, settings, False)
    local = Route("10.0.0.0/16", "local", True)
    assert found == {
        "subnet-a": (local, Route("0.0.0.0/0", "igw-1", True)),
        "subnet-b": (local, Route("", "vpce-1", True)),
    }


def test_the_endpoints_are_read_where_a_subnet_has_no_way_out(answers: Any, settings: Settings) -> None:
    group(answers)
    network(answers, MAIN)
    assert read.LAUNCH["endpoints"](answers.call, settings, False) == frozenset()
    raw = [
        {"ServiceName": "com.amazonaws.us-east-1.ecr.api", "State": "available"},
        {"ServiceName": "cn.com.amazonaws.cn-north-1.s3", "State": "Available"},
        {"ServiceName": "com.amazonaws.us-east-1.logs", "State": "deleting"},
        {"ServiceName": "com.amazonaws.vpce.us-east-1.vpce-svc-1", "State": "available"},
    ]
    answers.on("describe_vpc_endpoints", {"VpcEndpoints": raw}, Filters=[{"Name": "vpc-id", "Values": ["vpc-1"]}])
    found = read.LAUNCH["endpoints"](answers.call, settings | {"fleet_public_address": False}, False)
    assert found >= {"ecr.api", "s3"}
    assert "logs" not in found


def test_the_routes_of_subnets_that_the_group_uses_are_not_read_again(answers: Any, settings: Settings) -> None:
    group(answers, VPCZoneIdentifier="subnet-a,subnet-b,subnet-old")
    network(answers)
    assert read.LAUNCH["routes"](answers.call, settings, False) is None
    assert read.LAUNCH["routes"](answers.call, settings, True) == {}


def test_a_subnet_has_its_free_addresses(answers: Any, settings: Settings) -> None:
    network(answers)
    first, second = read.PARTS["subnets"](answers.call, settings)
    assert (first.free_addresses, first.ipv6_only, second.free_addresses, second.ipv6_only) == (251, False, None, True)


def test_names_that_no_variable_gives_are_not_looked_up(answers: Any, settings: Settings) -> None:
    found = [look_up(answers.call, settings) for look_up in read.NAMES.values()]
    assert (found, answers.asked) == ([True, {}, {}, None], [])


def test_names_that_variables_give_are_looked_up(answers: Any, settings: Settings) -> None:
    given = {
        "fleet_permissions_boundary_arn": "arn:aws:iam::123456789012:policy/b",
        "fleet_api_security_group_ids": ["sg-2", "sg-1"],
        "fleet_vnc_security_group_ids": ["sg-1"],
        "fleet_ssh_prefix_list_ids": ["pl-1"],
        "fleet_api_prefix_list_ids": ["pl-2"],
    }
    answers.on("get_policy", None, PolicyArn="arn:aws:iam::123456789012:policy/b")
    groups = {"SecurityGroups": [{"GroupId": "sg-1", "VpcId": "vpc-1"}]}
    answers.on("describe_security_groups", groups, Filters=[{"Name": "group-id", "Values": ["sg-1", "sg-2"]}])
    lists = {"PrefixLists": [{"PrefixListId": "pl-1", "MaxEntries": 61}, {"PrefixListId": "pl-2"}]}
    answers.on("describe_managed_prefix_lists", lists, Filters=[{"Name": "prefix-list-id", "Values": ["pl-1", "pl-2"]}])
    answers.on("get_managed_prefix_list_entries", {"Entries": [{"Cidr": "10.0.0.0/8"}]}, PrefixListId="pl-1")
    answers.on("get_service_quota", {"Quota": {"Value": 100.0}}, ServiceCode="vpc", QuotaCode="L-0EA8095F")
    found = {name: look_up(answers.call, settings | given) for name, look_up in read.NAMES.items()}
    assert found == {
        "boundary_exists": False,
        "security_groups": {"sg-1": "vpc-1"},
        "prefix_lists": {"pl-1": PrefixList("pl-1", 61, ("10.0.0.0/8",)), "pl-2": PrefixList("pl-2", 1, ())},
        "rules_quota": 100.0,
    }


def everything(answers: Any) -> None:
    """Every request of a whole reading, on an account that has only a network, an image and an instance type."""
    me(answers)
    kind(answers)
    group(answers)
    own(answers, ("ami-1", "2026-01-01", "x86_64"))
    answers.on("describe_launch_templates", None, LaunchTemplateNames=["gh-worker-lt"])
    answers.on(
        "describe_launch_template_versions", None, LaunchTemplateName="gh-worker-lt", Versions=["$Latest", "$Default"]
    )
    answers.on("describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1"}]}, Filters=[{"Name": "is-default", "Values": ["true"]}])
    raw = [
        {"SubnetId": f"subnet-{z}", "VpcId": v, "AvailabilityZone": f"us-east-1{z}"}
        for z, v in (("a", "vpc-1"), ("b", "vpc-2"), ("e", "vpc-1"))
    ]
    answers.on("describe_subnets", {"Subnets": raw}, Filters=[{"Name": "default-for-az", "Values": ["true"]}])
    answers.on("describe_key_pairs", None, KeyNames=["valet-worker"])
    answers.on("describe_secret", None, SecretId="ghosthands/worker/env")
    answers.on("get_role", None, RoleName="gh-worker-role")
    answers.on("describe_route_tables", {"RouteTables": []}, Filters=[{"Name": "vpc-id", "Values": ["vpc-1"]}])
    answers.on("get_ebs_default_kms_key_id", {"KmsKeyId": "alias/aws/ebs"})


def test_prerequisites_are_read_at_once(answers: Any, settings: Settings) -> None:
    everything(answers)
    found = read.start_prerequisites(answers.start, answers.call, settings)()
    assert (found.image and found.image.id, found.requested_image, found.vpc) == ("ami-1", "ami-1", "vpc-1")
    assert (found.group, found.latest_version, found.secret) == (None, None, None)
    assert (found.role_exists, found.key_pair_exists) == (False, False)


def test_of_the_default_subnets_only_those_of_the_vpc_that_offer_the_type_are_used(
    answers: Any, settings: Settings
) -> None:
    everything(answers)
    assert [n.id for n in read.start_prerequisites(answers.start, answers.call, settings)().subnets] == ["subnet-a"]


def test_a_request_that_fails_fails_the_reading(answers: Any, settings: Settings) -> None:
    everything(answers)
    del answers.expected[next(which for which in answers.expected if which[0] == "get_role")]
    with pytest.raises(AssertionError, match="unexpected request: get_role"):
        read.start_prerequisites(answers.start, answers.call, settings)()
