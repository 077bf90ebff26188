# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify.yml reads to compare site.yml's tasks: of a healthy fleet, two calls more than it makes anyway.

site.yml reads more (prerequisites.py), because it also judges what is not there yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import (
    ec2,
    fleet,
    iam,
    other_services,
    prerequisites,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.modules import READERS, Reader
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.prerequisites import Future, Settings, group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Image, Subnet
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Caller, Prerequisites

# Tags that would take a call of their own; `site.yml --check` compares them.
UNREAD: Mapping[str, frozenset[str]] = {
    module: frozenset({"tags"})
    for module in (
        "amazon.aws.cloudwatchlogs_log_group",
        "amazon.aws.ec2_launch_template",
        "amazon.aws.iam_instance_profile",
        "amazon.aws.iam_managed_policy",
    )
}


def readers(s: Settings) -> dict[str, Reader]:
    """As READERS, without what UNREAD names."""
    return {
        **READERS,
        "amazon.aws.cloudwatchlogs_log_group": Reader(other_services.described_log_group, ("log_group_name",)),
        "amazon.aws.ec2_launch_template": Reader(lambda call, _name: _launch_template(call, s), ("template_name",)),
        "amazon.aws.iam_managed_policy": Reader(
            lambda call, name: iam.managed_policy(call, name, _caller(call, s)), ("name",)
        ),
    }


def start_site_prerequisites(start: Callable[..., Future], call: Call, s: Settings) -> Callable[[], Prerequisites]:
    """What the tasks refer to; the function that is returned waits for it. Raises AwsError."""
    parts = {**dict.fromkeys(prerequisites.PARTS, _nothing), **PARTS}
    return prerequisites.start_prerequisites(start, call, s, parts=parts, who=_caller, first=(group,))


def _nothing(_call: Call, _s: Settings) -> None:
    """Only preflight judges it."""


def _caller(call: Call, s: Settings) -> Caller:
    """The account as the group's ARN names it; where there is no group, as AWS does."""
    found = group(call, s)
    if found is None:
        return iam.caller(call)
    _arn, partition, _service, _region, account, *_rest = found.arn.split(":")
    return Caller(account, partition, "")


def _launch_template(call: Call, s: Settings) -> dict[str, Any] | None:
    """As ec2.launch_template, without its tags."""
    versions = fleet.versions_of_the_fleet(call, s)
    if not versions:
        return None
    default = next((v["VersionNumber"] for v in versions if v.get("DefaultVersion")), 0)
    return {
        "LaunchTemplateId": versions[0]["LaunchTemplateId"],
        "DefaultVersionNumber": default,
        "Latest": max(versions, key=lambda version: version["VersionNumber"]),
    }


def _image(call: Call, s: Settings) -> tuple[Image | None, str]:
    """As prerequisites._image; the group's image is among those that verify.yml reads."""
    requested = s["fleet_image"]
    if requested == "keep" and group(call, s) and (used := fleet.template(call, s)):
        requested = used.image
        if found := fleet.images(call, s).get(requested):
            return found, requested
    return prerequisites.PARTS["image"](call, s)  # type: ignore[no-any-return]


def _worker_image(call: Call, s: Settings) -> str:
    used = fleet.template(call, s) if group(call, s) else None
    return used.agent_conf.get("IMAGE", "") if used else ""


def _vpc(call: Call, s: Settings) -> str | None:
    """The VPC that is named, or that of the default subnets: only the default VPC has such."""
    if s["fleet_vpc_id"]:
        return str(s["fleet_vpc_id"])
    if s["fleet_subnet_ids"]:
        return ec2.vpc(call, "")
    return next((subnet.vpc for subnet in prerequisites.subnets(call, s)), None)


def _subnets(call: Call, s: Settings) -> tuple[Subnet, ...]:
    """Which zones offer the instance type, is asked only where the group does not use every default subnet."""
    found, used = prerequisites.subnets(call, s), group(call, s)
    if s["fleet_subnet_ids"] or (used and {subnet.id for subnet in found} == used.subnet_ids):
        return found
    zones = ec2.zones(call, s["fleet_instance_type"])
    return tuple(subnet for subnet in found if subnet.zone in zones)


PARTS: Mapping[str, Callable[[Call, Settings], Any]] = {
    "image": _image,
    "group": group,
    "template_id": fleet.PARTS["template_id"],
    "vpc": _vpc,
    "subnets": _subnets,
    "without_agent": fleet.PARTS["without_agent"],
    "worker_image": _worker_image,
    # It matters to the task that imports a given public key.
    "key_pair_exists": lambda call, s: not s["fleet_key_public"] or prerequisites.PARTS["key_pair_exists"](call, s),
    **{name: prerequisites.PARTS[name] for name in ("secret", "role_exists", "user_has_access_key")},
}
