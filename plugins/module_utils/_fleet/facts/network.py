# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network's routes, and how many rules a security group gets. Standard library only."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DOORS = ("ssh", "api", "status", "deploy", "vnc")  # the ports of a worker that can be opened: fleet_*_cidrs, ...
# VPC User Guide, "Amazon VPC quotas": rules in each direction, separately for IPv4 and IPv6
RULES, RULES_QUOTA = 60, "L-0EA8095F"
INTERNET = ipaddress.IPv4Network("0.0.0.0/0")


@dataclass(frozen=True)
class Route:
    destination: str
    """an IPv4 network; empty for other destinations"""
    target: str
    """the id of a gateway, an interface, ..."""
    active: bool


@dataclass(frozen=True)
class PrefixList:
    id: str
    size: int
    """how many rules of a security group it counts as"""
    cidrs: tuple[str, ...]
    """its networks, where they were asked for"""


def way_out(routes: Iterable[Route], public_address: bool) -> str:
    """The target of the routes to the internet; empty where an instance reaches none.

    Through an internet gateway only an instance with a public address gets answers.
    """
    usable = [
        route
        for route in routes
        if route.active and route.destination and (public_address or not route.target.startswith("igw-"))
    ]
    networks = ipaddress.collapse_addresses(
        ipaddress.IPv4Network(route.destination) for route in usable if route.target != "local"
    )
    whole = INTERNET in networks
    return max(usable, key=lambda route: -ipaddress.IPv4Network(route.destination).prefixlen).target if whole else ""


def ingress_sizes(s: Mapping[str, Any], lists: Mapping[str, PrefixList]) -> tuple[int, int]:
    """How many inbound rules of IPv4 and of IPv6 the security group gets.

    :param s: every fleet_* variable.
    :param lists: the prefix lists that exist.
    """
    four = six = 0
    for door in DOORS:
        ids = set(s[f"fleet_{door}_prefix_list_ids"])
        both = len(set(s[f"fleet_{door}_security_group_ids"])) + sum(lists[id].size for id in ids if id in lists)
        cidrs = set(s[f"fleet_{door}_cidrs"])
        sixes = sum(":" in cidr for cidr in cidrs)
        four, six = four + both + len(cidrs) - sixes, six + both + sixes
    return four, six
