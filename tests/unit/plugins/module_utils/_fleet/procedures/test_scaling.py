# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes set by hand: what is set, what is refused, and when the wait ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import WANT
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, GroupInstance, Tag
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.scaling import (
    KEEP,
    Sizes,
    progress,
    target,
)

GROUP = Group("g", "arn:g", 1, 10, 3)
PAUSED = replace(GROUP, suspended_processes=frozenset({"Launch"}), tags={WANT: Tag("hold@0a1b2c3d", True)})


def instances(*states: str, protected: bool = False) -> tuple[GroupInstance, ...]:
    return tuple(
        GroupInstance(f"i-{number}", state, "Healthy", "a", "t3.medium", "1", protected and state == "InService")
        for number, state in enumerate(states)
    )


@pytest.mark.parametrize(
    ("given", "set_to"),
    [
        ((KEEP, KEEP, 5), (1, 10, 5)),
        ((4, KEEP, KEEP), (4, 10, 4)),
        ((KEEP, 2, KEEP), (1, 2, 2)),
        ((0, 0, KEEP), (0, 0, 0)),
        ((KEEP, 20, 15), (1, 20, 15)),
        ((KEEP, KEEP, 3), (1, 10, 3)),
    ],
)
def test_what_is_not_given_stays_or_moves_into_the_new_limits(
    given: tuple[int, int, int], set_to: tuple[int, int, int]
) -> None:
    assert target(GROUP, Sizes(*given)) == Sizes(*set_to)


@pytest.mark.parametrize(
    ("group", "given", "said"),
    [
        (GROUP, (11, KEEP, KEEP), "Min size 11 would be above max size 10"),
        (GROUP, (KEEP, KEEP, 11), "fleet_scale_desired is 11, outside of 1 to 10"),
        (GROUP, (KEEP, KEEP, 0), "outside of 1 to 10"),
        (replace(GROUP, suspended_processes=frozenset({"Launch"})), (KEEP, KEEP, 4), "resume Launch first"),
        (replace(GROUP, suspended_processes=frozenset({"Terminate"})), (KEEP, KEEP, 2), "resume Terminate first"),
        (PAUSED, (KEEP, KEEP, 4), "the fleet is paused: resume.yml"),
        (replace(GROUP, status="Delete in progress"), (KEEP, KEEP, 2), "is being deleted"),
    ],
)
def test_sizes_that_the_group_could_never_have_are_refused(
    group: Group, given: tuple[int, int, int], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        target(group, Sizes(*given))


def test_a_paused_fleet_may_shrink() -> None:
    assert target(PAUSED, Sizes(KEEP, KEEP, 1)).desired_capacity == 1


@pytest.mark.parametrize(
    ("states", "desired", "done", "summary"),
    [
        (["InService"] * 2, 2, True, "2 InService"),
        (["InService", "Pending:Wait"], 2, False, "1 InService, 1 Pending:Wait"),
        (["InService", "Terminating:Wait"], 1, False, "1 InService, 1 Terminating:Wait"),
        (["InService", "Terminating:Retained", "Standby"], 1, True, "1 InService"),
        ([], 0, True, "no instances"),
    ],
)
def test_it_is_reached_when_so_many_serve_and_none_starts_or_ends(
    states: list[str], desired: int, done: bool, summary: str
) -> None:
    found = replace(GROUP, min_size=0, desired_capacity=desired, instances=instances(*states))
    assert progress(found, Sizes(0, 10, desired), {}) == (done, summary)


def test_busy_instances_that_a_scale_in_waits_for_are_shown() -> None:
    found = replace(GROUP, desired_capacity=1, instances=instances("InService", "InService", protected=True))
    assert progress(found, Sizes(1, 10, 1), {}) == (False, "2 InService, 1 more than desired, of 2 protected instances")


def test_the_jobs_of_draining_instances_are_shown() -> None:
    found = replace(GROUP, desired_capacity=0, instances=instances("Terminating:Wait"))
    assert "i-0 has job 4711" in progress(found, Sizes(0, 10, 0), {"i-0": "4711", "i-9": ""}).summary


def test_where_somebody_else_sets_the_desired_capacity_the_wait_ends() -> None:
    found = replace(GROUP, desired_capacity=7, instances=instances("Pending"))
    assert progress(found, Sizes(1, 10, 3), {}) == (True, "desired capacity is 7 now, somebody else has set it")
