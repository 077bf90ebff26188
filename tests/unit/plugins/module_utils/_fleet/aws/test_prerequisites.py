# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS's answers as a fleet's prerequisites, from an account that fails every request that a test does not expect."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import prerequisites as read
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.iam import caller
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Image, Secret
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
    processor = {"ProcessorInfo": {"SupportedArchitectures": ["x86_64"]}}
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
        "t3.medium", ("x86_64",), ("us-east-1a", "us-east-1b")
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
    tags = [{"Key": "ghosthands:agent-schema", "Value": "3"}]
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
    assert found == Image("ami-1", "n", "x86_64", "available", "2026", "3")


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
        read.PARTS["volume_key"](answers.call, s),
        read.PARTS["user_has_access_key"](answers.call, s),
    ]
    assert found == [False, None, False]
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


@pytest.mark.parametrize(("raw", "found"), [(None, False), ({"Role": {}}, True)])
def test_whether_the_role_exists(answers: Any, settings: Settings, raw: Any, found: bool) -> None:
    answers.on("get_role", raw, RoleName="gh-worker-role")
    assert read.PARTS["role_exists"](answers.call, settings) is found


@pytest.mark.parametrize(
    ("policy", "grants", "usable_by_auto_scaling"),
    [
        ("{}", [], False),
        (f'{{"AWS": "{LINKED}"}}', [], True),
        ("{}", [{"GranteePrincipal": LINKED}], True),
        ("{}", [{"GranteePrincipal": "x"}], False),
    ],
)
def test_a_customers_key_is_usable_by_its_policy_or_by_a_grant(
    answers: Any, settings: Settings, policy: str, grants: list[dict[str, str]], usable_by_auto_scaling: bool
) -> None:
    me(answers)
    answers.on(
        "describe_key",
        {"KeyMetadata": {"Arn": "arn:k", "KeyState": "Enabled", "KeyManager": "CUSTOMER"}},
        KeyId="alias/k",
    )
    answers.on("get_key_policy", {"Policy": policy}, KeyId="arn:k", PolicyName="default")
    answers.on("list_grants", {"Grants": grants}, KeyId="arn:k")
    assert read.PARTS["volume_key"](answers.call, settings | {"fleet_volume_kms_key_id": "alias/k"}) == KmsKey(
        "arn:k", True, usable_by_auto_scaling
    )


def test_an_aws_managed_key_is_usable_and_its_policy_is_not_read(answers: Any, settings: Settings) -> None:
    answers.on(
        "describe_key",
        {"KeyMetadata": {"Arn": "arn:k", "KeyState": "Disabled", "KeyManager": "AWS"}},
        KeyId="alias/aws/ebs",
    )
    assert read.PARTS["volume_key"](answers.call, settings | {"fleet_volume_kms_key_id": "alias/aws/ebs"}) == KmsKey(
        "arn:k", False, True
    )


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
