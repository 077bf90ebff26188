# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left in a group that is drained before it is deleted, and why a drain would never end. Pure."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group

RETAINED = "Terminating:Retained"


class Remaining(NamedTuple):
    """The instances that a group still has."""

    instances: int
    retained: tuple[str, ...]
    """kept after a hook was abandoned: not counted in desired capacity, and never terminated by the group"""
    protected: tuple[str, ...]
    """from scale-in. Without the protection no job is lost: the termination hook still drains the worker"""
    standby: tuple[str, ...]
    """not counted in desired capacity, so scale-in never chooses them"""
    summary: str

    @property
    def drained(self) -> bool:
        """Nothing is left that the group terminates."""
        return self.instances == len(self.retained)


def cannot_end(group: Group, scaled_in: bool = False) -> str:
    """Why a drain of the group never ends, and what to do; empty: nothing is known that prevents its end.

    While Terminate is suspended the group terminates no instance in service (EC2 Auto Scaling's user guide,
    "Considerations for suspending processes").

    :param scaled_in: whether desired capacity was set to 0.
    """
    if "Terminate" in group.suspended_processes and group.in_state("InService"):
        return (
            f"{group.name} has Terminate suspended, so it terminates no instance in service. Resume it: "
            f"`aws autoscaling resume-processes --scaling-processes Terminate --auto-scaling-group-name {group.name}`"
        )
    if scaled_in and group.desired_capacity:
        return (
            f"Somebody else set {group.name}'s desired capacity to {group.desired_capacity} meanwhile: stop VALET "
            "(AUTOSCALE_ASG_ENABLED), or whatever scales the group, then run this again."
        )
    return ""


def remaining(group: Group | None) -> Remaining:
    """What is left in the group; nothing where there is no group."""
    instances = group.instances if group else ()
    states = Counter(instance.state for instance in instances)
    counts = (f"{count} {state}" for state, count in sorted(states.items()))
    return Remaining(
        instances=len(instances),
        retained=tuple(i.id for i in instances if i.state == RETAINED),
        protected=tuple(i.id for i in instances if i.protected and i.state == "InService"),
        standby=tuple(i.id for i in instances if i.state == "Standby"),
        summary=", ".join(counts) or "no instances",
    )
