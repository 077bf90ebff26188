# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's document, as it is for one fleet."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.operator_permissions import (
    context,
    family,
    needed,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import Permission

GROUP = "arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/gh-worker*"


def document(resource: str | list[str], sid: str = "BuildThis", action: str | list[str] = "s:Do") -> dict[str, Any]:
    return {"Statement": [{"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}]}


def of(settings: dict[str, Any], resource: str | list[str], **options: Any) -> tuple[Permission, ...]:
    return needed(document(resource, **options), settings, "123456789012", "aws-cn")


@pytest.mark.parametrize(
    ("resource", "own"),
    [
        ("*", "*"),
        (GROUP, "arn:aws-cn:autoscaling:us-east-1:123456789012:autoScalingGroup:*:autoScalingGroupName/gh-worker-asg"),
        ("arn:aws:iam::*:role/gh-worker*", "arn:aws-cn:iam::123456789012:role/gh-worker-role"),
        ("arn:aws:iam::*:policy/gh-worker*", "arn:aws-cn:iam::123456789012:policy/gh-worker-valet-autoscale"),
        (
            "arn:aws:iam::*:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
            "arn:aws-cn:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
        ),
        ("arn:aws:ec2:*:*:launch-template/*", "arn:aws-cn:ec2:us-east-1:123456789012:launch-template/*"),
        ("arn:aws:ec2:*::image/*", "arn:aws-cn:ec2:us-east-1::image/*"),
        (
            "arn:aws:logs:*:*:log-group:/wekruit/gh-worker*",
            "arn:aws-cn:logs:us-east-1:123456789012:log-group:/wekruit/gh-worker",
        ),
    ],
)
def test_a_fleet_has_names_of_its_own(settings: dict[str, Any], resource: str, own: str) -> None:
    assert of(settings, resource) == (Permission("s:Do", own),)


def test_every_action_is_needed_on_every_resource_of_its_statement(settings: dict[str, Any]) -> None:
    found = of(settings, ["*", "arn:aws:ec2:*:*:volume/*"], action=["s:A", "s:B"])
    assert {(need.action, need.resource[-8:]) for need in found} == {
        (a, r) for a in ("s:A", "s:B") for r in ("*", "volume/*")
    }


def test_only_what_builds_is_needed_to_build(settings: dict[str, Any]) -> None:
    assert of(settings, "*", sid="EndAll") == of(settings, "*", sid="Look") == ()


@pytest.mark.parametrize(
    ("resource", "variable"),
    [
        ("arn:aws:iam::*:user/valet*", {"fleet_valet_user_name": "valet"}),
        ("arn:aws:ec2:*:*:key-pair/*", {"fleet_key_public": "ssh-ed25519 A"}),
    ],
)
def test_what_a_fleet_does_not_make_needs_no_permission(
    settings: dict[str, Any], resource: str, variable: dict[str, Any]
) -> None:
    assert of(settings, resource) == ()
    assert len(of(settings | variable, resource)) == 1


def test_the_simulator_gets_the_tags_of_every_call(settings: dict[str, Any]) -> None:
    actual = {entry["ContextKeyName"]: entry["ContextKeyValues"] for entry in context(settings)}
    assert actual == {"aws:ResourceTag/Project": ["wekruit"], "aws:RequestTag/Project": ["wekruit"]}


def test_the_simulator_gets_what_a_statements_conditions_ask_for_in_the_fleets_partition(
    settings: dict[str, Any],
) -> None:
    policy = document("arn:aws:iam::*:role/gh-worker*", action="iam:PassRole")
    keys = {"iam:PassedToService": "ec2.amazonaws.com", "aws:ResourceTag/Project": "wekruit"}
    policy["Statement"][0]["Condition"] = {"StringEquals": keys}
    (found,) = needed(policy, settings, "123456789012", "aws-cn")
    assert found.context == (("iam:PassedToService", ("ec2.amazonaws.com.cn",)),)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("t3a.medium", "t"), ("im4gn.large", "im"), ("inf1.xlarge", "inf"), ("u-6tb1.metal", "u"), ("t", "t")],
)
def test_a_types_family_is_the_part_before_its_generation(name: str, expected: str) -> None:
    assert family(name) == expected
