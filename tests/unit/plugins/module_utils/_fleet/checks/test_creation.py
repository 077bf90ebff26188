# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only preflight.yml looks at: quotas, the operator's permissions, the price, VALET's policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.creation import before_creation
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.forecast import Forecast
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import (
    Caller,
    Prerequisites,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import Denial

NEW = Prerequisites(
    caller=Caller("123456789012", "aws", "arn:aws:iam::123456789012:user/me"),
    vpc="vpc-1",
    subnets=(),
    instance_type=None,
    image=None,
    requested_image="",
    key_pair_exists=True,
    secret=None,
    role_exists=False,
    user_has_access_key=False,
    group=None,
    template_id=None,
    latest_version=None,
)
BUILT = replace(NEW, group=Group("gh-worker-asg", "arn:g", 2, 4, 3, template_version="2"))
FINE = Forecast(vcpus=2, vcpu_quota=64.0, groups=(3, 500), denied=())
GROUP = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*:autoScalingGroupName/gh-worker-asg"
SCALE = {
    "Effect": "Allow",
    "Action": ["autoscaling:SetDesiredCapacity", "autoscaling:UpdateAutoScalingGroup"],
    "Resource": GROUP,
}
LOOK = {"Effect": "Allow", "Action": "autoscaling:DescribeAutoScalingGroups", "Resource": "*"}


def findings(
    settings: dict[str, Any], forecast: Forecast = FINE, prerequisites: Prerequisites = NEW, policy: Any = None
) -> dict[str, Finding]:
    return {f.id: f for f in before_creation(settings, prerequisites, forecast, policy)}


def test_where_nothing_is_in_the_way_the_price_is_the_only_finding(settings: dict[str, Any]) -> None:
    found = findings(settings)
    assert set(found) == {"price"}
    assert (found["price"].severity, found["price"].ok) == ("info", True)
    assert "About 37.22 to 372.18 USD a month for 1 to 10 instances" in found["price"].detail
    assert "prices of 2026-01" in found["price"].detail


def test_a_price_is_for_the_groupown_sizes(settings: dict[str, Any]) -> None:
    policy = {"Statement": [LOOK, SCALE]}
    assert findings(settings, prerequisites=BUILT, policy=policy)["price"].evidence["max"] == round(4 * 37.218, 2)


def test_a_type_without_a_price_has_no_estimate(settings: dict[str, Any]) -> None:
    found = findings(settings | {"fleet_instance_type": "m9.large"})["price"]
    assert found.detail == "The table of prices (2026-01) does not have m9.large in us-east-1: no estimate."


def test_a_fleet_may_use_the_whole_vcpu_quota_and_no_more(settings: dict[str, Any]) -> None:
    assert set(findings(settings | {"fleet_max_size": 32})) == {"price"}
    found = findings(settings | {"fleet_max_size": 33})["quota-vcpus"]
    assert (found.severity, found.needed_by, dict(found.evidence)) == (
        "warning",
        frozenset(),
        {"needed": 66, "quota": 64.0},
    )
    assert "--quota-code L-1216C47A --desired-value 66 --region us-east-1" in str(found.remedy)


@pytest.mark.parametrize(
    ("forecast", "finding", "text"),
    [
        (replace(FINE, vcpu_quota=Unread("Not allowed.")), "quota-vcpus", "could not be asked: Not allowed."),
        (replace(FINE, vcpus=Unread("Not allowed.")), "quota-vcpus", "could not be asked: Not allowed."),
        (replace(FINE, vcpu_quota=None), "quota-vcpus", "not a standard instance"),
        (replace(FINE, groups=Unread("Not allowed.")), "quota-groups", "could not be asked: Not allowed."),
        (replace(FINE, denied=Unread("Not allowed.")), "operator-permissions", "could not be asked: Not allowed."),
    ],
)
def test_what_could_not_be_asked_is_a_note_and_stops_nothing(
    settings: dict[str, Any], forecast: Forecast, finding: str, text: str
) -> None:
    found = findings(settings, forecast)
    assert set(found) == {"price", finding}
    assert (found[finding].severity, found[finding].needed_by) == ("info", frozenset())
    assert text in found[finding].detail


def test_an_unknown_type_is_reported_by_instance_type_alone(settings: dict[str, Any]) -> None:
    assert set(findings(settings, replace(FINE, vcpus=None))) == {"price"}


def test_an_account_without_room_stops_a_new_group_only(settings: dict[str, Any]) -> None:
    full = replace(FINE, groups=(500, 500))
    found = findings(settings, full)["quota-groups"]
    assert (found.severity, found.needed_by) == ("error", frozenset({"autoscaling_group"}))
    assert "quota-groups" not in findings(settings, full, BUILT)


def test_actions_that_the_operator_may_not_call_are_listed(settings: dict[str, Any]) -> None:
    denied = (Denial("iam:PassRole"), Denial("iam:CreateRole"))
    found = findings(settings, replace(FINE, denied=denied))["operator-permissions"]
    assert found.detail == ("These credentials may not call iam:PassRole, iam:CreateRole. (By IAM's policy simulator.)")
    assert (found.severity, found.evidence["missing"]) == ("warning", ["iam:PassRole", "iam:CreateRole"])
    assert "docs/iam/operator.json" in found.remedy.text


def test_the_service_linked_role_is_made_with_an_accounts_first_group_only(settings: dict[str, Any]) -> None:
    denied = (Denial("iam:CreateServiceLinkedRole"),)
    assert "operator-permissions" not in findings(settings, replace(FINE, denied=denied))
    assert "operator-permissions" in findings(settings, replace(FINE, denied=denied, groups=(0, 500)))


def test_a_boundary_a_denial_and_the_organization_are_named_and_not_the_document(settings: dict[str, Any]) -> None:
    denied = (
        Denial("iam:CreateRole", "boundary"),
        Denial("iam:PassRole", "policy", "guard"),
        Denial("ec2:RunInstances", "organization"),
        Denial("ec2:CreateTags", "organization"),
    )
    found = findings(settings, replace(FINE, denied=denied))["operator-permissions"]
    for words in (
        "The permissions boundary does not allow iam:CreateRole.",
        "Policy guard denies iam:PassRole.",
        "The organization's policies (SCPs) do not allow ec2:RunInstances, ec2:CreateTags.",
    ):
        assert words in found.detail
    assert "docs/iam" not in str(found.remedy)


@pytest.mark.parametrize(
    ("policy", "missing"),
    [
        ({"Statement": [LOOK, SCALE]}, None),
        (None, []),
        ({"Statement": [SCALE]}, ["autoscaling:DescribeAutoScalingGroups"]),
        ({"Statement": [LOOK]}, ["autoscaling:UpdateAutoScalingGroup"]),
        (
            {"Statement": [LOOK, {**SCALE, "Resource": GROUP.replace("gh-worker", "other")}]},
            ["autoscaling:UpdateAutoScalingGroup"],
        ),
        ({"Statement": [LOOK, SCALE, {**SCALE, "Effect": "Deny"}]}, ["autoscaling:UpdateAutoScalingGroup"]),
    ],
)
def test_valets_policy_has_to_allow_what_valet_calls(
    settings: dict[str, Any], policy: Any, missing: list[str] | None
) -> None:
    found = findings(settings, prerequisites=BUILT, policy=policy).get("valet-policy")
    if missing is None:
        assert found is None
    else:
        assert found is not None
        assert (found.severity, found.section, found.evidence.get("missing", [])) == ("warning", 10, missing)


def test_without_a_group_valets_policy_is_not_looked_at(settings: dict[str, Any]) -> None:
    assert "valet-policy" not in findings(settings, policy=None)
