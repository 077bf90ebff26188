# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was made by others, and the plan of its adoption."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.adoption import (
    Planned,
    is_foreign,
    plan,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.change import Change
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, Tag
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.ownership import KEY, VALUE

GROUP = Group("g", "arn:g", 1, 10, 4)
SETTINGS = "wekruit.ghosthands.autoscaling_group_settings"
PORTS = [
    {
        "port": 22,
        "cidrs": "{{ fleet_ssh_cidrs }}",
        "security_group_ids": "{{ fleet_ssh_security_group_ids }}",
        "prefix_list_ids": "{{ fleet_ssh_prefix_list_ids }}",
    },
]


def lines(parameter: str, before: Any, after: Any, value: Any = "", **task: Any) -> list[str]:
    """The plan of one parameter of one task."""
    change = Change("iam", "Do it", "module", False, {parameter: (before, after)})
    return [
        line.strip() for line in plan([Planned({"a.b.c": {parameter: value}, **task}, "a.b.c", change)], None, ())[1:]
    ]


@pytest.mark.parametrize(
    "module", ["amazon.aws.ec2_launch_template", "amazon.aws.iam_role", "amazon.aws.ec2_security_group"]
)
def test_a_resource_without_the_mark_is_foreign(module: str) -> None:
    assert is_foreign(module, {})
    assert is_foreign(module, {"Tags": [{"Key": KEY, "Value": "terraform"}, {"Key": "Project", "Value": VALUE}]})
    assert not is_foreign(module, {"Tags": [{"Key": KEY, "Value": VALUE}]})
    assert not is_foreign(module, None), "what does not exist is made"


def test_a_group_without_the_mark_is_foreign() -> None:
    assert is_foreign(SETTINGS, GROUP)
    assert is_foreign(SETTINGS, replace(GROUP, tags={KEY: Tag("terraform", True)}))
    assert not is_foreign(SETTINGS, replace(GROUP, tags={KEY: Tag(VALUE, True)}))


def test_what_fleets_share_is_never_foreign() -> None:
    assert not is_foreign("amazon.aws.cloudwatchlogs_log_group", {})


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            ("tcp", 22, 22, "10.0.0.0/8", ""),
            "tcp 22 10.0.0.0/8 would be removed; to keep it, add 10.0.0.0/8 to fleet_ssh_cidrs",
        ),
        (
            ("tcp", 22, 22, "sg-1", "x"),
            "tcp 22 sg-1 (x) would be removed; to keep it, add sg-1 to fleet_ssh_security_group_ids",
        ),
        (
            ("tcp", 22, 22, "pl-1", ""),
            "tcp 22 pl-1 would be removed; to keep it, add pl-1 to fleet_ssh_prefix_list_ids",
        ),
        (("udp", 22, 22, "pl-1", ""), "udp 22 pl-1 would be removed; no variable keeps it"),
        (("tcp", 22, 23, "pl-1", ""), "tcp 22-23 pl-1 would be removed; no variable keeps it"),
        (("-1", -1, -1, "0.0.0.0/0", ""), "all traffic 0.0.0.0/0 would be removed; no variable keeps it"),
    ],
)
def test_a_rule_that_would_be_removed_names_the_variable_that_keeps_it(rule: tuple[Any, ...], words: str) -> None:
    (line,) = lines("rules", [rule], [], vars={"__fleet_ports": PORTS})
    assert line.startswith(f"rules: inbound {words}")


def test_a_rule_that_gets_another_description_is_not_removed() -> None:
    before, after = (
        [("tcp", 22, 22, "10.0.0.0/8", "")],
        [("tcp", 22, 22, "10.0.0.0/8", "SSH"), ("tcp", 1, 1, "sg-1", "")],
    )
    assert lines("rules", before, after) == [
        "rules: inbound tcp 22 10.0.0.0/8: its description '' -> 'SSH'",
        "rules: inbound tcp 1 sg-1 would be added",
    ]


def test_a_policy_is_shown_by_its_statements() -> None:
    before = {"Statement": [{"Sid": "A", "Action": "a:1", "Resource": "*"}, {"Sid": "B", "Action": "b:1"}]}
    after = {"Statement": [{"Sid": "A", "Action": ["a:1", "a:2"], "Resource": "r"}, {"Sid": "C", "Action": "c:1"}]}
    assert lines("policy_json", before, after) == [
        "policy_json: statement A: Action gets a:2",
        "policy_json: statement A: Resource loses * and gets r",
        'policy_json: statement B would be removed: {"Sid": "B", "Action": "b:1"}; a policy of another name stays',
        "policy_json: statement C would be added",
    ]


def test_a_value_names_the_variables_that_decide_it_also_through_the_tasks_own() -> None:
    assert lines("size", 3, 4, "{{ fleet_size }}") == ["size 3 -> 4 (fleet_size)"]
    assert lines("size", 3, 4, "{{ __a }}", vars={"__a": "{{ __b }}", "__b": "{{ fleet_b }}"}) == [
        "size 3 -> 4 (fleet_b)"
    ]
    assert lines("image_id", "a", "b", "{{ __fleet_drift.ids.image }}") == ["image_id a -> b (fleet_image)"]
    assert lines("kind", "a", "b", "EC2") == ["kind a -> b"]


def test_sizes_stay_and_instances_without_an_agent_are_named() -> None:
    stays, without = plan([], GROUP, ("i-1",))
    assert stays.startswith("stays: minimum 1, maximum 10, desired capacity 4")
    assert "1 instance without this kit's agent: i-1." in without
    assert "Adoption protects them from scale-in" in without
