"""Enforced IAM through the API: callers, policies, and every way to be denied."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from localcloud.iam import instance_roles
from localcloud.iam.instance_roles import NotTrusted, RoleCredentials
from localcloud.testing import Cloud
from moto.sts.models import sts_backends
from unit.resources import IMAGE, SUBNETS, make_group, make_template, refused

ACCOUNT = "123456789012"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
ALLOW_ALL: dict[str, Any] = {"Effect": "Allow", "Action": "*", "Resource": "*"}
Clients = Callable[[str], Any]


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def client(cloud: Cloud, service: str, key: str, secret: str, token: str | None = None, **options: Any) -> Any:
    """Return a client with these credentials."""
    return cloud.client(
        service,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}, **options),
    )


def by_role(cloud: Cloud, given: RoleCredentials) -> Clients:
    return lambda service: client(cloud, service, given.access_key_id, given.secret_access_key, given.token)


def by_user(cloud: Cloud, name: str) -> Clients:
    made = cloud.client("iam").create_access_key(UserName=name)["AccessKey"]
    return lambda service: client(cloud, service, made["AccessKeyId"], made["SecretAccessKey"])


def role_session(cloud: Cloud, role: str, instance: str) -> RoleCredentials:
    """What the metadata service of an instance with this role returns."""
    with cloud.world.entered():
        return instance_roles.role_session(role, instance)


def outcome(call: Callable[[], Any]) -> str:
    """``done``, or AWS's error code."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


@pytest.fixture
def enforced(cloud: Cloud) -> Iterator[Cloud]:
    """A fresh account in which policies count."""
    assert cloud.control("enforce-iam", on=True) == {"enforce_iam": True}
    yield cloud
    cloud.enforce_iam(False)


# --- callers ----------------------------------------------------------------------------------------------


@pytest.fixture
def role(enforced: Cloud) -> str:
    """A role that may do everything."""
    iam = enforced.client("iam")
    iam.create_role(
        RoleName="worker", Path="/gh/", AssumeRolePolicyDocument=json.dumps(TRUST), Tags=[{"Key": "team", "Value": "x"}]
    )
    iam.put_role_policy(RoleName="worker", PolicyName="all", PolicyDocument=document(ALLOW_ALL))
    return f"arn:aws:iam::{ACCOUNT}:role/gh/worker"


@pytest.fixture
def user(enforced: Cloud) -> str:
    """A user that may do nothing yet."""
    enforced.client("iam").create_user(UserName="valet")
    return "valet"


def may(cloud: Cloud, user: str, *statements: dict[str, Any]) -> None:
    cloud.client("iam").put_user_policy(UserName=user, PolicyName="own", PolicyDocument=document(*statements))


CALLS: dict[str, Callable[[Clients], Any]] = {
    "ec2": lambda to: to("ec2").describe_vpcs(),
    "query": lambda to: to("autoscaling").describe_auto_scaling_groups(),
    "json": lambda to: to("secretsmanager").list_secrets(),
}
WORDS = {
    "unknown": ("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"),
    "expired": ("RequestExpired", "ExpiredToken", "ExpiredTokenException"),
}
STATUS = {"AuthFailure": 401, "InvalidClientTokenId": 403, "ExpiredToken": 403}


def code_and_status(call: Callable[[], Any]) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_unknown_credentials_are_the_operators_who_may_do_everything(enforced: Cloud) -> None:
    for call in CALLS.values():
        call(enforced.client)
    assert outcome(enforced.client("ec2").describe_vpc_endpoints) == "done"  # an action without a row


def test_an_instances_credentials_are_its_roles_session(enforced: Cloud, role: str) -> None:
    given = role_session(enforced, "worker", "i-0123456789abcdef0")
    identity = by_role(enforced, given)("sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/i-0123456789abcdef0"
    assert identity["UserId"].endswith(":i-0123456789abcdef0")
    assert given.access_key_id.startswith("ASIA")
    assert (
        timedelta(hours=5)
        < given.expiration - datetime.now(UTC)
        <= given.expiration - given.last_updated
        == timedelta(hours=6)
    )
    for call in CALLS.values():
        call(by_role(enforced, given))


def test_an_instance_keeps_its_credentials_until_an_hour_before_they_expire(enforced: Cloud, role: str) -> None:
    first = role_session(enforced, "worker", "i-1")
    assert role_session(enforced, "worker", "i-1") == first
    assert role_session(enforced, "worker", "i-2") != first
    with enforced.world.entered():
        session = sts_backends[ACCOUNT]["aws"].assumed_roles[0]
    session.expiration = session.expiration - timedelta(hours=5, minutes=1)
    assert role_session(enforced, "worker", "i-1").access_key_id != first.access_key_id
    CALLS["query"](by_role(enforced, first))  # the old ones are good until they expire


def test_a_role_that_does_not_trust_ec2_gives_an_instance_nothing(enforced: Cloud, role: str) -> None:
    other = document({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"})
    enforced.client("iam").update_assume_role_policy(RoleName="worker", PolicyDocument=other)
    with pytest.raises(NotTrusted, match="EC2 cannot assume the role worker"):
        role_session(enforced, "worker", "i-1")
    with pytest.raises(LookupError, match="no role missing"):
        role_session(enforced, "missing", "i-1")


@pytest.mark.parametrize(("number", "protocol"), list(enumerate(CALLS)))
def test_bad_credentials_are_refused_in_the_words_of_each_protocol(
    enforced: Cloud, role: str, number: int, protocol: str
) -> None:
    given, other = role_session(enforced, "worker", "i-1"), role_session(enforced, "worker", "i-2")

    def result_of(key: str, token: str | None) -> tuple[str, int]:
        return code_and_status(
            lambda: CALLS[protocol](lambda service: client(enforced, service, key, "secret-access-key", token))
        )

    def expected(what: str) -> tuple[str, int]:
        return WORDS[what][number], STATUS.get(WORDS[what][number], 400)

    unknown = expected("unknown")
    assert result_of("ASIA" + "A" * 16, "token") == unknown
    assert result_of("AKIA" + "A" * 16, None) == unknown
    assert result_of(given.access_key_id, None) == unknown
    assert result_of(given.access_key_id, other.token) == unknown
    with enforced.world.entered():
        sts_backends[ACCOUNT]["aws"].assumed_roles[0].expiration = datetime.now(UTC).replace(tzinfo=None)
    assert result_of(given.access_key_id, given.token) == expected("expired")
    CALLS[protocol](by_role(enforced, other))
    enforced.client("iam").delete_role_policy(RoleName="worker", PolicyName="all")
    enforced.client("iam").delete_role(RoleName="worker")
    assert result_of(other.access_key_id, other.token) == unknown


@pytest.mark.parametrize(
    ("protocol", "code"), [("query", "MissingAuthenticationToken"), ("json", "MissingAuthenticationTokenException")]
)
def test_an_unsigned_call_is_refused(enforced: Cloud, protocol: str, code: str) -> None:
    assert (
        outcome(
            lambda: CALLS[protocol](lambda service: client(enforced, service, "k", "s", signature_version=UNSIGNED))
        )
        == code
    )


def test_a_users_key_counts_until_it_is_deactivated_or_deleted(enforced: Cloud, user: str) -> None:
    may(enforced, user, ALLOW_ALL)
    iam = enforced.client("iam")
    made = iam.create_access_key(UserName=user)["AccessKey"]
    sts = client(enforced, "sts", made["AccessKeyId"], made["SecretAccessKey"])
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/valet"
    iam.update_access_key(UserName=user, AccessKeyId=made["AccessKeyId"], Status="Inactive")
    assert code_and_status(sts.get_caller_identity) == ("InvalidClientTokenId", 403)
    iam.update_access_key(UserName=user, AccessKeyId=made["AccessKeyId"], Status="Active")
    sts.get_caller_identity()
    iam.delete_access_key(UserName=user, AccessKeyId=made["AccessKeyId"])
    assert code_and_status(sts.get_caller_identity) == ("InvalidClientTokenId", 403)


def test_while_off_nothing_is_checked(cloud: Cloud) -> None:
    for call in CALLS.values():
        call(lambda service: client(cloud, service, "AKIA" + "A" * 16, "secret-access-key"))


# --- policies --------------------------------------------------------------------------------------

GROUPS = f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:*:autoScalingGroupName"


def test_a_refusal_has_awss_words_in_each_protocol(enforced: Cloud, user: str) -> None:
    to, who = by_user(enforced, user), f"User: arn:aws:iam::{ACCOUNT}:user/valet is not authorized to perform: "
    calls: list[tuple[Callable[[], Any], str]] = [
        (
            lambda: to("autoscaling").set_desired_capacity(AutoScalingGroupName="a&b", DesiredCapacity=1),
            f"{who}autoscaling:SetDesiredCapacity on resource: {GROUPS}/a&b "
            "because no identity-based policy allows the autoscaling:SetDesiredCapacity action",
        ),
        (
            lambda: to("autoscaling").describe_auto_scaling_groups(),
            f"{who}autoscaling:DescribeAutoScalingGroups "
            "because no identity-based policy allows the autoscaling:DescribeAutoScalingGroups action",
        ),
        (
            lambda: to("ec2").stop_instances(InstanceIds=["i-1"]),
            f"You are not authorized to perform this operation. {who}ec2:StopInstances on resource: "
            f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-1 "
            "because no identity-based policy allows the ec2:StopInstances action",
        ),
        (
            lambda: to("ecr").get_authorization_token(),
            f"{who}ecr:GetAuthorizationToken on resource: * "
            "because no identity-based policy allows the ecr:GetAuthorizationToken action",
        ),
    ]
    for call, message in calls:
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Message"] == message
    may(enforced, user, ALLOW_ALL, {**ALLOW_ALL, "Effect": "Deny"})
    with refused(
        "AccessDeniedException",
        "secretsmanager:ListSecrets on resource: .* with an explicit deny in an identity-based policy",
    ):
        to("secretsmanager").list_secrets()


def test_policies_of_a_users_groups_count(enforced: Cloud, user: str) -> None:
    iam = enforced.client("iam")
    to = by_user(enforced, user)
    iam.create_group(GroupName="readers")
    iam.put_group_policy(
        GroupName="readers", PolicyName="read", PolicyDocument=document({**ALLOW_ALL, "Action": "ec2:Describe*"})
    )
    assert outcome(to("ec2").describe_vpcs) == "UnauthorizedOperation"
    iam.add_user_to_group(GroupName="readers", UserName=user)
    assert outcome(to("ec2").describe_vpcs) == "done"


def test_a_permissions_boundary_limits_users_and_roles(enforced: Cloud, user: str, role: str) -> None:
    iam = enforced.client("iam")
    arn = iam.create_policy(PolicyName="boundary", PolicyDocument=document({**ALLOW_ALL, "Action": "ec2:*"}))["Policy"][
        "Arn"
    ]
    may(enforced, user, ALLOW_ALL)
    iam.put_user_permissions_boundary(UserName=user, PermissionsBoundary=arn)
    iam.put_role_permissions_boundary(RoleName="worker", PermissionsBoundary=arn)
    for to in (by_user(enforced, user), by_role(enforced, role_session(enforced, "worker", "i-1"))):
        assert outcome(to("ec2").describe_vpcs) == "done"
        with refused("AccessDenied", "because no permissions boundary allows the iam:ListUsers action"):
            to("iam").list_users()


def test_the_newest_version_of_a_managed_policy_counts_only_as_default(enforced: Cloud, user: str) -> None:
    iam, to = enforced.client("iam"), by_user(enforced, user)
    arn = iam.create_policy(PolicyName="p", PolicyDocument=document({**ALLOW_ALL, "Action": "ec2:*"}))["Policy"]["Arn"]
    iam.attach_user_policy(UserName=user, PolicyArn=arn)
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document({**ALLOW_ALL, "Action": "iam:*"}))
    assert outcome(to("ec2").describe_vpcs) == "done"
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    assert (outcome(to("ec2").describe_vpcs), outcome(to("iam").list_users)) == ("UnauthorizedOperation", "done")


def test_a_tag_of_the_group_can_be_the_condition(enforced: Cloud, user: str) -> None:
    for key in ("aws", "autoscaling"):
        may(enforced, user, {**ALLOW_ALL, "Condition": {"StringEquals": {f"{key}:ResourceTag/Team": "mine"}}})
        to = by_user(enforced, user)
        for name, owner in (("mine", "mine"), ("theirs", "theirs")):
            make_group(enforced, f"{key}-{name}", Tags=[{"Key": "Team", "Value": owner, "PropagateAtLaunch": False}])
        scale = to("autoscaling").set_desired_capacity
        assert outcome(partial(scale, AutoScalingGroupName=f"{key}-mine", DesiredCapacity=0)) == "done"
        assert outcome(partial(scale, AutoScalingGroupName=f"{key}-theirs", DesiredCapacity=0)) == "AccessDenied"


def test_a_policy_variable_limits_a_user_to_itself(enforced: Cloud, user: str) -> None:
    enforced.client("iam").create_user(UserName="other")
    may(enforced, user, {**ALLOW_ALL, "Resource": f"arn:aws:iam::{ACCOUNT}:user/${{aws:username}}"})
    iam = by_user(enforced, user)("iam")
    assert iam.get_user()["User"]["UserName"] == "valet"
    assert outcome(lambda: iam.list_access_keys(UserName="valet")) == "done"
    assert outcome(lambda: iam.list_access_keys(UserName="other")) == "AccessDenied"


def test_conditions_limit_a_role_to_a_region_a_tag_and_its_own_instance(enforced: Cloud, role: str) -> None:
    ec2 = enforced.client("ec2")
    mine, other = (i["InstanceId"] for i in ec2.run_instances(ImageId=IMAGE, MinCount=2, MaxCount=2)["Instances"])
    condition = {
        "StringEquals": {"aws:RequestedRegion": "us-east-1", "aws:PrincipalTag/team": "x", "aws:PrincipalArn": role},
        "ArnEquals": {"ec2:SourceInstanceARN": f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{mine}"},
    }
    enforced.client("iam").put_role_policy(
        RoleName="worker", PolicyName="all", PolicyDocument=document({**ALLOW_ALL, "Condition": condition})
    )
    assert outcome(by_role(enforced, role_session(enforced, "worker", mine))("ec2").describe_vpcs) == "done"
    assert (
        outcome(by_role(enforced, role_session(enforced, "worker", other))("ec2").describe_vpcs)
        == "UnauthorizedOperation"
    )


def test_a_policy_variable_limits_a_role_to_one_tag_of_its_own_instance(enforced: Cloud, role: str) -> None:
    ec2 = enforced.client("ec2")
    mine, other = (i["InstanceId"] for i in ec2.run_instances(ImageId=IMAGE, MinCount=2, MaxCount=2)["Instances"])
    own = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/${{ec2:InstanceID}}"
    statement = {
        "Effect": "Allow",
        "Action": "ec2:CreateTags",
        "Resource": f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/*",
        "Condition": {
            "ArnEquals": {"ec2:SourceInstanceARN": own},
            "ForAllValues:StringEquals": {"aws:TagKeys": ["did"]},
            "Null": {"aws:TagKeys": "false"},
        },
    }
    enforced.client("iam").put_role_policy(RoleName="worker", PolicyName="all", PolicyDocument=document(statement))
    own_ec2 = by_role(enforced, role_session(enforced, "worker", mine))("ec2")

    def tags(key: str, *ids: str) -> str:
        return outcome(lambda: own_ec2.create_tags(Resources=list(ids), Tags=[{"Key": key, "Value": "x"}]))

    assert tags("did", mine) == "done"
    assert [tags("did", other), tags("did", mine, other), tags("want", mine)] == ["UnauthorizedOperation"] * 3
    assert outcome(lambda: own_ec2.delete_tags(Resources=[mine], Tags=[{"Key": "did"}])) == "UnauthorizedOperation"


def test_a_condition_that_localcloud_does_not_know_refuses_and_is_logged(
    enforced: Cloud, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    may(enforced, user, {**ALLOW_ALL, "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1"}}})
    with caplog.at_level(logging.WARNING), refused("UnauthorizedOperation"):
        by_user(enforced, user)("ec2").describe_vpcs()
    assert "the condition key aws:SourceVpc is not modelled" in caplog.text


def test_tags_that_localcloud_cannot_see_never_allow_by_their_absence(enforced: Cloud, user: str) -> None:
    may(enforced, user, {**ALLOW_ALL, "Condition": {"StringNotEquals": {"aws:ResourceTag/team": "theirs"}}})
    to = by_user(enforced, user)
    assert (
        outcome(lambda: to("logs").create_log_stream(logGroupName="/g", logStreamName="s")) == "AccessDeniedException"
    )
    assert outcome(to("ec2").describe_vpcs) == "done"


def test_an_action_without_a_row_is_refused_by_name(enforced: Cloud, user: str) -> None:
    may(enforced, user, ALLOW_ALL)
    to = by_user(enforced, user)
    with refused("InvalidAction", "localcloud cannot tell what ec2:DescribeDhcpOptions needs: it has no row for it"):
        to("ec2").describe_dhcp_options()
    with refused("InvalidAction", "lambda:ListFunctions"):
        to("lambda").list_functions()


def test_launching_with_a_profile_needs_the_permission_to_pass_its_role(enforced: Cloud, user: str, role: str) -> None:
    iam, ec2 = enforced.client("iam"), by_user(enforced, user)("ec2")
    iam.create_instance_profile(InstanceProfileName="profile")
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="worker")
    launch: dict[str, Any] = {
        "ImageId": IMAGE,
        "MinCount": 1,
        "MaxCount": 1,
        "SubnetId": SUBNETS[0],
        "IamInstanceProfile": {"Name": "profile"},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}],
    }
    run = {**ALLOW_ALL, "Action": "ec2:RunInstances"}
    tag = {
        **ALLOW_ALL,
        "Action": "ec2:CreateTags",
        "Condition": {"StringEquals": {"ec2:CreateAction": "RunInstances"}},
    }
    hand = {
        **ALLOW_ALL,
        "Action": "iam:PassRole",
        "Resource": role,
        "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    }
    for statements, missing in (
        ([tag, hand], "ec2:RunInstances"),
        ([run, hand], "ec2:CreateTags"),
        ([run, tag], "iam:PassRole"),
    ):
        may(enforced, user, *statements)
        with refused("UnauthorizedOperation", f"not authorized to perform: {missing} on resource"):
            ec2.run_instances(**launch)
    may(enforced, user, run, tag, hand)
    assert len(ec2.run_instances(**launch)["Instances"]) == 1
    elsewhere = {**run, "Effect": "Deny", "Resource": f"arn:aws:ec2:us-east-1:{ACCOUNT}:subnet/{SUBNETS[0]}"}
    may(enforced, user, run, tag, hand, elsewhere)
    with refused("UnauthorizedOperation", "explicit deny"):
        ec2.run_instances(**launch)


def test_a_group_by_a_template_needs_what_launching_needs(enforced: Cloud, user: str) -> None:
    make_template(enforced.client("ec2"))
    may(enforced, user, {**ALLOW_ALL, "Action": "autoscaling:*"})
    create: dict[str, Any] = {
        "AutoScalingGroupName": "new",
        "MinSize": 0,
        "MaxSize": 1,
        "LaunchTemplate": {"LaunchTemplateName": "workers", "Version": "1"},
        "VPCZoneIdentifier": SUBNETS[0],
    }
    autoscaling = by_user(enforced, user)("autoscaling")
    with refused("AccessDenied", "ec2:RunInstances"):
        autoscaling.create_auto_scaling_group(**create)
    may(enforced, user, {**ALLOW_ALL, "Action": ["autoscaling:*", "ec2:RunInstances", "ec2:CreateTags", "iam:Cre*"]})
    autoscaling.create_auto_scaling_group(**create)


def test_a_dry_run_tells_whether_it_is_permitted_and_does_nothing(enforced: Cloud, user: str) -> None:
    ec2 = by_user(enforced, user)("ec2")
    assert code_and_status(lambda: ec2.create_tags(Resources=["i-1"], Tags=[], DryRun=True)) == (
        "UnauthorizedOperation",
        403,
    )
    may(enforced, user, {**ALLOW_ALL, "Action": "ec2:RunInstances"})
    launch: dict[str, Any] = {"ImageId": IMAGE, "MinCount": 1, "MaxCount": 1, "DryRun": True}
    assert code_and_status(lambda: ec2.run_instances(**launch)) == ("DryRunOperation", 412)
    assert code_and_status(lambda: enforced.client("ec2").run_instances(**launch)) == ("DryRunOperation", 412)
    assert enforced.client("ec2").describe_instances()["Reservations"] == []


def test_a_role_is_assumed_by_whom_it_trusts_within_the_session_policy(enforced: Cloud, user: str, role: str) -> None:
    sts = by_user(enforced, user)("sts")
    parameters = {"RoleArn": role, "RoleSessionName": "drill"}
    with refused("AccessDenied", re.escape(f"sts:AssumeRole on resource: {role}") + "$"):
        sts.assume_role(**parameters)
    with refused("AccessDenied"):
        sts.assume_role(**{**parameters, "RoleArn": role + "2"})
    trust = document(
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/valet"}, "Action": "sts:AssumeRole"}
    )
    enforced.client("iam").update_assume_role_policy(RoleName="worker", PolicyDocument=trust)
    given = sts.assume_role(**parameters, Policy=document({**ALLOW_ALL, "Action": "ec2:Describe*"}))["Credentials"]
    keys = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    assert (
        client(enforced, "sts", *keys).get_caller_identity()["Arn"]
        == f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/drill"
    )
    client(enforced, "ec2", *keys).describe_vpcs()
    with refused("AccessDenied", "because no session policy allows the iam:ListUsers action"):
        client(enforced, "iam", *keys).list_users()
    with refused("InvalidAction", "what PolicyArns of AssumeRole would limit"):
        sts.assume_role(**parameters, PolicyArns=[{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}])


def test_get_caller_identity_needs_no_permission(enforced: Cloud, user: str) -> None:
    may(enforced, user, {**ALLOW_ALL, "Effect": "Deny"})
    assert outcome(by_user(enforced, user)("sts").get_caller_identity) == "done"


@pytest.mark.parametrize("body", [{}, {"on": "yes"}, {"on": 1}])
def test_a_wrong_switch_is_refused(cloud: Cloud, body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="enforce-iam"):
        cloud.control("enforce-iam", **body)


# --- the simulator ------------------------------------------------------------------------------------------


def simulated(cloud: Cloud, source: str, *names: str, **options: Any) -> list[tuple[str, str, str]]:
    answer = cloud.client("iam").simulate_principal_policy(PolicySourceArn=source, ActionNames=list(names), **options)
    return [(r["EvalActionName"], r["EvalResourceName"], r["EvalDecision"]) for r in answer["EvaluationResults"]]


def test_the_simulator_agrees_with_what_is_enforced(enforced: Cloud, user: str) -> None:
    may(
        enforced,
        user,
        {**ALLOW_ALL, "Action": "ec2:*"},
        {**ALLOW_ALL, "Effect": "Deny", "Action": "ec2:DescribeVpcs"},
    )
    ec2 = by_user(enforced, user)("ec2")
    source = f"arn:aws:iam::{ACCOUNT}:user/valet"
    assert simulated(enforced, source, "ec2:DescribeVpcs", "ec2:DescribeSubnets", "iam:ListUsers") == [
        ("ec2:DescribeVpcs", "*", "explicitDeny"),
        ("ec2:DescribeSubnets", "*", "allowed"),
        ("iam:ListUsers", "*", "implicitDeny"),
    ]
    assert (outcome(ec2.describe_vpcs), outcome(ec2.describe_subnets)) == ("UnauthorizedOperation", "done")


def test_the_simulator_takes_resources_context_further_policies_and_boundaries(enforced: Cloud, user: str) -> None:
    source = f"arn:aws:iam::{ACCOUNT}:user/valet"
    may(
        enforced,
        user,
        {**ALLOW_ALL, "Resource": f"{GROUPS}/fleet", "Condition": {"StringEquals": {"aws:ResourceTag/team": "x"}}},
    )
    resources = [f"{GROUPS}/fleet".replace("*", "1"), f"{GROUPS}/other".replace("*", "1")]
    name, entry = (
        "autoscaling:SetDesiredCapacity",
        {"ContextKeyName": "aws:ResourceTag/team", "ContextKeyType": "string"},
    )
    assert [d for _, _, d in simulated(enforced, source, name, ResourceArns=resources)] == ["implicitDeny"] * 2
    with_tag = {"ResourceArns": resources, "ContextEntries": [{**entry, "ContextKeyValues": ["x"]}]}
    assert [d for _, _, d in simulated(enforced, source, name, **with_tag)] == ["allowed", "implicitDeny"]
    more = {**with_tag, "PolicyInputList": [document(ALLOW_ALL)]}
    assert [d for _, _, d in simulated(enforced, source, name, **more)] == ["allowed", "allowed"]
    bound = {**more, "PermissionsBoundaryPolicyInputList": [document({**ALLOW_ALL, "Action": "ec2:*"})]}
    assert [d for _, _, d in simulated(enforced, source, name, **bound)] == ["implicitDeny"] * 2
    result = enforced.client("iam").simulate_principal_policy(
        PolicySourceArn=source, ActionNames=[name], ResourceArns=resources[:1]
    )
    assert result["EvaluationResults"][0]["MissingContextValues"] == ["aws:resourcetag/team"]
    assert result["EvaluationResults"][0]["MatchedStatements"] == []


def test_the_simulator_reads_policies_that_are_given_and_answers_in_pages(enforced: Cloud) -> None:
    iam = enforced.client("iam")
    pages = iam.get_paginator("simulate_custom_policy").paginate(
        PolicyInputList=[document({**ALLOW_ALL, "Action": "ec2:*"})],
        ActionNames=["ec2:RunInstances", "iam:PassRole", "ec2:StopInstances"],
        PaginationConfig={"PageSize": 2},
    )
    results = [r for page in pages for r in page["EvaluationResults"]]
    assert [r["EvalDecision"] for r in results] == ["allowed", "implicitDeny", "allowed"]
    assert results[0]["MatchedStatements"] == [
        {"SourcePolicyId": "PolicyInputList.1", "SourcePolicyType": "IAM Policy"}
    ]
    with refused("InvalidInput", "PolicyInputList.1 is not JSON"):
        iam.simulate_custom_policy(PolicyInputList=["{"], ActionNames=["ec2:RunInstances"])
    with refused("NoSuchEntity"):
        iam.simulate_principal_policy(
            PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:role/missing", ActionNames=["ec2:RunInstances"]
        )
    with refused("InvalidAction", "SimulateCustomPolicy"):
        iam.simulate_custom_policy(
            PolicyInputList=[document(ALLOW_ALL)], ActionNames=["a:b"], ResourceOwner=f"arn:aws:iam::{ACCOUNT}:root"
        )
