"""No false alarm: fleets of many shapes that are as their operators want them, made by `site.yml`, pass every check."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fleet.faults import STRANGER, STRANGERS_IMAGE
from tests.fleet.fleet import (
    ANYTHING,
    BOUNDARY,
    GROUP,
    LAUNCH_OPERATIONS,
    OTHERS,
    REPOSITORY,
    ROLE,
    SECRET,
    USER,
    VALET_POLICY_ARN,
)
from tests.fleet.healthy import VPC, HealthyFleet, Inputs

Variables = Mapping[str, Any]
LAUNCHER = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
ORGANISATION = {"StringEquals": {"aws:PrincipalOrgID": "o-0123456789"}}
PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]


@dataclass(frozen=True)
class Shape:
    """A fleet that is right."""

    name: str
    variables: Variables
    before: Callable[[HealthyFleet], Variables | None] = lambda fleet: None
    """what the operator does before `site.yml`, and the variables that come of it"""
    after: Callable[[HealthyFleet], Any] = lambda fleet: fleet.replace_instances()
    """what the operator, VALET or AWS does afterwards"""
    expected: frozenset[str] = frozenset()
    """warnings that are right"""
    quick: bool = False
    """also in `make test`"""
    makes: bool = True
    """`site.yml` has something to make of the variables"""


def key(fleet: HealthyFleet) -> str:
    """A customer's KMS key, which Auto Scaling may use."""
    kms = fleet.client("kms")
    arn = str(kms.create_key()["KeyMetadata"]["Arn"])
    kms.create_grant(KeyId=arn, GranteePrincipal=LAUNCHER, Operations=LAUNCH_OPERATIONS)
    return arn


def boundary(fleet: HealthyFleet) -> None:
    """The policy that the boundary's variable names."""
    fleet.client("iam").create_policy(PolicyName="boundary", PolicyDocument=json.dumps(ANYTHING))


def own_subnets(fleet: HealthyFleet) -> Variables:
    """Private subnets in two zones, which reach the internet through NAT."""
    ec2 = fleet.client("ec2")
    fleet.route_through_nat()
    ids = [
        ec2.create_subnet(VpcId=VPC, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr, zone in (("172.28.64.0/20", "us-east-1a"), ("172.28.80.0/20", "us-east-1b"))
    ]
    return {"fleet_subnet_ids": ids, "fleet_vpc_id": VPC}


def statement(principal: Any, actions: list[str], **more: Any) -> dict[str, Any]:
    """A statement that allows something."""
    return {"Effect": "Allow", "Principal": principal, "Action": actions, **more}


def share(fleet: HealthyFleet) -> None:
    """Policies of the repository and the secret that let in the operator's own accounts, services and organisation."""
    repository = [
        statement({"AWS": f"arn:aws:iam::{STRANGER}:root"}, PULL),
        statement({"AWS": "arn:aws:iam::123456789012:role/build"}, [*PULL, "ecr:PutImage"]),
        statement({"Service": "codebuild.amazonaws.com"}, PULL),
        statement("*", PULL, Condition=ORGANISATION),
    ]
    secret = [statement({"AWS": f"arn:aws:iam::123456789012:role/{ROLE}"}, ["secretsmanager:*"], Resource="*")]
    put = (
        (fleet.client("ecr").set_repository_policy, {"repositoryName": REPOSITORY}, "policyText", repository),
        (fleet.client("secretsmanager").put_resource_policy, {"SecretId": SECRET}, "ResourcePolicy", secret),
    )
    for call, named, key_word, statements in put:
        call(**named, **{key_word: json.dumps({"Version": "2012-10-17", "Statement": statements})})


def neighbours(fleet: HealthyFleet) -> None:
    """Instances of somebody else in the same network, images, tags on the group."""
    ec2 = fleet.client("ec2")
    subnet = fleet.group()["VPCZoneIdentifier"].split(",")[0]
    ec2.run_instances(ImageId="ami-0137112412989a002", MinCount=1, MaxCount=1, SubnetId=subnet)
    fleet.tag_group("Owner", "somebody")
    fleet.add_image()


def standby(fleet: HealthyFleet) -> None:
    """An idle instance in standby, stopped, as ATM leaves it."""
    first = fleet.in_service()[0]
    fleet.client("autoscaling").enter_standby(
        AutoScalingGroupName=GROUP, InstanceIds=[first], ShouldDecrementDesiredCapacity=True
    )
    fleet.client("ec2").stop_instances(InstanceIds=[first])


def valet_by_role(fleet: HealthyFleet) -> None:
    """VALET has a role instead of a user."""
    iam = fleet.client("iam")
    trust = {"Version": "2012-10-17", "Statement": [statement({"Federated": "oidc.fly.io"}, ["sts:AssumeRole"])]}
    iam.create_role(RoleName="valet", AssumeRolePolicyDocument=json.dumps(trust))
    iam.attach_role_policy(RoleName="valet", PolicyArn=VALET_POLICY_ARN)


def scaled(size: int) -> Callable[[HealthyFleet], None]:
    """VALET scaled the group, its bounds included."""
    return lambda f: f.update(MinSize=min(size, 1), MaxSize=max(size, 1), DesiredCapacity=size)


def adopted(fleet: HealthyFleet) -> None:
    """The pipeline pushes to the other repository."""
    fleet.client("ecr").create_repository(repositoryName=ADOPTED["fleet_repository_name"])
    fleet.push_image(ADOPTED["fleet_repository_name"])


ADOPTED = {
    f"fleet_{kind}_name": f"workers.{kind.replace('_', '-')}"
    for kind in (
        *("role", "policy", "instance_profile", "security_group", "launch_template", "valet_policy"),
        "repository",
    )
}

SHAPES = (
    Shape("as inventories/local has it", {}, after=lambda f: None, quick=True, makes=False),
    Shape("a customer's key for the volumes", {}, lambda f: {"fleet_volume_kms_key_id": key(f)}, quick=True),
    Shape("a permissions boundary", {"fleet_permissions_boundary_arn": BOUNDARY}, boundary, quick=True),
    Shape("an image of another account, by id", {"fleet_image": STRANGERS_IMAGE}, quick=True),
    Shape("a newer image of its own", {"fleet_image": "newest"}, lambda f: f.add_image()),
    Shape("IPv6 sources", {"fleet_api_cidrs": ["2001:db8::/32"], "fleet_status_cidrs": ["203.0.113.0/24"]}),
    Shape(
        "every port for its own sources",
        {
            "fleet_ssh_cidrs": ["198.51.100.0/24"],
            "fleet_deploy_security_group_ids": [OTHERS],
            "fleet_vnc_cidrs": ["10.0.0.0/8"],
        },
    ),
    Shape(
        "large networks, which are not the internet",
        {"fleet_api_cidrs": ["3.0.0.0/8", "52.0.0.0/6"], "fleet_status_cidrs": ["2600:1f00::/24", "100.64.0.0/10"]},
    ),
    Shape("private subnets of its own", {"fleet_public_address": False}, own_subnets),
    Shape("no launch hook", {"fleet_launch_hook": False}, after=lambda f: f.replace_instances()),
    Shape("the playbooks own the sizes", {"fleet_size_owner": "playbook", "fleet_max_size": 4}),
    Shape("VALET scaled out", {}, after=scaled(5), makes=False),
    Shape("VALET scaled in to nothing", {}, after=scaled(0), makes=False),
    Shape("no metrics, no key pair", {"fleet_group_metrics": False, "fleet_key_name": ""}),
    Shape("the latest template version", {"fleet_template_version": "$Latest"}),
    Shape("VALET with a user and a key", {"fleet_valet_user_name": USER, "fleet_valet_access_key": True}, quick=True),
    Shape("VALET with a role", {}, valet_by_role, makes=False),
    Shape("shared with own accounts", {"fleet_trusted_account_ids": [STRANGER]}, share, makes=False),
    Shape("ARM", {"fleet_instance_type": "t4g.medium", "fleet_image": "newest"}),
    Shape("the worker's image elsewhere", {"fleet_worker_image": "docker.io/wekruit/worker:1"}),
    Shape(
        "the worker's image in another region",
        {"fleet_worker_image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ghosthands:1"},
    ),
    Shape("adopted names", ADOPTED, adopted),
    Shape(
        "other settings of the group",
        {
            "fleet_termination_policies": ["OldestLaunchTemplate", "OldestInstance"],
            "fleet_suspended_processes": ["AZRebalance", "AlarmNotification"],
            "fleet_cooldown_seconds": 60,
            "fleet_warmup_seconds": 0,
            "fleet_max_lifetime_days": 7,
            "fleet_maintenance_max_healthy_percent": 200,
            "fleet_deletion_protection": "none",
            "fleet_retain_on_abandon": False,
        },
    ),
    Shape(
        "other settings of the template",
        {
            "fleet_tags": {"Project": "wekruit", "cost-centre": "42"},
            "fleet_cpu_credits": "standard",
            "fleet_volume_size_gib": 80,
            "fleet_metadata_hop_limit": 3,
            "fleet_drain_policy": "http",
            "fleet_log_retention_days": 90,
            "fleet_session_manager": False,
        },
    ),
    Shape("neighbours", {}, neighbours, after=lambda f: None, makes=False),
    Shape("an instance in standby", {}, after=standby, makes=False),
)


def test_there_are_at_least_twenty_shapes() -> None:
    assert len(SHAPES) >= 20


@pytest.mark.parametrize(
    "shape", [pytest.param(s, id=s.name, marks=() if s.quick else pytest.mark.slow) for s in SHAPES]
)
def test_a_right_fleet_of_any_shape_raises_no_false_alarm(shape: Shape, fleet: HealthyFleet) -> None:
    variables = {**shape.variables, **(shape.before(fleet) or {})}
    if shape.makes:
        made = fleet.run_command(
            f"ansible-playbook site.yml -i {fleet.inventory(variables)} -e fleet_new_version=adopt"
        )
        assert made.returncode == 0, made
        assert made.changed > 0, made
    shape.after(fleet)
    found = fleet.check(Inputs(variables))
    alarms = [f for f in found if not f.ok and f.id not in shape.expected]
    assert [f"{f.id}: {f.detail}" for f in alarms] == []
    assert {f.id for f in found if not f.ok} == shape.expected
