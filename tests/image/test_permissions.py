"""docs/iam/packer.json allows a build and little more. With IAM enforced."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from localcloud.testing import PROPAGATED

from tests.image import bake, template
from tests.image.cloud import ImageCloud
from tests.image.conftest import Packer
from tests.image.test_bake import SOURCE, remove

DOCUMENT = template.ROOT / "docs/iam/packer.json"
#: Needed only for sharing, a given subnet or a failure.
NOT_IN_A_PLAIN_BUILD = {"CopyImage", "ModifySnapshotAttribute", "DescribeSubnets", "DeregisterImage", "DeleteSnapshot"}


@pytest.fixture
def builder(cloud: ImageCloud) -> Iterator[Callable[[dict[str, Any]], dict[str, str]]]:
    """Gives a user a policy and returns the user's credentials as environment variables."""
    iam = cloud.client("iam")
    iam.create_user(UserName="builder")
    key = iam.create_access_key(UserName="builder")["AccessKey"]

    def given(document: dict[str, Any]) -> dict[str, str]:
        iam.put_user_policy(UserName="builder", PolicyName="packer", PolicyDocument=json.dumps(document))
        cloud.advance(PROPAGATED)
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    cloud.enforce_iam()
    yield given
    cloud.enforce_iam(False)
    iam.delete_user_policy(UserName="builder", PolicyName="packer")
    iam.delete_access_key(UserName="builder", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="builder")


@pytest.mark.parametrize("packer", ["current"], indirect=True)
def test_the_policy_allows_a_build_and_nothing_that_is_not_called(
    packer: Packer,
    cloud: ImageCloud,
    new_resources: Callable[[], set[str]],
    builder: Callable[[dict[str, Any]], dict[str, str]],
) -> None:
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    cloud.clear_trace()
    outcome = bake.build(packer.path, packer.template, cloud, environment=builder(document))
    assert outcome.code == 0, outcome.output
    called = {call["action"] for call in cloud.calls() if call["service"] == "ec2"}
    granted = {action.removeprefix("ec2:") for statement in document["Statement"] for action in statement["Action"]}
    assert called == granted - NOT_IN_A_PLAIN_BUILD
    remove(cloud, outcome.images["us-east-1"])


@pytest.mark.parametrize("packer", ["current"], indirect=True)
def test_a_build_without_create_image_fails_with_awss_message_and_cleans_up(
    packer: Packer,
    cloud: ImageCloud,
    new_resources: Callable[[], set[str]],
    builder: Callable[[dict[str, Any]], dict[str, str]],
) -> None:
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    kept = (
        statement | {"Action": sorted({*statement["Action"]} - {"ec2:CreateImage"})}
        for statement in document["Statement"]
    )
    document["Statement"] = [statement for statement in kept if statement["Action"]]
    outcome = bake.build(packer.path, packer.template, cloud, environment=builder(document))
    assert outcome.code != 0
    assert "UnauthorizedOperation" in outcome.output
    assert outcome.images == {}


def test_resources_that_no_build_made_cannot_be_changed(
    cloud: ImageCloud, new_resources: Callable[[], set[str]], builder: Callable[[dict[str, Any]], dict[str, str]]
) -> None:
    operator = cloud.client("ec2")
    others = operator.create_security_group(GroupName="others", Description="of somebody else")["GroupId"]
    launched = operator.run_instances(ImageId=SOURCE, InstanceType="t3.large", MinCount=1, MaxCount=1)["Instances"][0][
        "InstanceId"
    ]
    given = builder(json.loads(DOCUMENT.read_text(encoding="utf-8")))
    ec2 = cloud.client("ec2", **{name.lower(): value for name, value in given.items()})
    named = [{"Key": "Name", "Value": "gh-golden-ami-builder"}]
    everybody = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}
    for call, parameters in (
        (ec2.create_image, {"InstanceId": launched, "Name": "theirs"}),
        (ec2.create_tags, {"Resources": [launched], "Tags": named}),
        (ec2.create_tags, {"Resources": [others], "Tags": named}),
        (ec2.authorize_security_group_ingress, {"GroupId": others, **everybody}),
        (ec2.terminate_instances, {"InstanceIds": [launched]}),
        (ec2.delete_security_group, {"GroupId": others}),
    ):
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            call(**parameters, DryRun=True)
    with pytest.raises(ClientError, match="DryRunOperation"):
        ec2.describe_regions(DryRun=True)
    operator.terminate_instances(InstanceIds=[launched])
    operator.get_waiter("instance_terminated").wait(
        InstanceIds=[launched], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    operator.delete_security_group(GroupId=others)
