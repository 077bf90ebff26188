# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each precondition: when it fails, with which severity, and which playbooks it stops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.preflight import (
    EVERYTHING,
    LAUNCHES,
    NETWORK,
    before_anything,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, Image, Secret, Subnet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import (
    Caller,
    InstanceType,
    KmsKey,
    Prerequisites,
)

KIND = InstanceType("t3.medium", ("x86_64",), ("us-east-1a", "us-east-1b"))
IMAGE = Image("ami-1", "gh-worker-1", "x86_64", "available", "2026-01-01", "3")
NETS = (Subnet("subnet-a", "vpc-1", "us-east-1a"), Subnet("subnet-b", "vpc-1", "us-east-1b"))
GROUP = Group("gh-worker-asg", "arn:g", 1, 10, 3, template_version="2")
MET = Prerequisites(
    caller=Caller("123456789012", "aws", "arn:aws:iam::123456789012:user/me"),
    vpc="vpc-1",
    subnets=NETS,
    instance_type=KIND,
    image=IMAGE,
    requested_image="ami-1",
    key_pair_exists=True,
    secret=Secret("arn:s", deletion_scheduled=False),
    volume_key=None,
    role_exists=True,
    user_has_access_key=False,
    group=GROUP,
    latest_version=2,
)
KEYED = {"fleet_volume_kms_key_id": "alias/k"}
NAMED = {"fleet_subnet_ids": ["subnet-a", "subnet-b"]}
KEY = KmsKey("arn:k", enabled=True, usable_by_auto_scaling=True)
GROUP_ONLY, VALET, NONE = frozenset({"autoscaling_group"}), frozenset({"valet"}), frozenset[str]()


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
        (KEYED, {}, "volume-key", "error", LAUNCHES),
        (KEYED, {"volume_key": replace(KEY, enabled=False)}, "volume-key", "error", LAUNCHES),
        (KEYED, {"volume_key": replace(KEY, usable_by_auto_scaling=False)}, "volume-key-grant", "error", LAUNCHES),
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
        ({}, {"image": replace(IMAGE, agent_schema=None)}, "image-origin", "warning", LAUNCHES),
        ({}, {"image": replace(IMAGE, agent_schema="1")}, "image-schema", "error", LAUNCHES),
        ({}, {"key_pair_exists": False}, "key-pair", "error", LAUNCHES),
        ({}, {"secret": Secret("arn:s", deletion_scheduled=True)}, "secret-deleted", "error", GROUP_ONLY),
        ({}, {"secret": None}, "secret", "warning", NONE),
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
        ({"fleet_new_version": "hold"}, {"latest_version": 3}, "version-pending", "info", NONE),
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
        (KEYED, {"volume_key": KEY}),
        ({"fleet_key_name": ""}, {"key_pair_exists": False}),
        ({"fleet_key_public": "ssh-rsa AAAA"}, {"key_pair_exists": False}),
        ({"fleet_secret_create": True}, {"secret": None}),
        ({"fleet_size_owner": "playbook"}, {"group": replace(GROUP, min_size=2, max_size=5)}),
        ({"fleet_new_version": "adopt"}, {"latest_version": 3}),
        ({"fleet_new_version": "hold"}, {"latest_version": 2}),
        ({"fleet_new_version": "hold"}, {"latest_version": 3, "group": replace(GROUP, template_version="$Latest")}),
        ({"fleet_new_version": "hold"}, {"latest_version": None, "group": replace(GROUP, template_version="")}),
        ({}, {"instance_type": replace(KIND, zones=())}),
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
    (only,) = findings(
        settings | KEYED, replace(MET, caller=china, volume_key=replace(KEY, usable_by_auto_scaling=False))
    )
    role = "arn:aws-cn:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    assert f"create-grant --key-id arn:k --grantee-principal {role} " in only.remedy.commands[0]


def test_all_problems_are_reported(settings: dict[str, Any]) -> None:
    prerequisites = replace(MET, image=None, key_pair_exists=False, instance_type=None, secret=None)
    assert {f.id for f in findings(settings, prerequisites)} == {"instance-type", "image", "key-pair", "secret"}
