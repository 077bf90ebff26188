# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left in a group."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, GroupInstance
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.drain import (
    Remaining,
    cannot_end,
    remaining,
)


def left(*instances: tuple[str, str] | tuple[str, str, bool]) -> Remaining:
    """What is left in a group of these instances: (id, state, whether it is protected)."""
    every = (
        GroupInstance(name, state, "Healthy", "us-east-1a", "t3.medium", "1", bool(protected))
        for name, state, *protected in instances
    )
    return remaining(Group("g", "arn:g", 0, 1, 1, instances=tuple(every)))


@pytest.mark.parametrize("group", [None, Group("g", "arn:g", 0, 1, 0)])
def test_a_group_without_instances_is_drained(group: Group | None) -> None:
    found = remaining(group)
    assert (found.drained, found.instances, found.summary) == (True, 0, "no instances")


@pytest.mark.parametrize(
    "state", ["Pending", "InService", "Terminating:Wait", "Terminating:Proceed", "Standby", "Terminating"]
)
def test_an_instance_in_any_state_but_retained_is_waited_for(state: str) -> None:
    assert not left(("i-1", state)).drained


def test_retained_instances_are_named_and_not_waited_for() -> None:
    found = left(("i-1", "Terminating:Retained"), ("i-2", "Terminating:Retained"))
    assert found.drained
    assert found.retained == ("i-1", "i-2")


def test_protection_counts_only_on_an_instance_that_scale_in_may_choose() -> None:
    found = left(("i-1", "InService", True), ("i-2", "Terminating:Wait", True), ("i-3", "InService"))
    assert found.protected == ("i-1",)


def test_standby_is_named_since_scale_in_never_chooses_it() -> None:
    assert left(("i-1", "Standby"), ("i-2", "InService")).standby == ("i-1",)


def test_the_summary_counts_states() -> None:
    found = left(("i-1", "InService"), ("i-2", "Terminating:Wait"), ("i-3", "InService"))
    assert found.summary == "2 InService, 1 Terminating:Wait"


SERVING = (GroupInstance("i-1", "InService", "Healthy", "us-east-1a", "t3.medium", "1", protected=False),)
STOPPED = Group("g", "arn:g", 0, 1, 0, instances=SERVING, suspended_processes=frozenset({"Terminate"}))


def test_a_group_that_terminates_nothing_is_named_with_the_command_that_resumes_it() -> None:
    assert cannot_end(STOPPED).startswith("g has Terminate suspended")
    assert "resume-processes --scaling-processes Terminate --auto-scaling-group-name g" in cannot_end(STOPPED)


def test_suspending_terminate_holds_only_instances_in_service() -> None:
    leaving = (replace(SERVING[0], state="Terminating:Wait"),)
    assert cannot_end(replace(STOPPED, instances=leaving)) == ""


def test_somebody_who_scales_out_meanwhile_is_named_once_the_write_has_settled() -> None:
    raised = Group("g", "arn:g", 0, 4, 2, instances=SERVING)
    assert cannot_end(raised) == ""
    assert "desired capacity to 2" in cannot_end(raised, scaled_in=True)
    assert cannot_end(replace(raised, desired_capacity=0), scaled_in=True) == ""
