# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of one instance: when it is refused, and when it is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import WANT
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, GroupInstance, Tag
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.instance_drain import (
    progress,
    refusal,
)


def instance(state: str, id: str = "i-1") -> GroupInstance:
    return GroupInstance(id, state, "Healthy", "a", "t3.medium", "1", True)


def group(*states: str, **other: Any) -> Group:
    members = tuple(instance(state, f"i-{number}") for number, state in enumerate(states, 1))
    return replace(Group("g", "arn:g", 1, 10, 2, instances=members), **other)


@pytest.mark.parametrize("state", ["InService", "Standby", "Terminating:Wait", "Terminating:Proceed"])
def test_a_protected_instance_in_service_or_on_its_way_out_may_be_ended(state: str) -> None:
    assert refusal(group(state, "InService"), instance(state), replace=True, hook=True, agent=True) == ""


@pytest.mark.parametrize(
    ("of", "state", "how", "said"),
    [
        (group(), "Terminating:Retained", {}, "release_retained.yml"),
        (group(), "Pending:Wait", {}, "wait until it is in service"),
        (group(), "InService", {"hook": False}, "a job on i-1 would be lost: run lifecycle_hook.yml first"),
        (group(), "InService", {"agent": False}, "replace_unmanaged.yml"),
        (group(min_size=2), "InService", {"replace": False}, "fewer instances than its min size (2)"),
        (group(suspended_processes=frozenset({"Launch"})), "InService", {}, "Launch is suspended"),
        (
            group(suspended_processes=frozenset({"Launch"}), tags={WANT: Tag("hold@0a1b2c3d", True)}),
            "InService",
            {},
            "the fleet is paused (resume.yml)",
        ),
    ],
)
def test_what_would_lose_a_job_or_not_do_what_was_asked_is_refused(
    of: Group, state: str, how: dict[str, bool], said: str
) -> None:
    assert said in refusal(of, instance(state), **{"replace": True, "hook": True, "agent": True, **how})


def test_without_a_replacement_a_suspended_launch_and_standby_at_min_size_are_no_reason() -> None:
    suspended = group(suspended_processes=frozenset({"Launch"}))
    assert refusal(suspended, instance("InService"), replace=False, hook=True, agent=True) == ""
    assert refusal(group(min_size=2), instance("Standby"), replace=False, hook=True, agent=True) == ""


@pytest.mark.parametrize(
    ("of", "replaced", "expected"),
    [
        (group("Terminating:Wait"), True, (False, "i-1 is Terminating:Wait, job 4711")),
        (
            group("Terminating:Retained"),
            True,
            (True, "i-1 is retained: its drain has lost a job, or its agent has failed"),
        ),
        (
            Group("g", "a", 1, 9, 2, instances=(instance("InService", "i-2"),)),
            True,
            (False, "i-1 has ended; 1 of 2 in service"),
        ),
        (Group("g", "a", 1, 9, 1, instances=(instance("InService", "i-2"),)), True, (True, "i-1 has ended")),
        (Group("g", "a", 1, 9, 2, instances=(instance("InService", "i-2"),)), False, (True, "i-1 has ended")),
    ],
)
def test_it_is_over_when_the_instance_has_left_and_its_replacement_serves(
    of: Group, replaced: bool, expected: tuple[bool, str]
) -> None:
    assert progress(of, "i-1", replace=replaced, job=lambda: "job 4711") == expected
