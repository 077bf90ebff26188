# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§1: what a fleet may meet once it is created, and what it will cost. Only preflight.yml asks for it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.precondition import (
    Inputs,
    Precondition,
    Problem,
    precondition,
)
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

PRECONDITIONS: list[Precondition] = []
expects = partial(precondition, PRECONDITIONS)


def before_creation(
    settings: Mapping[str, Any],
    prerequisites: Prerequisites,
    forecast: Forecast,
    valet_policy: Mapping[str, Any] | None,
) -> list[Finding]:
    """The findings. Only what would surely fail is an error.

    :param valet_policy: the document of VALET's policy; None: there is none.
    """
    inputs = Inputs(settings, prerequisites, True, forecast, valet_policy)
    return [finding for each in PRECONDITIONS for finding in each.findings(inputs)]


def _forecast(inputs: Inputs) -> Forecast:
    assert inputs.forecast is not None
    return inputs.forecast


@expects("quota-vcpus", severity="warning")
def _vcpus(inputs: Inputs) -> Iterator[Problem]:
    """The account's vCPU quota suffices for fleet_max_size instances."""
    settings = inputs.settings
    type, most, region = settings["fleet_instance_type"], settings["fleet_max_size"], settings["fleet_region"]
    each, quota = _forecast(inputs).vcpus, _forecast(inputs).vcpu_quota
    if isinstance(quota, Unread) or isinstance(each, Unread):
        reasons = " ".join(dict.fromkeys(part.reason for part in (quota, each) if isinstance(part, Unread)))
        detail = f"Whether the account's quota allows {most} x {type} could not be asked: {reasons}"
        yield Problem(detail, severity="info")
    elif each is None:  # `instance-type` reports it
        return
    elif quota is None:
        detail = f"{type} is not a standard instance: its quota was not looked at."
        yield Problem(detail, Remedy("See Service Quotas, EC2."), "info")
    elif most * each > quota:
        command = (
            f"aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {STANDARD_QUOTA} "
            f"--desired-value {most * each} --region {region}"
        )
        yield Problem(
            f"{most} x {type} (fleet_max_size) have {most * each} vCPUs; "
            f"the account's standard instances may have {quota:g} at once, all fleets together.",
            Remedy("Lower fleet_max_size, or ask for more:", (command,)),
            evidence={"needed": most * each, "quota": quota},
        )


@expects("quota-groups", needed_by=frozenset({"autoscaling_group"}))
def _groups(inputs: Inputs) -> Iterator[Problem]:
    """The account may have another Auto Scaling group."""
    groups = _forecast(inputs).groups
    if isinstance(groups, Unread):
        detail = f"How many Auto Scaling groups there may be could not be asked: {groups.reason}"
        yield Problem(detail, severity="info")
    elif inputs.prerequisites.group is None and groups[0] >= groups[1]:
        yield Problem(
            f"The account has {groups[0]} Auto Scaling groups in {inputs.settings['fleet_region']}, "
            f"and may have {groups[1]}: no other can be created.",
            Remedy("Delete one, or ask for more (Service Quotas, Auto Scaling)."),
        )


@expects("operator-permissions", severity="warning")
def _operator(inputs: Inputs) -> Iterator[Problem]:
    """These credentials may call everything that site.yml calls."""
    denied, remedy = _forecast(inputs).denied, Remedy("docs/iam/operator.json lists what site.yml needs.")
    if isinstance(denied, Unread):
        detail = f"Whether these credentials may do all that site.yml does could not be asked: {denied.reason}"
        yield Problem(detail, remedy, "info")
    elif denied:
        yield Problem(
            f"By IAM's policy simulator these credentials may not call {', '.join(denied)}.",
            remedy,
            evidence={"missing": list(denied)},
        )


@expects("price", severity="info")
def _price(inputs: Inputs) -> Iterator[Problem]:
    """What the fleet will cost a month."""
    settings, group = inputs.settings, inputs.prerequisites.group
    type, region = settings["fleet_instance_type"], settings["fleet_region"]
    volume, size = settings["fleet_volume_type"], settings["fleet_volume_size_gib"]
    price = monthly(region, type, volume, size, settings["fleet_public_address"])
    if price is None:
        detail = f"The table of prices ({AS_OF}) does not have {type} with {volume} in {region}: no estimate."
        yield Problem(detail, ok=True, evidence={"as_of": AS_OF})
        return
    sizes = (group.min_size, group.max_size) if group else (settings["fleet_min_size"], settings["fleet_max_size"])
    least, most = (number * price.total for number in sizes)
    address = f", public address {price.address:.2f}" if price.address else ""
    yield Problem(
        f"About {least:.2f} to {most:.2f} {CURRENCY} a month for {sizes[0]} to {sizes[1]} instances that run all "
        f"the time: each {price.total:.2f} ({type} {price.instance:.2f}, {size} GiB {volume} {price.volume:.2f}"
        f"{address}); on demand, prices of {AS_OF}.",
        ok=True,
        evidence={"min": round(least, 2), "max": round(most, 2), "currency": CURRENCY, "as_of": AS_OF},
    )


@expects("valet-policy", severity="warning", section=10)
def _valet(inputs: Inputs) -> Iterator[Problem]:
    """VALET's policy lets it scale the group, once the group exists."""
    if inputs.prerequisites.group is None:
        return
    settings, caller = inputs.settings, inputs.prerequisites.caller
    name, group, region = settings["fleet_valet_policy_name"], settings["fleet_group_name"], settings["fleet_region"]
    groups = f"arn:{caller.partition}:autoscaling:{region}:{caller.account}:autoScalingGroup"
    arn = f"{groups}:any:autoScalingGroupName/{group}"
    needed = (
        Permission("autoscaling:DescribeAutoScalingGroups", "*"),
        Permission("autoscaling:UpdateAutoScalingGroup", arn),
    )
    remedy = Remedy("Run playbooks/valet.yml.")
    if inputs.valet_policy is None:
        yield Problem(f"There is no policy {name}: VALET cannot scale {group}.", remedy)
    elif missing := denied_by_documents([inputs.valet_policy], needed):
        detail = f"{name} does not let VALET call {', '.join(missing)} on {group}."
        yield Problem(detail, remedy, evidence={"missing": list(missing)})
