# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports are open to the world."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.security_group import open_ports
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Rule

LOW, HIGH, WORLD = "0.0.0.0/2", "64.0.0.0/2", "0.0.0.0/0"  # LOW and HIGH are half of the internet together


def rule(protocol: str, first: int, last: int, *networks: str) -> Rule:
    return Rule(protocol, first, last, networks)


@pytest.mark.parametrize(
    ("rules", "ports"),
    [
        ([], []),
        ([rule("tcp", 22, 22, WORLD)], ["tcp 22"]),
        ([rule("tcp", 22, 22, "::/0")], ["tcp 22"]),
        ([rule("-1", 0, 65535, WORLD), rule("tcp", 22, 22, WORLD)], ["every port"]),
        ([rule("tcp", 22, 22, LOW), rule("tcp", 22, 22, HIGH)], ["tcp 22"]),
        ([rule("tcp", 22, 22, LOW), rule("tcp", 23, 23, HIGH)], []),
        ([rule("tcp", 1, 100, LOW), rule("tcp", 50, 200, HIGH)], ["tcp 50 to 100"]),
        ([rule("tcp", 1, 9, WORLD), rule("tcp", 10, 20, WORLD)], ["tcp 1 to 20"]),
        ([rule("tcp", 1, 9, WORLD), rule("tcp", 11, 20, WORLD)], ["tcp 1 to 9", "tcp 11 to 20"]),
        ([rule("-1", 0, 65535, LOW), rule("udp", 53, 53, HIGH)], ["udp 53"]),
        ([rule("tcp", 53, 53, LOW), rule("udp", 53, 53, HIGH)], []),
        ([rule("icmp", -1, -1, WORLD)], ["icmp -1"]),
        ([rule("tcp", 22, 22, "203.0.113.7/32", "2001:db8::/32")], []),
    ],
)
def test_rules_count_together_port_by_port(rules: list[Rule], ports: list[str]) -> None:
    assert open_ports(rules) == ports
