# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A retained instance, which of them an operator wants ended, and how they are listed. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, duration

STATE = "Terminating:Retained"
ALL = ["all"]


class Retained(NamedTuple):
    """One retained instance."""

    id: str
    type: str
    usd_a_day: float
    """0: the price is not known"""
    age_seconds: float | None
    """since its termination began; None: the group's activities do not show that any more"""
    job: str
    """the last one of its worker, by the registry"""
    journal: tuple[str, ...]
    """the last lines, the oldest first"""


def chosen(release: Sequence[str], group: Group) -> list[str]:
    """The instances to end, of those that the operator named. Raises ValueError where one is not retained."""
    retained = [instance.id for instance in group.in_state(STATE)]
    if list(release) == ALL:
        return retained
    if others := [i for i in group.instances if i.id in release and i.id not in retained]:
        states = ", ".join(f"{i.id} is {i.state}" for i in others)
        raise ValueError(
            f"fleet_release names instances that are not retained: {states}. Nothing was ended. "
            f"Name ids of this list, or all: {', '.join(retained) or 'none is retained'}."
        )
    return [id for id in retained if id in release]


def listing(instances: Sequence[Retained], most: int) -> list[str]:
    """The instances as lines of text.

    :param most: fleet_retained_max.
    """
    if not instances:
        return ["No instance is retained."]
    price = sum(one.usd_a_day for one in instances)
    cost = f", {price:.2f} USD a day" if price else ""
    lines = [f"{count(len(instances), 'instance')} retained{cost} (fleet_retained_max: {most})."]
    for one in instances:
        age = f", for {duration(one.age_seconds)}" if one.age_seconds is not None else ""
        job = f", its last job {one.job}" if one.job else ""
        lines.append(f"{one.id}  {one.type or 'unknown type'}{age}{job}")
        lines += [f"    {line}" for line in one.journal or ("no lines of its journal in the log group",)]
    return lines
