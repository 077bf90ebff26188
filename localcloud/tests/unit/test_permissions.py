"""The table of permissions agrees with an excerpt of AWS's Service Authorization Reference (the JSON file here)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from localcloud.authorization.permissions import RESOURCE_TYPES, TAG_PERMISSIONS, required_permissions
from localcloud.authorization.resources import CallInAccount, NotModelled
from localcloud.testing import Cloud
from unit.resources import IMAGE, SUBNETS, make_group, make_template

ACCOUNT, REGION = "123456789012", "us-east-1"
#: What the first group of an account needs.
LINKED = "iam:CreateServiceLinkedRole"
#: A parameter for every type of resource; each action's row takes what is its own.
PARAMETERS: dict[str, Any] = {
    "AutoScalingGroupName": "fleet",
    "GroupId": "sg-1",
    "ImageId": "ami-1",
    "PrefixListId": "pl-1",
    "InstanceId": "i-1",
    "InstanceProfileName": "profile",
    "KeyId": "11111111-1111-1111-1111-111111111111",
    "KeyName": "pair",
    "LaunchTemplateId": "lt-1",
    "PolicyName": "policy",
    "PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:role/role",
    "QuotaCode": "L-1",
    "Resources": ["i-1", "vol-1"],
    "RoleName": "role",
    "SecretId": "secret",
    "SecretIdList": ["secret"],
    "ServiceCode": "ec2",
    "SnapshotId": "snap-1",
    "UserName": "user",
    "VpcId": "vpc-1",
    "logGroupName": "/group",
    "logStreamName": "stream",
    "repositoryName": "repository",
    "SubnetId": "subnet-1",
}


@cache
def reference() -> Any:
    return json.loads((Path(__file__).parent / "service_authorization.json").read_text())


def call_of(name: str, parameters: dict[str, Any] | None = None) -> CallInAccount:
    service, action = name.split(":")
    return CallInAccount(service, action, PARAMETERS if parameters is None else parameters, ACCOUNT, REGION)


def test_every_row_is_an_action_of_awss_and_no_excerpt_is_without_a_row() -> None:
    assert sorted(RESOURCE_TYPES) == sorted(reference()["actions"])
    assert set(TAG_PERMISSIONS.values()) <= set(RESOURCE_TYPES)


@pytest.fixture(scope="module")
def empty(running: Cloud) -> Cloud:
    """A cloud with a fresh account, for tests that change nothing."""
    running.reset()
    return running


@pytest.fixture(autouse=True)
def entered(running: Cloud) -> Iterator[None]:
    """Tests read the cloud's state in their own thread, while it answers no call."""
    with running.world.backends.entered():
        yield


@pytest.mark.parametrize("name", RESOURCE_TYPES)
def test_a_row_has_every_required_type_and_no_foreign_one(name: str) -> None:
    required, optional = reference()["actions"][name]
    types = RESOURCE_TYPES[name]
    if types == ("*",):  # tags: resources of any type
        assert not required
        assert len(optional) == 10
        return
    always = {type for type in types if not type.endswith("?")}
    assert set(required) == always
    assert {type.rstrip("?") for type in types} <= {*required, *optional}


@pytest.mark.parametrize("name", RESOURCE_TYPES)
def test_each_resource_is_named_as_aws_names_it(empty: Cloud, name: str) -> None:
    service = name.split(":")[0]
    parameters = {**PARAMETERS, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/role"} if service == "sts" else PARAMETERS
    required, optional = reference()["actions"][name]
    patterns = [reference()["arns"][f"{service}:{type}"] for type in [*required, *optional]]
    found = [need.resource for need in required_permissions(call_of(name, parameters)) if need.action == name]
    assert found == ["*"] if not patterns else found
    for arn in found if patterns else []:
        assert any(re.fullmatch(re.sub(r"\\\$\\\{\w+\\\}", ".*", re.escape(pattern)), arn) for pattern in patterns), arn


def test_an_action_without_a_row_is_not_modelled() -> None:
    with pytest.raises(NotModelled, match="ec2:CreateVpc needs: it has no row"):
        required_permissions(call_of("ec2:CreateVpc"))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, types in RESOURCE_TYPES.items()
        if any(not t.endswith("?") for t in types)
        and name
        not in (
            "ec2:RunInstances",
            "ec2:CreateImage",
            "ec2:RegisterImage",
            "ec2:CreateSecurityGroup",
            "ec2:CreateLaunchTemplate",
            "kms:ListKeys",
        )
        and not name.startswith(("ecr:", "kms:"))
    ],
)
def test_a_call_without_resources_is_about_all_or_not_modelled(empty: Cloud, name: str) -> None:
    try:
        found = required_permissions(call_of(name, {}))
    except NotModelled:
        return
    assert all(need.resource.endswith("/*") for need in found)
    assert found


def of(name: str, **parameters: Any) -> set[tuple[str, str]]:
    """Action and the end of each resource's ARN."""
    return {(need.action, need.resource.split(":", 5)[-1]) for need in required_permissions(call_of(name, parameters))}


def test_launching_needs_everything_that_takes_part_tags_and_the_role(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    iam.create_role(RoleName="worker", Path="/gh/", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="worker")
    iam.add_role_to_instance_profile(InstanceProfileName="worker", RoleName="worker")
    template = make_template(
        cloud.client("ec2"),
        SecurityGroupIds=["sg-1", "sg-2"],
        KeyName="valet-worker",
        IamInstanceProfile={"Name": "worker"},
    )
    launched = of(
        "ec2:RunInstances", LaunchTemplate={"LaunchTemplateId": template}, SubnetId=SUBNETS[0], MinCount=1, MaxCount=1
    )
    assert launched == {
        *(
            ("ec2:RunInstances", resource)
            for resource in (
                f"image/{IMAGE}",
                "instance/*",
                "key-pair/valet-worker",
                f"launch-template/{template}",
                "network-interface/*",
                "security-group/sg-1",
                "security-group/sg-2",
                f"subnet/{SUBNETS[0]}",
                "volume/*",
            )
        ),
        ("ec2:CreateTags", "instance/*"),
        ("ec2:CreateTags", "volume/*"),
        ("iam:PassRole", "role/gh/worker"),
    }
    group = of(
        "autoscaling:CreateAutoScalingGroup",
        AutoScalingGroupName="new",
        LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
        VPCZoneIdentifier=SUBNETS[0],
        Tags=[{"Key": "k", "Value": "v"}],
    )
    assert group - launched == {
        ("autoscaling:CreateAutoScalingGroup", "autoScalingGroup:*:autoScalingGroupName/new"),
        ("autoscaling:CreateOrUpdateTags", "autoScalingGroup:*:autoScalingGroupName/new"),
        (LINKED, "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"),
    }
    assert launched <= group
    refresh = {"DesiredConfiguration": {"LaunchTemplate": {"LaunchTemplateId": template, "Version": "1"}}}
    started = of("autoscaling:StartInstanceRefresh", AutoScalingGroupName="new", **refresh)
    anywhere = {(action, "subnet/*" if resource.startswith("subnet/") else resource) for action, resource in launched}
    assert started == {
        ("autoscaling:StartInstanceRefresh", "autoScalingGroup:*:autoScalingGroupName/new"),
        *anywhere,
    }
    assert len(of("autoscaling:StartInstanceRefresh", AutoScalingGroupName="new")) == 1


def test_a_launch_by_a_template_that_is_not_there_is_not_modelled(cloud: Cloud) -> None:
    with pytest.raises(NotModelled, match="launches"):
        of("ec2:RunInstances", LaunchTemplate={"LaunchTemplateId": "lt-0123"})


@pytest.mark.parametrize(("made", "tagging"), TAG_PERMISSIONS.items())
def test_making_something_with_tags_needs_the_permission_to_tag(cloud: Cloud, made: str, tagging: str) -> None:
    tags = {"Key": "value"} if made.startswith("logs") else [{"Key": "Key", "Value": "value"}]
    parameters = {**PARAMETERS, "Name": "secret", ("tags" if made.split(":")[0] in ("logs", "ecr") else "Tags"): tags}
    found = {need.action: need for need in required_permissions(call_of(made, parameters))}
    assert set(found) - {LINKED} == {made, tagging}
    assert found[tagging].context["aws:requesttag/key"] == ("value",)
    assert found[tagging].context["aws:tagkeys"] == ("Key",)


def test_a_batch_of_secrets_needs_each_of_them(cloud: Cloud) -> None:
    assert of("secretsmanager:BatchGetSecretValue", SecretIdList=["a", "b"]) == {
        ("secretsmanager:BatchGetSecretValue", "*"),
        ("secretsmanager:GetSecretValue", "secret:a"),
        ("secretsmanager:GetSecretValue", "secret:b"),
    }


def test_a_secret_under_a_customers_key_needs_the_key_as_well(cloud: Cloud) -> None:
    secrets = cloud.client("secretsmanager")
    key = cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
    secrets.create_secret(Name="plain", SecretString="s")
    secrets.create_secret(Name="sealed", SecretString="s", KmsKeyId=key)
    read, decrypt, seal = (
        "secretsmanager:GetSecretValue",
        ("kms:Decrypt", f"key/{key}"),
        ("kms:GenerateDataKey", f"key/{key}"),
    )
    assert {action for action, _ in of(read, SecretId="plain")} == {read}
    assert of(read, SecretId="sealed") >= {decrypt}
    assert of("secretsmanager:CreateSecret", Name="new", KmsKeyId=key) >= {decrypt, seal}
    assert of("secretsmanager:BatchGetSecretValue", SecretIdList=["sealed"]) >= {decrypt}


def test_a_batch_of_secrets_by_filters_is_not_modelled(cloud: Cloud) -> None:
    with pytest.raises(NotModelled, match="Filters"):
        of("secretsmanager:BatchGetSecretValue", Filters=[{"Key": "all", "Values": ["x"]}])


def test_an_instances_group_is_found_for_calls_that_name_only_the_instance(cloud: Cloud) -> None:
    assert of("autoscaling:SetInstanceHealth", InstanceId="i-1") == {
        ("autoscaling:SetInstanceHealth", "autoScalingGroup:*:autoScalingGroupName/*")
    }


def test_only_the_instances_own_group_is_asked_about(cloud: Cloud) -> None:
    make_group(cloud, "one", DesiredCapacity=1)
    make_group(cloud, "two", DesiredCapacity=1)
    groups = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["two"])[
        "AutoScalingGroups"
    ]
    assert [
        need.resource
        for need in required_permissions(
            call_of("autoscaling:SetInstanceHealth", {"InstanceId": groups[0]["Instances"][0]["InstanceId"]})
        )
    ] == [groups[0]["AutoScalingGroupARN"]]


def test_policies_of_resources_are_not_evaluated_and_so_refused(cloud: Cloud) -> None:
    statement = {
        "Sid": "Own",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "ecr:*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    cloud.client("secretsmanager").create_secret(Name="secret", SecretString="s")
    cloud.client("secretsmanager").put_resource_policy(SecretId="secret", ResourcePolicy=policy)
    cloud.client("ecr").create_repository(repositoryName="repository")
    cloud.client("ecr").set_repository_policy(repositoryName="repository", policyText=policy)
    for name in ("secretsmanager:GetSecretValue", "ecr:BatchGetImage"):
        with pytest.raises(NotModelled, match="what the policy of"):
            required_permissions(call_of(name))


def test_an_id_of_an_unknown_type_cannot_be_tagged() -> None:
    with pytest.raises(NotModelled, match="of what type tgw-1 is"):
        of("ec2:CreateTags", Resources=["i-1", "tgw-1"])


@pytest.mark.parametrize("by", ["KeyName", "KeyPairId"])
def test_a_key_pair_is_found_by_name_and_by_id_with_its_tags(cloud: Cloud, by: str) -> None:
    tags = [{"ResourceType": "key-pair", "Tags": [{"Key": "Name", "Value": "builder"}]}]
    made = cloud.client("ec2").create_key_pair(KeyName="k", TagSpecifications=tags)
    (need,) = required_permissions(call_of("ec2:DeleteKeyPair", {by: made[by]}))
    assert (need.resource.split(":", 5)[-1], need.tags) == ("key-pair/k", {"Name": "builder"})
