# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired values that take more than a line of a task. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.ownership import KEY, VALUE


def ingress_rules(ports: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rules for amazon.aws.ec2_security_group: one for each source of each port, none for a port without sources.

    :param ports: `{port, purpose, cidrs, security_group_ids, prefix_list_ids}` each.
    """
    rules = []
    for port in ports:
        base = {
            "proto": "tcp",
            "from_port": int(port["port"]),
            "to_port": int(port["port"]),
            "rule_desc": str(port["purpose"]),
        }
        rules += [
            {**base, "cidr_ipv6" if ":" in cidr else "cidr_ip": str(cidr)} for cidr in dict.fromkeys(port["cidrs"])
        ]
        rules += [{**base, "group_id": str(group)} for group in dict.fromkeys(port["security_group_ids"])]
        rules += [{**base, "ip_prefix": str(one)} for one in dict.fromkeys(port["prefix_list_ids"])]
    return rules


def pinned_version(latest: Any, template_version: str, new_version: str, current: str | None) -> str:
    """The launch template version that the group names (§4).

    :param latest: the template's latest version number.
    :param template_version: `numbered` (an instance refresh can roll back to it), `$Latest` or `$Default`.
    :param new_version: `hold`: what the group has, the latest only for a new group; `adopt`: the latest.
    :param current: how the group states its version now; None or empty without a group of this kit.
    """
    if template_version != "numbered":
        return template_version
    if new_version == "hold" and current and current.isdigit():
        return current
    return str(latest)


def rollout_image(image: str, worker_image: str) -> str:
    """The value of fleet_image for a rollout: the newest own AMI, unless another one or a worker image is named."""
    return "newest" if image == "keep" and not worker_image else image


def managed_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags of a resource that the playbooks make, with the one that says so."""
    return {**tags, KEY: VALUE}
