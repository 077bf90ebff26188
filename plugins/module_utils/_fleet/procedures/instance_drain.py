# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""End one instance through its termination hook, so that its agent drains it. Standard library only."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, GroupInstance
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.drain import RETAINED
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress


def member(group: Group, id: str) -> GroupInstance | None:
    """The instance, while it is in the group."""
    return next((one for one in group.instances if one.id == id), None)


def is_ending(one: GroupInstance) -> bool:
    """Whether it is on its way out already."""
    return one.state.startswith("Terminat")


def refusal(group: Group, one: GroupInstance, *, replace: bool, hook: bool, agent: bool) -> str:
    """Why it must not be ended like this, and what to do; empty: it may be.

    Scale-in protection is no reason: it does not prevent TerminateInstanceInAutoScalingGroup (EC2 Auto Scaling's user
    guide, "Use instance scale-in protection"), and the hook drains a busy worker.

    :param hook: whether the group has its termination hook.
    :param agent: whether the instance has the agent.
    """
    if one.state == RETAINED:
        return (
            f"{one.id} is retained, since a job may be lost on it: release_retained.yml shows its journal and ends it."
        )
    if is_ending(one):
        return ""
    if one.state not in ("InService", "Standby"):
        return f"{one.id} is {one.state}: wait until it is in service, then run this again."
    if not hook:
        return (
            f"{group.name} has no termination hook, so a job on {one.id} would be lost: run lifecycle_hook.yml first."
        )
    if not agent:
        return f"{one.id} has no agent that drains it: replace_unmanaged.yml replaces such instances."
    if not replace and one.state == "InService" and group.desired_capacity <= group.min_size:
        return (
            f"Without a replacement {group.name} would have fewer instances than its min size ({group.min_size}): "
            "leave fleet_drain_replace true, or lower the min size (scale.yml -e fleet_scale_min=N)."
        )
    if replace and "Launch" in group.suspended_processes:
        why = "the fleet is paused (resume.yml)" if group.paused else "Launch is suspended"
        return f"{one.id} would not be replaced, as {why}. To end it all the same: -e fleet_drain_replace=false"
    return ""


def progress(group: Group, id: str, *, replace: bool, job: Callable[[], str]) -> Progress:
    """How far it has come: the instance gone, and where it is replaced, as many in service as desired.

    :param job: what the registry knows of its job; asked while the instance drains.
    """
    one, serving = member(group, id), len(group.in_state("InService"))
    if one is not None and one.state == RETAINED:
        return Progress(True, f"{id} is retained: its drain has lost a job, or its agent has failed")
    if one is not None:
        return Progress(False, f"{id} is {one.state}, {job()}")
    if replace and serving < group.desired_capacity and "Launch" not in group.suspended_processes:
        return Progress(False, f"{id} has ended; {serving} of {group.desired_capacity} in service")
    return Progress(True, f"{id} has ended")
