# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator has to be allowed: docs/iam/operator.json, for one fleet's names. Pure.

The document names every fleet whose names begin as the defaults do (`gh-worker*`), in any region and account.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    Context,
    Permission,
    listed,
    service_principal,
)

STANDARD = frozenset("a c d h i im is m r t z".split())
STANDARD_QUOTA = "L-1216C47A"  # "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", in vCPUs
BUILDING = "Build"  # the prefix of the Sids whose actions site.yml calls to change something
#: prefix of an ARN's last part -> (the names in the document, the variable with this fleet's name)
NAMES = {
    "autoScalingGroup:*:autoScalingGroupName/": ("gh-worker*", "fleet_group_name"),
    "instance-profile/": ("gh-worker*", "fleet_instance_profile_name"),
    "log-group:": ("/wekruit/gh-worker*", "fleet_log_group_name"),
    "policy/": ("gh-worker*", "fleet_valet_policy_name"),
    "repository/": ("ghosthands", "fleet_repository_name"),
    "role/": ("gh-worker*", "fleet_role_name"),
    "secret:": ("ghosthands/worker/*", "fleet_secret_name"),
    "user/": ("valet*", "fleet_valet_user_name"),
}
#: prefix of an ARN's last part -> the variable without which a fleet creates none
OPTIONAL = {"key-pair/": "fleet_key_public", "user/": "fleet_valet_user_name"}


def needed(document: Mapping[str, Any], s: Mapping[str, Any], account: str, partition: str) -> tuple[Permission, ...]:
    """What `site.yml` calls to build this fleet."""
    found = [
        Permission(action, arn, context)
        for statement in in_partition(document, partition)["Statement"]
        if statement["Sid"].startswith(BUILDING)
        for context in [_context(statement)]
        for resource in listed(statement["Resource"])
        for arn in _own(resource, s, account, partition)
        for action in listed(statement["Action"])
    ]
    return tuple(dict.fromkeys(found))


def in_partition(document: Mapping[str, Any], partition: str) -> dict[str, Any]:
    """A policy document as another partition writes it: its ARNs, and EC2's name as a service."""
    own = json.dumps(document).replace('"arn:aws:', f'"arn:{partition}:')
    found: dict[str, Any] = json.loads(own.replace('"ec2.amazonaws.com"', f'"{service_principal("ec2", partition)}"'))
    return found


def _context(statement: Mapping[str, Any]) -> Context:
    """The condition keys of a statement but for tags, which `context` has."""
    keys = dict(statement.get("Condition", {}).get("StringEquals", {}))
    return tuple((key, tuple(listed(keys[key]))[:1]) for key in sorted(keys) if not key.startswith("aws:"))


def _own(resource: str, s: Mapping[str, Any], account: str, partition: str) -> Iterator[str]:
    """This fleet's ARN of the document's resource; nothing where the fleet has no such resource."""
    if resource == "*":
        yield resource
        return
    _arn, _partition, service, region, owner, last = resource.split(":", 5)
    if any(last.startswith(kind) and not s[variable] for kind, variable in OPTIONAL.items()):
        return
    for kind, (_names, variable) in NAMES.items():
        if last == f"{kind}{_names}":
            suffix = "-aaaaaa" if kind == "secret:" else ""  # Secrets Manager adds six characters to the name
            last = f"{kind}{s[variable]}{suffix}"
    place = f"{s['fleet_region'] if region else ''}:{account if owner else ''}"
    yield f"arn:{partition}:{service}:{place}:{last}"


def context(s: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What IAM's simulator has to know of every call, as ContextEntries: the tags of what is made and changed."""
    keys = dict[str, str]()
    for tag, value in s["fleet_tags"].items():
        keys |= {f"aws:ResourceTag/{tag}": str(value), f"aws:RequestTag/{tag}": str(value)}
    return [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"} for key, value in keys.items()
    ]


def family(instance_type: str) -> str:
    """`t` of t3a.medium."""
    return "".join(itertools.takewhile(str.isalpha, instance_type))
