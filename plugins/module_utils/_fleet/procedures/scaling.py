# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set a group's sizes by hand, and wait until it has them. Standard library only."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, listed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.drain import RETAINED
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress

KEEP = -1
"""a size that is not given"""


class Sizes(NamedTuple):
    """A group's sizes."""

    min_size: int
    max_size: int
    desired_capacity: int

    def __str__(self) -> str:
        return f"{self.min_size} to {self.max_size}, desired {self.desired_capacity}"


def sizes_of(group: Group) -> Sizes:
    """As they are."""
    return Sizes(group.min_size, group.max_size, group.desired_capacity)


def target(group: Group, given: Sizes) -> Sizes:
    """The sizes to set. Raises ValueError where AWS would refuse them, or where the group could never have them.

    UpdateAutoScalingGroup moves a desired capacity that is not given into new limits; that is computed here, so that it
    is in the plan.

    :param given: KEEP for each that stays.
    """
    now = sizes_of(group)
    low, high = (
        old if new == KEEP else new for new, old in ((given.min_size, now.min_size), (given.max_size, now.max_size))
    )
    if low > high:
        raise ValueError(
            f"Min size {low} would be above max size {high}: give fleet_scale_min and fleet_scale_max together."
        )
    desired = min(max(now.desired_capacity, low), high) if given.desired_capacity == KEEP else given.desired_capacity
    if not low <= desired <= high:
        raise ValueError(
            f"fleet_scale_desired is {desired}, outside of {low} to {high}: set fleet_scale_min or fleet_scale_max."
        )
    process = "Launch" if desired > now.desired_capacity else "Terminate" if desired < now.desired_capacity else ""
    if process in group.suspended_processes:
        why = "the fleet is paused: resume.yml" if group.paused and process == "Launch" else f"resume {process} first"
        raise ValueError(f"{group.name} has {process} suspended, so it would never have {desired} instances ({why}).")
    if group.status:
        raise ValueError(f"{group.name} is being deleted ({group.status}).")
    return Sizes(low, high, desired)


def progress(group: Group, goal: Sizes, jobs: dict[str, str]) -> Progress:
    """How far it has come; done also where somebody else has set another desired capacity meanwhile.

    :param jobs: instance -> the job that its worker has, as far as the registry knows.
    """
    if group.desired_capacity != goal.desired_capacity:
        return Progress(True, f"desired capacity is {group.desired_capacity} now, somebody else has set it")
    there = [one for one in group.instances if one.state not in ("Standby", RETAINED)]
    states = Counter(one.state for one in there)
    words = [f"{number} {state}" for state, number in sorted(states.items())]
    if (surplus := states["InService"] - goal.desired_capacity) > 0:
        protected = sum(one.protected for one in group.in_state("InService"))
        words.append(f"{surplus} more than desired, of {count(protected, 'protected instance')}")
    draining = [
        f"{one.id} has job {jobs[one.id]}" for one in there if one.state == "Terminating:Wait" and jobs.get(one.id)
    ]
    words += [listed(draining[:5])] if draining else []
    done = len(there) == states["InService"] == goal.desired_capacity
    return Progress(done, ", ".join(words) or "no instances")
