# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each precondition: when it fails, with which severity, and which playbooks it stops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.key_policy import NEEDED
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.preflight import (
    EVERYTHING,
    LAUNCHES,
    NETWORK,
    before_anything,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import ownership
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Group,
    GroupInstance,
    Image,
    Secret,
    Subnet,
    Tag,
    Unread,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.network import PrefixList, Route
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import (
    Caller,
    InstanceType,
    KmsKey,
    LaunchKey,
    Prerequisites,
)

KIND = InstanceType("t3.medium", ("x86_64",), ("us-east-1a", "us-east-1b"), 4096)
IMAGE = Image("ami-1", "gh-worker-1", "x86_64", "available", "2026-01-01", "4")
NETS = (Subnet("subnet-a", "vpc-1", "us-east-1a"), Subnet("subnet-b", "vpc-1", "us-east-1b"))
OURS = {ownership.KEY: Tag(ownership.VALUE, False)}
GROUP = Group("gh-worker-asg", "arn:g", 1, 10, 3, template_id="lt-1", template_version="2", tags=OURS)
HOOKS = {"TERMINATION_HOOK": "gh-worker-termination", "LAUNCH_HOOK": "gh-worker-launch"}
MET = Prerequisites(
    caller=Caller("123456789012", "aws", "arn:aws:iam::123456789012:user/me"),
    vpc="vpc-1",
    subnets=NETS,
    instance_type=KIND,
    image=IMAGE,
    requested_image="ami-1",
    key_pair_exists=True,
    secret=Secret("arn:s", deletion_scheduled=False),
    role_exists=True,
    user_has_access_key=False,
    group=GROUP,
    template_id="lt-1",
    latest_version=2,
)
NET_A, NET_B = (replace(subnet, free_addresses=4) for subnet in NETS)
ROUTED = {"subnet-a": (Route("0.0.0.0/0", "igw-1", True),), "subnet-b": (Route("0.0.0.0/0", "nat-1", True),)}
PRIVATE = {"fleet_public_address": False}
ENDPOINTS = frozenset({"autoscaling", "secretsmanager", "logs"})
REGISTRY = frozenset({"ecr.api", "ecr.dkr", "s3"})
BOUNDED = {"fleet_permissions_boundary_arn": "arn:aws:iam::123456789012:policy/b"}
FROM_GROUP, FROM_LIST = {"fleet_api_security_group_ids": ["sg-1"]}, {"fleet_ssh_prefix_list_ids": ["pl-1"]}
MANY = {
    "fleet_api_cidrs": [f"192.0.2.{n}/32" for n in range(40)],
    "fleet_vnc_cidrs": [f"192.0.2.{n}/32" for n in range(21)],
}
NAMED = {"fleet_subnet_ids": ["subnet-a", "subnet-b"]}
ARN = "arn:aws:kms:us-east-1:123456789012:key/k"
KEY = KmsKey(ARN, "Enabled", symmetric=True, aws_managed=False, policy={}, granted=frozenset(NEEDED))


def keyed(found: KmsKey | Unread | None = KEY, **changes: Any) -> dict[str, Any]:
    """A launch that uses this key, or the good one with some attributes changed."""
    key = replace(KEY, **changes) if changes else found
    return {"keys": (LaunchKey("snapshot snap-1 of image ami-1", "k", key),)}


HOOK_ONLY = frozenset({"lifecycle_hook"})
GROUP_ONLY, VALET, NONE = frozenset({"autoscaling_group"}), frozenset({"valet"}), frozenset[str]()
IAM, RULED, WORLD = frozenset({"iam", "valet"}), frozenset({"security_group"}), ("0.0.0.0/1", "128.0.0.0/1")
INSTANCE = GroupInstance("i-1", "InService", "Healthy", "us-east-1a", "t3.medium", "2", protected=False)


def findings(settings: dict[str, Any], prerequisites: Prerequisites, fly: bool = True) -> list[Finding]:
    return before_anything(settings, prerequisites, fly)


def test_met_preconditions_give_no_finding(settings: dict[str, Any]) -> None:
    assert findings(settings, MET) == []


def test_an_account_without_a_group_gives_no_finding(settings: dict[str, Any]) -> None:
    assert findings(settings, replace(MET, group=None, latest_version=None, role_exists=False)) == []


@pytest.mark.parametrize(
    ("variables", "found", "finding", "severity", "needed_by"),
    [
        ({"fleet_account_id": "999999999999"}, {}, "account", "error", EVERYTHING),
        ({}, {"vpc": None, "subnets": ()}, "vpc", "error", NETWORK),
        ({"fleet_vpc_id": "vpc-9"}, {"vpc": None, "subnets": ()}, "vpc", "error", NETWORK),
        ({"fleet_subnet_ids": ["subnet-a", "subnet-b", "subnet-x"]}, {}, "subnet", "error", NETWORK),
        (NAMED, {"subnets": (NETS[0], replace(NETS[1], vpc="vpc-2"))}, "subnet-vpc", "error", NETWORK),
        (NAMED, {"instance_type": replace(KIND, zones=("us-east-1a",))}, "subnet-type", "error", NETWORK),
        (NAMED, {"subnets": (NETS[0], replace(NETS[1], zone="us-east-1a"))}, "zones", "error", NETWORK),
        ({}, {"subnets": NETS[:1]}, "zones", "error", NETWORK),
        ({}, {"subnets": ()}, "zones", "error", NETWORK),
        ({}, {"instance_type": None}, "instance-type", "error", LAUNCHES),
        ({"fleet_worker_memory": "5g"}, {}, "worker-memory", "error", LAUNCHES),
        ({}, {"instance_type": replace(KIND, hypervisor="xen")}, "metadata-tags-live", "warning", LAUNCHES),
        (NAMED, {"subnets": (NETS[0], replace(NETS[1], ipv6_only=True))}, "subnet-ipv4", "error", NETWORK),
        ({}, {"subnets": (NET_A, NETS[1])}, "subnet-addresses", "warning", NETWORK),
        ({"fleet_max_size": 9}, {"subnets": (NET_A, NET_B), "group": None}, "subnet-addresses", "warning", NETWORK),
        ({"fleet_min_size": 9}, {"subnets": (NET_A, NET_B), "group": None}, "subnet-addresses", "error", NETWORK),
        (PRIVATE, {"routes": ROUTED}, "subnet-way-out", "error", NETWORK),
        ({}, {"routes": ROUTED | {"subnet-b": ()}}, "subnet-way-out", "error", NETWORK),
        ({}, {"routes": ROUTED | {"subnet-b": ()}, "endpoints": ENDPOINTS}, "subnet-way-out", "error", NETWORK),
        ({}, {"routes": Unread("Not allowed.")}, "subnet-way-out", "info", NONE),
        (PRIVATE, {"routes": ROUTED, "endpoints": Unread("Not allowed.")}, "subnet-way-out", "info", NONE),
        (BOUNDED, {"boundary_exists": False}, "boundary", "error", IAM),
        (BOUNDED, {"boundary_exists": Unread("Not allowed.")}, "boundary", "info", NONE),
        (
            {"fleet_permissions_boundary_arn": "arn:aws:iam::999999999999:policy/b"},
            {"boundary_exists": False},
            "boundary",
            "error",
            IAM,
        ),
        (FROM_GROUP, {}, "source-groups", "error", RULED),
        (FROM_GROUP, {"security_groups": {"sg-1": "vpc-2"}}, "source-groups", "warning", RULED),
        (FROM_GROUP, {"security_groups": Unread("Not allowed.")}, "source-groups", "info", NONE),
        (FROM_LIST, {}, "source-lists", "error", RULED),
        (FROM_LIST, {"prefix_lists": {"pl-1": PrefixList("pl-1", 2, WORLD)}}, "source-lists", "error", RULED),
        (FROM_LIST, {"prefix_lists": Unread("Not allowed.")}, "source-lists", "info", NONE),
        (MANY, {}, "security-group-rules", "error", RULED),
        (MANY, {"rules_quota": Unread("Not allowed.")}, "security-group-rules", "warning", RULED),
        (MANY, {"rules_quota": 60.0}, "security-group-rules", "error", RULED),
        ({}, {"keys": Unread("Not allowed.")}, "volume-key", "info", NONE),
        ({}, keyed(None), "volume-key", "error", LAUNCHES),
        ({}, keyed(state="Disabled"), "volume-key", "error", LAUNCHES),
        ({}, keyed(state="PendingDeletion"), "volume-key", "error", LAUNCHES),
        ({}, keyed(symmetric=False), "volume-key", "error", LAUNCHES),
        ({}, keyed(granted=frozenset()), "volume-key-grant", "error", LAUNCHES),
        ({}, keyed(policy=Unread("Theirs."), granted=frozenset()), "volume-key-grant", "warning", LAUNCHES),
        ({}, keyed(Unread("Not allowed.")), "volume-key-grant", "warning", LAUNCHES),
        ({}, {"image": replace(IMAGE, root_device="/dev/sda1")}, "volume-device", "error", LAUNCHES),
        ({}, {"image": replace(IMAGE, root_gib=41)}, "volume-size", "error", LAUNCHES),
        ({}, {"image": None}, "image", "error", LAUNCHES),
        ({}, {"image": None, "requested_image": ""}, "image", "error", LAUNCHES),
        (
            {"fleet_image": "ami-01234567"},
            {"image": None, "requested_image": "ami-01234567"},
            "image",
            "error",
            LAUNCHES,
        ),
        ({}, {"image": replace(IMAGE, state="pending")}, "image-state", "error", LAUNCHES),
        ({}, {"image": replace(IMAGE, architecture="arm64")}, "image-architecture", "error", LAUNCHES),
        ({}, {"image": replace(IMAGE, agent_schema="1")}, "image-schema", "error", LAUNCHES),
        ({}, {"key_pair_exists": False}, "key-pair", "error", LAUNCHES),
        ({}, {"secret": Secret("arn:s", deletion_scheduled=True)}, "secret-deleted", "error", GROUP_ONLY),
        (
            {},
            {"group": replace(GROUP, min_size=2)},
            "sizes-owned-by-valet",
            "info",
            NONE,
        ),
        (
            {},
            {"group": replace(GROUP, max_size=5)},
            "sizes-owned-by-valet",
            "info",
            NONE,
        ),
        ({}, {"latest_version": 3, "pending": True}, "version-pending", "info", NONE),
        ({"fleet_launch_hook": False}, {"used_conf": HOOKS}, "version-hooks", "error", HOOK_ONLY),
        ({}, {"used_conf": HOOKS | {"LAUNCH_HOOK": ""}}, "version-hooks", "error", HOOK_ONLY),
        ({"fleet_termination_hook_name": "other"}, {"used_conf": HOOKS}, "version-hooks", "error", HOOK_ONLY),
    ],
)
def test_a_problem_has_its_id_its_severity_and_the_playbooks_that_it_stops(
    settings: dict[str, Any],
    variables: dict[str, Any],
    found: dict[str, Any],
    finding: str,
    severity: str,
    needed_by: frozenset[str],
) -> None:
    (only,) = findings(settings | variables, replace(MET, **found))
    assert (only.id, only.severity, only.needed_by) == (finding, severity, needed_by)
    assert only.detail.endswith(".")
    assert only.remedy.text or severity == "info"


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"fleet_account_id": "123456789012"}, {}),
        (NAMED, {}),
        ({}, keyed()),
        ({}, keyed(aws_managed=True, granted=frozenset())),
        ({}, {"subnets": (NET_A, NET_B), "group": replace(GROUP, instances=(INSTANCE,) * 2)}),
        ({"fleet_max_size": 8}, {"subnets": (NET_A, NET_B), "group": None}),
        ({}, {"routes": ROUTED}),
        ({}, {"routes": {}}),
        (PRIVATE, {"routes": ROUTED, "endpoints": ENDPOINTS | REGISTRY}),
        (PRIVATE | {"fleet_worker_image": "ghcr.io/wekruit/x:1"}, {"routes": ROUTED, "endpoints": ENDPOINTS}),
        (BOUNDED, {}),
        ({"fleet_permissions_boundary_arn": "arn:aws:iam::aws:policy/PowerUserAccess"}, {}),
        (FROM_GROUP, {"security_groups": {"sg-1": "vpc-1"}}),
        (FROM_LIST, {"prefix_lists": {"pl-1": PrefixList("pl-1", 2, ("0.0.0.0/2",))}}),
        (MANY, {"rules_quota": 61.0}),
        ({}, {"image": replace(IMAGE, root_device="/dev/xvda", root_gib=40)}),
        ({"fleet_key_name": ""}, {"key_pair_exists": False}),
        ({"fleet_key_public": "ssh-rsa AAAA"}, {"key_pair_exists": False}),
        ({"fleet_size_owner": "playbook"}, {"group": replace(GROUP, min_size=2, max_size=5)}),
        ({"fleet_new_version": "adopt"}, {"latest_version": 3, "pending": True, "used_conf": {"LAUNCH_HOOK": "x"}}),
        ({}, {"latest_version": 2, "used_conf": HOOKS}),
        ({}, {"latest_version": 3}),  # it says the same
        ({}, {"latest_version": 3, "pending": True, "group": replace(GROUP, tags={})}),
        ({}, {"latest_version": 3, "pending": True, "group": replace(GROUP, template_id="lt-deleted")}),
        ({}, {"latest_version": 3, "pending": True, "group": replace(GROUP, template_version="$Latest")}),
        ({}, {"latest_version": None, "group": replace(GROUP, template_version="")}),
        ({"fleet_template_version": "$Latest"}, {"used_conf": {"LAUNCH_HOOK": "x"}}),
        ({}, {"instance_type": replace(KIND, zones=())}),
        ({"fleet_metadata_tags": False}, {"instance_type": replace(KIND, hypervisor="xen")}),
    ],
)
def test_a_met_precondition_gives_no_finding(
    settings: dict[str, Any], variables: dict[str, Any], found: dict[str, Any]
) -> None:
    assert findings(settings | variables, replace(MET, **found)) == []


def test_a_missing_fly_command_stops_only_valet_and_only_where_it_is_to_be_run(settings: dict[str, Any]) -> None:
    (only,) = findings(settings | {"fleet_valet_apply": True}, MET, fly=False)
    assert (only.id, only.severity, only.needed_by) == ("fly", "error", VALET)
    assert findings(settings | {"fleet_valet_apply": True}, MET, fly=True) == []
    assert findings(settings, MET, fly=False) == []


def test_the_remedy_of_a_missing_grant_is_the_command_that_creates_it(settings: dict[str, Any]) -> None:
    china = Caller("123456789012", "aws-cn", "arn:aws-cn:iam::123456789012:user/me")
    (only,) = findings(settings, replace(MET, caller=china, **keyed(granted=frozenset())))
    role = "arn:aws-cn:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    assert f"create-grant --region us-east-1 --key-id {ARN} --grantee-principal {role} " in only.remedy.commands[0]


def test_all_problems_are_reported(settings: dict[str, Any]) -> None:
    prerequisites = replace(MET, image=None, key_pair_exists=False, instance_type=None)
    assert {f.id for f in findings(settings, prerequisites)} == {"instance-type", "image", "key-pair"}
