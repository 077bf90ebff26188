"""The policies that iam.yml and valet.yml write: enough for the worker and for VALET on their own fleet, and no more.

Tried with enforced IAM. That nothing else may be called is tried by leaving out one action at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import iam as reading
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import worker_permissions
from botocore.exceptions import ClientError
from localcloud.testing import CREDENTIALS, PROPAGATED

from tests.fleet.cloud import PlaybookCloud
from tests.fleet.fleet import LOGS, NAME, REPOSITORY, SECRET, VALET_POLICY_ARN

ACCOUNT = "123456789012"
DENIALS = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
#: In place of EC2's, which takes the role for an instance only: the account's owner may assume the worker's role.
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    ],
}
Policy = dict[str, Any]
Clients = Callable[[str], Any]


@dataclass(frozen=True)
class Names:
    """The resources of a fleet, and one of its instances."""

    group: str
    instance: str
    secret: str
    repository: str
    log_group: str


Call = Callable[[Clients, Names], Any]

#: What the agent, Docker and the log shipper call on a worker (runbook §6). SetInstanceHealth takes no group's name.
WORKER: dict[str, Call] = {
    "autoscaling:CompleteLifecycleAction": lambda to, its: to("autoscaling").complete_lifecycle_action(
        AutoScalingGroupName=its.group,
        LifecycleHookName="drain",
        InstanceId=its.instance,
        LifecycleActionResult="CONTINUE",
    ),
    "autoscaling:RecordLifecycleActionHeartbeat": lambda to, its: to("autoscaling").record_lifecycle_action_heartbeat(
        AutoScalingGroupName=its.group, LifecycleHookName="drain", InstanceId=its.instance
    ),
    "autoscaling:SetInstanceHealth": lambda to, its: to("autoscaling").set_instance_health(
        InstanceId=its.instance, HealthStatus="Healthy"
    ),
    "autoscaling:SetInstanceProtection": lambda to, its: to("autoscaling").set_instance_protection(
        AutoScalingGroupName=its.group, InstanceIds=[its.instance], ProtectedFromScaleIn=True
    ),
    "autoscaling:DescribeAutoScalingGroups": lambda to, its: to("autoscaling").describe_auto_scaling_groups(),
    "autoscaling:DescribeAutoScalingInstances": lambda to, its: to("autoscaling").describe_auto_scaling_instances(),
    "autoscaling:DescribeLifecycleHooks": lambda to, its: to("autoscaling").describe_lifecycle_hooks(
        AutoScalingGroupName=its.group
    ),
    "autoscaling:DescribeScalingActivities": lambda to, its: to("autoscaling").describe_scaling_activities(),
    "ecr:GetAuthorizationToken": lambda to, its: to("ecr").get_authorization_token(),
    "ecr:BatchGetImage": lambda to, its: to("ecr").batch_get_image(
        repositoryName=its.repository, imageIds=[{"imageTag": "latest"}]
    ),
    "ecr:GetDownloadUrlForLayer": lambda to, its: to("ecr").get_download_url_for_layer(
        repositoryName=its.repository, layerDigest="sha256:1"
    ),
    "ecr:BatchCheckLayerAvailability": lambda to, its: to("ecr").batch_check_layer_availability(
        repositoryName=its.repository, layerDigests=["sha256:1"]
    ),
    "secretsmanager:GetSecretValue": lambda to, its: to("secretsmanager").get_secret_value(SecretId=its.secret),
    "logs:CreateLogGroup": lambda to, its: to("logs").create_log_group(logGroupName=its.log_group),
    "logs:CreateLogStream": lambda to, its: to("logs").create_log_stream(
        logGroupName=its.log_group, logStreamName=its.instance
    ),
    "logs:PutLogEvents": lambda to, its: to("logs").put_log_events(
        logGroupName=its.log_group, logStreamName=its.instance, logEvents=[{"timestamp": 1, "message": "up"}]
    ),
}
#: What Session Manager's agent calls. These APIs have no public client, so IAM's policy simulator is asked.
SESSION_MANAGER = {
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
#: What the agent calls with the session that EC2 gives its instance, which the simulator is asked about, too. The
#: agent's own tests make the call.
OWN_TAG = "ec2:CreateTags"
#: What VALET's AutoScaleService calls (runbook §10).
VALET: dict[str, Call] = {
    "autoscaling:DescribeAutoScalingGroups": lambda to, its: to("autoscaling").describe_auto_scaling_groups(),
    "autoscaling:DescribeAutoScalingInstances": lambda to, its: to("autoscaling").describe_auto_scaling_instances(),
    "ec2:DescribeInstances": lambda to, its: to("ec2").describe_instances(),
    "autoscaling:SetDesiredCapacity": lambda to, its: to("autoscaling").set_desired_capacity(
        AutoScalingGroupName=its.group, DesiredCapacity=1
    ),
    "autoscaling:UpdateAutoScalingGroup": lambda to, its: to("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=its.group, MinSize=0, MaxSize=3, DesiredCapacity=1
    ),
}
WITHOUT_RESOURCE = {
    "ecr:GetAuthorizationToken",
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeLifecycleHooks",
    "autoscaling:DescribeScalingActivities",
    "ec2:DescribeInstances",
}


#: Allowed, and yet an error: no instance is terminating here, there are no layers, and moto has no URLs of layers.
FAILS_ANYWAY = {
    "autoscaling:CompleteLifecycleAction",
    "autoscaling:RecordLifecycleActionHeartbeat",
    "ecr:GetDownloadUrlForLayer",
}


@pytest.fixture(scope="module")
def running() -> Iterator[PlaybookCloud]:
    """A cloud of these tests' own: they read a secret's value, which no playbook does."""
    with PlaybookCloud.start_thread() as cloud:
        yield cloud


@pytest.fixture(scope="module")
def policies(running: PlaybookCloud) -> dict[str, Policy]:
    """The policies of the worker and of VALET, as the playbooks write them for the fleet of inventories/local."""
    for playbook in ("playbooks/iam.yml", "playbooks/valet.yml"):
        run = running.play(playbook)
        assert run.returncode == 0, run
    iam = running.client("iam")
    worker = iam.get_role_policy(RoleName=f"{NAME}-role", PolicyName=f"{NAME}-permissions")
    version = iam.get_policy(PolicyArn=VALET_POLICY_ARN)["Policy"]["DefaultVersionId"]
    valet = iam.get_policy_version(PolicyArn=VALET_POLICY_ARN, VersionId=version)
    return {"worker": worker["PolicyDocument"], "valet": valet["PolicyVersion"]["Document"]}


@pytest.fixture
def enforced(policies: dict[str, Policy], running: PlaybookCloud) -> Iterator[PlaybookCloud]:
    """An empty account in which policies are enforced."""
    running.reset()
    running.enforce_iam()
    yield running
    running.enforce_iam(False)


def create_resources(cloud: PlaybookCloud, suffix: str = "", secret: str = SECRET) -> Names:
    """Create the resources of a fleet, whose names end in a suffix."""
    names = Names(f"{NAME}-asg{suffix}", "", secret, f"{REPOSITORY}{suffix}", f"{LOGS}{suffix}")
    template = {"ImageId": "ami-010ca1c10d000a001", "InstanceType": "t3.medium"}
    cloud.client("ec2").create_launch_template(LaunchTemplateName=names.group, LaunchTemplateData=template)
    cloud.advance(PROPAGATED)
    autoscaling = cloud.client("autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=names.group,
        LaunchTemplate={"LaunchTemplateName": names.group, "Version": "1"},
        AvailabilityZones=["us-east-1a"],
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=1,
    )
    autoscaling.put_lifecycle_hook(
        AutoScalingGroupName=names.group,
        LifecycleHookName="drain",
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
    )
    cloud.client("secretsmanager").create_secret(Name=names.secret, SecretString="{}")
    cloud.client("ecr").create_repository(repositoryName=names.repository)
    (instance,) = cloud.lifecycle_states(names.group)
    return Names(names.group, instance, names.secret, names.repository, names.log_group)


def worker(cloud: PlaybookCloud, policy: Policy) -> Clients:
    """Clients with the worker's role."""
    iam = cloud.client("iam")
    role = iam.create_role(RoleName=f"{NAME}-role", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    iam.put_role_policy(RoleName=f"{NAME}-role", PolicyName="permissions", PolicyDocument=json.dumps(policy))
    cloud.advance(PROPAGATED)
    given = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="i-1")["Credentials"]
    return partial(
        cloud.client,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )


def valet(cloud: PlaybookCloud, policy: Policy) -> Clients:
    """Clients with the access key of VALET's user."""
    iam = cloud.client("iam")
    iam.create_user(UserName="valet")
    iam.put_user_policy(UserName="valet", PolicyName="scale", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="valet")["AccessKey"]
    cloud.advance(PROPAGATED)
    return partial(cloud.client, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


CALLERS: dict[str, tuple[Callable[[PlaybookCloud, Policy], Clients], dict[str, Call]]] = {
    "worker": (worker, WORKER),
    "valet": (valet, VALET),
}


def results(cloud: PlaybookCloud, calls: dict[str, Call], clients: Clients, names: Names) -> dict[str, str]:
    """Action -> "done" or AWS's error code, of each call on the same account."""
    cloud.control("snapshot")
    found = {action: result(partial(call, clients, names)) for action, call in calls.items()}
    cloud.control("restore")
    return found


def result(call: Callable[[], Any]) -> str:
    """Return "done", or AWS's error code."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def without(policy: Policy, action: str) -> Policy:
    """The policy less one action, and less a statement that has no other."""
    kept = [{**s, "Action": [a for a in s["Action"] if a != action]} for s in policy["Statement"]]
    return {**policy, "Statement": [statement for statement in kept if statement["Action"]]}


def test_the_tables_of_this_file_are_the_policies(policies: dict[str, Policy]) -> None:
    actions = {name: {a for s in policy["Statement"] for a in s["Action"]} for name, policy in policies.items()}
    assert actions == {"worker": {*WORKER, *SESSION_MANAGER, OWN_TAG}, "valet": set(VALET)}


@pytest.mark.parametrize("name", CALLERS)
def test_a_policy_allows_all_that_its_caller_does_on_its_own_fleet(
    enforced: PlaybookCloud, policies: dict[str, Policy], name: str
) -> None:
    become, calls = CALLERS[name]
    own = create_resources(enforced)
    as_owner = results(enforced, calls, enforced.client, own)
    assert results(enforced, calls, become(enforced, policies[name]), own) == as_owner
    assert not DENIALS & set(as_owner.values())
    assert {action for action, what in as_owner.items() if what != "done"} == FAILS_ANYWAY & set(calls)


@pytest.mark.parametrize("name", CALLERS)
def test_a_policy_allows_nothing_of_that_on_another_fleet(
    enforced: PlaybookCloud, policies: dict[str, Policy], name: str
) -> None:
    become, calls = CALLERS[name]
    create_resources(enforced)
    found = results(
        enforced, calls, become(enforced, policies[name]), create_resources(enforced, "2", "ghosthands/other/env")
    )
    assert {action for action, what in found.items() if what not in DENIALS} == WITHOUT_RESOURCE & set(calls)


@pytest.mark.parametrize(
    ("name", "removed"), [(name, action) for name, (_, calls) in CALLERS.items() for action in calls]
)
def test_without_an_action_just_the_calls_that_need_it_are_denied(
    enforced: PlaybookCloud, policies: dict[str, Policy], name: str, removed: str
) -> None:
    become, calls = CALLERS[name]
    own = create_resources(enforced)
    found = results(enforced, calls, become(enforced, without(policies[name], removed)), own)
    assert {action for action, what in found.items() if what in DENIALS} == {removed}


@pytest.mark.parametrize("removed", sorted(SESSION_MANAGER))
def test_without_an_action_of_session_manager_the_simulator_denies_just_that(
    enforced: PlaybookCloud, policies: dict[str, Policy], removed: str
) -> None:
    worker(enforced, without(policies["worker"], removed))
    simulated = enforced.client("iam").simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:role/{NAME}-role", ActionNames=sorted(SESSION_MANAGER)
    )["EvaluationResults"]
    assert {r["EvalActionName"] for r in simulated if r["EvalDecision"] != "allowed"} == {removed}


@pytest.mark.parametrize(
    ("source", "key", "decision"),
    [
        ("i-1", "ghosthands:did", "allowed"),
        ("i-2", "ghosthands:did", "implicitDeny"),
        ("i-1", "ghosthands:want", "implicitDeny"),
    ],
)
def test_an_instance_may_write_one_tag_of_its_own(
    enforced: PlaybookCloud, policies: dict[str, Policy], source: str, key: str, decision: str
) -> None:
    worker(enforced, policies["worker"])
    instance = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance"
    context = {
        "aws:TagKeys": ("stringList", key),
        "ec2:InstanceID": ("string", "i-1"),
        "ec2:SourceInstanceARN": ("string", f"{instance}/{source}"),
    }
    (found,) = enforced.client("iam").simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:role/{NAME}-role",
        ActionNames=[OWN_TAG],
        ResourceArns=[f"{instance}/i-1"],
        ContextEntries=[
            {"ContextKeyName": name, "ContextKeyType": kind, "ContextKeyValues": [value]}
            for name, (kind, value) in context.items()
        ],
    )["EvaluationResults"]
    assert found["EvalDecision"] == decision


def test_the_simulator_is_asked_why_an_action_is_denied(enforced: PlaybookCloud) -> None:
    iam, everything = enforced.client("iam"), {"Effect": "Allow", "Action": "*", "Resource": "*"}
    worker(
        enforced, {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "NotAction": "logs:*", "Resource": "*"}]}
    )
    limits = {"Version": "2012-10-17", "Statement": [{**everything, "Action": ["autoscaling:*", "logs:*"]}]}
    arn = iam.create_policy(PolicyName="limits", PolicyDocument=json.dumps(limits))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=f"{NAME}-role", PermissionsBoundary=arn)
    guard = {**everything, "Effect": "Deny", "Action": "autoscaling:SetInstanceHealth"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [guard]})
    iam.put_role_policy(RoleName=f"{NAME}-role", PolicyName="guard", PolicyDocument=document)
    group = f"arn:aws:autoscaling:us-east-1:{ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/{NAME}-asg"
    needed = worker_permissions.needed(group, [], "arn:aws:secretsmanager:us-east-1:1:secret:s", "", LOGS)
    account = Account("us-east-1", enforced.url, "", *CREDENTIALS.values())
    denied = reading.denied(account.call, f"arn:aws:iam::{ACCOUNT}:role/{NAME}-role", needed)
    assert {denial.action: denial[1:] for denial in denied} == {
        "autoscaling:SetInstanceHealth": ("policy", "guard"),
        "ec2:CreateTags": ("boundary", ""),
        "ecr:GetAuthorizationToken": ("boundary", ""),
        "logs:CreateLogStream": ("missing", ""),
        "logs:PutLogEvents": ("missing", ""),
        "secretsmanager:GetSecretValue": ("boundary", ""),
    }
    assert reading.boundary(account.call, f"{NAME}-role") == arn


def test_a_worker_may_do_nothing_else(enforced: PlaybookCloud, policies: dict[str, Policy]) -> None:
    own = create_resources(enforced)
    clients = worker(enforced, policies["worker"])
    assert result(clients("sts").get_caller_identity) == "done"
    for service, method, parameters in (
        ("ec2", "describe_instances", {}),
        ("ec2", "terminate_instances", {"InstanceIds": [own.instance]}),
        ("autoscaling", "set_desired_capacity", {"AutoScalingGroupName": own.group, "DesiredCapacity": 4}),
        ("secretsmanager", "put_secret_value", {"SecretId": own.secret, "SecretString": "x"}),
        ("secretsmanager", "list_secrets", {}),
        ("iam", "list_users", {}),
        ("logs", "delete_log_group", {"logGroupName": own.log_group}),
        ("ecr", "batch_delete_image", {"repositoryName": own.repository, "imageIds": [{"imageTag": "latest"}]}),
    ):
        assert result(partial(getattr(clients(service), method), **parameters)) in DENIALS, method
