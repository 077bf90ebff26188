# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""amazon.aws.ec2_security_group, purging unknown rules. A group's description cannot be changed once it exists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import (
    Comparison,
    Meaning,
    Parameters,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import TAGS

TARGETS = {  # a rule's key -> the list and the key of its targets in IpPermissions
    "cidr_ip": ("IpRanges", "CidrIp"),
    "cidr_ipv6": ("Ipv6Ranges", "CidrIpv6"),
    "group_id": ("UserIdGroupPairs", "GroupId"),
    "ip_prefix": ("PrefixListIds", "PrefixListId"),
}


def _in_the_vpc(raw: Iterable[Mapping[str, Any]], p: Parameters) -> Any:
    return next((group for group in raw if group.get("VpcId") == p["vpc_id"]), None)


def _ports(protocol: str, first: Any, last: Any) -> tuple[int, int]:
    return (-1, -1) if protocol == "-1" or first is None else (int(first), int(last))


def _desired(rules: Iterable[Mapping[str, Any]]) -> list[Any]:
    return sorted(
        {
            (
                str(r["proto"]),
                *_ports(str(r["proto"]), r.get("from_port"), r.get("to_port")),
                r[kind],
                r.get("rule_desc") or "",
            )
            for r in rules
            for kind in TARGETS
            if kind in r
        }
    )


def _actual(permissions: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    for p in permissions:
        for place, key in TARGETS.values():
            for target in p.get(place) or []:
                ports = _ports(p["IpProtocol"], p.get("FromPort"), p.get("ToPort"))
                yield (
                    p["IpProtocol"],
                    *ports,
                    target.get(key) or target.get("GroupName"),
                    target.get("Description") or "",
                )


COMPARISON = Comparison(
    {
        "name": None,
        "description": None,
        "vpc_id": None,
        "purge_tags": None,
        "rules": Meaning(_desired, lambda raw, p: sorted(_actual(raw.get("IpPermissions", [])))),
        "rules_egress": Meaning(_desired, lambda raw, p: sorted(_actual(raw.get("IpPermissionsEgress", [])))),
        "tags": TAGS,
    },
    select=_in_the_vpc,
    outputs=lambda raw, differs: {"group_id": raw["GroupId"]},
)
