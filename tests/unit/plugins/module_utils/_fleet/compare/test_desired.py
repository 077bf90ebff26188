# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired values that take more than a line of a task."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.desired import (
    ingress_rules,
    managed_tags,
    pinned_version,
    rollout_image,
)

PORT = {"port": 22, "purpose": "SSH", "cidrs": [], "security_group_ids": [], "prefix_list_ids": []}


def test_a_port_without_sources_has_no_rule() -> None:
    assert ingress_rules([PORT, {**PORT, "port": 3100}]) == []


def test_each_source_of_a_port_is_a_rule_of_its_kind() -> None:
    port = {**PORT, "port": "22", "cidrs": ["10.0.0.0/8", "2001:db8::/32"], "security_group_ids": ["sg-1"]}
    port["prefix_list_ids"] = ["pl-1"]
    base = {"proto": "tcp", "from_port": 22, "to_port": 22, "rule_desc": "SSH"}
    assert ingress_rules([port]) == [
        {**base, "cidr_ip": "10.0.0.0/8"},
        {**base, "cidr_ipv6": "2001:db8::/32"},
        {**base, "group_id": "sg-1"},
        {**base, "ip_prefix": "pl-1"},
    ]


def test_a_source_given_twice_is_one_rule() -> None:
    assert len(ingress_rules([{**PORT, "cidrs": ["10.0.0.0/8"] * 2, "security_group_ids": ["sg-1"] * 2}])) == 2


def test_two_ports_keep_their_own_sources() -> None:
    rules = ingress_rules([{**PORT, "cidrs": ["10.0.0.0/8"]}, {**PORT, "port": 3100, "cidrs": ["10.0.0.0/8"]}])
    assert [r["from_port"] for r in rules] == [22, 3100]


@pytest.mark.parametrize(
    ("template_version", "new_version", "current", "pinned"),
    [
        ("numbered", "adopt", "3", "7"),
        ("numbered", "adopt", None, "7"),
        ("numbered", "hold", "3", "3"),
        ("numbered", "hold", None, "7"),
        ("numbered", "hold", "", "7"),
        ("numbered", "hold", "$Latest", "7"),
        ("$Latest", "adopt", "3", "$Latest"),
        ("$Latest", "hold", "3", "$Latest"),
        ("$Default", "adopt", None, "$Default"),
    ],
)
def test_the_group_pins(template_version: str, new_version: str, current: str | None, pinned: str) -> None:
    assert pinned_version(7, template_version, new_version, current) == pinned


def test_what_the_playbooks_make_says_so_beside_the_operators_tags() -> None:
    assert managed_tags({"Project": "x"}) == {"Project": "x", "ghosthands:managed-by": "wekruit.ghosthands"}


@pytest.mark.parametrize(
    ("image", "worker_image", "expected"),
    [
        ("keep", "", "newest"),
        ("keep", ":v2", "keep"),
        ("newest", ":v2", "newest"),
        ("ami-0123456789abcdef0", "", "ami-0123456789abcdef0"),
    ],
)
def test_a_rollout_brings_the_newest_image_unless_something_else_is_named(
    image: str, worker_image: str, expected: str
) -> None:
    assert rollout_image(image, worker_image) == expected
