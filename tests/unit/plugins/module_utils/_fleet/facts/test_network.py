# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which routes lead out of a subnet, and how many rules a security group gets."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.network import (
    PrefixList,
    Route,
    ingress_sizes,
    way_out,
)

LOCAL = Route("10.0.0.0/16", "local", True)
GATEWAY, NAT = Route("0.0.0.0/0", "igw-1", True), Route("0.0.0.0/0", "nat-1", True)
HALVES = (Route("0.0.0.0/1", "tgw-1", True), Route("128.0.0.0/1", "tgw-1", True))


@pytest.mark.parametrize(
    ("routes", "public", "target"),
    [
        ((LOCAL, GATEWAY), True, "igw-1"),
        ((LOCAL, GATEWAY), False, ""),
        ((LOCAL, NAT), False, "nat-1"),
        ((LOCAL, NAT), True, "nat-1"),
        ((LOCAL, Route("0.0.0.0/0", "nat-1", False)), True, ""),
        ((LOCAL, *HALVES), False, "tgw-1"),
        ((LOCAL, HALVES[0]), False, ""),
        ((LOCAL, Route("", "vpce-1", True)), True, ""),
        ((LOCAL, Route("", "eigw-1", True)), True, ""),
        ((LOCAL, Route("192.0.2.0/24", "pcx-1", True)), True, ""),
        ((), True, ""),
    ],
)
def test_a_way_out_covers_the_internet_and_answers(routes: tuple[Route, ...], public: bool, target: str) -> None:
    assert way_out(routes, public) == target


def test_rules_count_for_each_protocol_version_and_a_list_as_its_maximum(settings: dict[str, Any]) -> None:
    assert ingress_sizes(settings, {}) == (0, 0)
    given = {
        "fleet_ssh_cidrs": ["192.0.2.0/24", "2001:db8::/32", "2001:db9::/32"],
        "fleet_api_cidrs": ["192.0.2.0/24"],
        "fleet_api_security_group_ids": ["sg-1", "sg-1", "sg-2"],
        "fleet_vnc_prefix_list_ids": ["pl-1", "pl-gone"],
    }
    lists = {"pl-1": PrefixList("pl-1", 20, ())}
    assert ingress_sizes(settings | given, lists) == (2 + 2 + 20, 2 + 2 + 20)
