# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§1: what a fleet may meet once it is created, and what it will cost. Only preflight.yml asks for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import CheckList, Failed, Passed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.denials import explained
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.forecast import Forecast
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.operator_permissions import STANDARD_QUOTA
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Prerequisites
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prices import AS_OF, CURRENCY, monthly
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    Permission,
    denied_by_documents,
)


@dataclass(frozen=True)
class Inputs:
    """Everything that a check of this file may look at."""

    settings: Mapping[str, Any]
    """Every fleet_* variable."""
    prerequisites: Prerequisites
    forecast: Forecast
    valet_policy: Mapping[str, Any] | None
    """The document of VALET's policy. None: there is none."""


CHECKS = CheckList[Inputs]()
check = CHECKS.check


def before_creation(
    settings: Mapping[str, Any],
    prerequisites: Prerequisites,
    forecast: Forecast,
    valet_policy: Mapping[str, Any] | None,
) -> list[Finding]:
    """The findings of the checks that failed, and the price. Only what would surely fail is an error.

    :param valet_policy: the document of VALET's policy; None: there is none.
    """
    inputs = Inputs(settings, prerequisites, forecast, valet_policy)
    findings = (check.finding(inputs) for check in CHECKS)
    return [finding for finding in findings if not finding.ok or finding.id == "price"]


@check("quota-vcpus", severity="warning")
def _vcpus(inputs: Inputs) -> None:
    """The account's vCPU quota suffices for fleet_max_size instances."""
    settings = inputs.settings
    type, most, region = settings["fleet_instance_type"], settings["fleet_max_size"], settings["fleet_region"]
    each, quota = inputs.forecast.vcpus, inputs.forecast.vcpu_quota
    if isinstance(quota, Unread) or isinstance(each, Unread):
        reasons = " ".join(dict.fromkeys(part.reason for part in (quota, each) if isinstance(part, Unread)))
        raise Failed(
            f"Whether the account's quota allows {most} x {type} could not be asked: {reasons}", severity="info"
        )
    if each is None:  # `instance-type` reports it
        return
    if quota is None:
        raise Failed(
            f"{type} is not a standard instance: its quota was not looked at.", "See Service Quotas, EC2.", "info"
        )
    if most * each > quota:
        command = (
            f"aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {STANDARD_QUOTA} "
            f"--desired-value {most * each} --region {region}"
        )
        raise Failed(
            f"{most} x {type} (fleet_max_size) have {most * each} vCPUs; "
            f"the account's standard instances may have {quota:g} at once, all fleets together.",
            Remedy("Lower fleet_max_size, or ask for more:", (command,)),
            needed=most * each,
            quota=quota,
        )


@check("quota-groups", needed_by=frozenset({"autoscaling_group"}))
def _groups(inputs: Inputs) -> None:
    """The account may have another Auto Scaling group."""
    groups = inputs.forecast.groups
    if isinstance(groups, Unread):
        raise Failed(f"How many Auto Scaling groups there may be could not be asked: {groups.reason}", severity="info")
    if inputs.prerequisites.group is None and groups[0] >= groups[1]:
        raise Failed(
            f"The account has {groups[0]} Auto Scaling groups in {inputs.settings['fleet_region']}, "
            f"and may have {groups[1]}: no other can be created.",
            "Delete one, or ask for more (Service Quotas, Auto Scaling).",
        )


@check("operator-permissions", severity="warning")
def _operator(inputs: Inputs) -> None:
    """These credentials may call everything that site.yml calls."""
    denied, remedy = inputs.forecast.denied, Remedy("docs/iam/operator.json lists what site.yml needs.")
    if isinstance(denied, Unread):
        detail = f"Whether these credentials may do all that site.yml does could not be asked: {denied.reason}"
        raise Failed(detail, remedy, "info")
    groups = inputs.forecast.groups
    if not isinstance(groups, Unread) and groups[0]:  # whoever made the account's first group made the role as well
        denied = tuple(one for one in denied if one.action != "iam:CreateServiceLinkedRole")
    if denied:
        detail, remedy = explained("These credentials", denied, lambda one: one.reason == "missing", remedy)
        missing = list(dict.fromkeys(one.action for one in denied))
        raise Failed(f"{detail} (By IAM's policy simulator.)", remedy, missing=missing)


@check("price", severity="info")
def _price(inputs: Inputs) -> Passed:
    """What the fleet will cost a month."""
    settings, group = inputs.settings, inputs.prerequisites.group
    type, region = settings["fleet_instance_type"], settings["fleet_region"]
    volume, size = settings["fleet_volume_type"], settings["fleet_volume_size_gib"]
    price = monthly(settings)
    if price is None:
        detail = f"The table of prices ({AS_OF}) does not have {type} in {region}: no estimate."
        return Passed(detail, {"as_of": AS_OF})
    sizes = (group.min_size, group.max_size) if group else (settings["fleet_min_size"], settings["fleet_max_size"])
    least, most = (number * price.total for number in sizes)
    address = f", public address {price.address:.2f}" if price.address else ""
    return Passed(
        f"About {least:.2f} to {most:.2f} {CURRENCY} a month for {sizes[0]} to {sizes[1]} instances that run all "
        f"the time: each {price.total:.2f} ({type} {price.instance:.2f}, {size} GiB {volume} {price.volume:.2f}"
        f"{address}); on demand, prices of {AS_OF}.",
        {"min": round(least, 2), "max": round(most, 2), "currency": CURRENCY, "as_of": AS_OF},
    )


@check("valet-policy", section=10, severity="warning")
def _valet(inputs: Inputs) -> None:
    """VALET's policy lets it scale the group, once the group exists."""
    if inputs.prerequisites.group is None:
        return
    settings, caller = inputs.settings, inputs.prerequisites.caller
    name, group, region = settings["fleet_valet_policy_name"], settings["fleet_group_name"], settings["fleet_region"]
    groups = f"arn:{caller.partition}:autoscaling:{region}:{caller.account}:autoScalingGroup"
    needed = (
        Permission("autoscaling:DescribeAutoScalingGroups", "*"),
        Permission("autoscaling:UpdateAutoScalingGroup", f"{groups}:any:autoScalingGroupName/{group}"),
    )
    remedy = "Run playbooks/valet.yml."
    if inputs.valet_policy is None:
        raise Failed(f"There is no policy {name}: VALET cannot scale {group}.", remedy)
    if missing := denied_by_documents([inputs.valet_policy], needed):
        detail = f"{name} does not let VALET call {', '.join(missing)} on {group}."
        raise Failed(detail, remedy, missing=list(missing))
