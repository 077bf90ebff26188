# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Emptying a group before it is deleted: what is left in it, and what has to be done about it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

RETAINED = "Terminating:Retained"


class Rest(NamedTuple):
    """What a group still holds."""

    instances: int
    retained: tuple[str, ...]
    """kept after a hook was abandoned; they do not count and do not go by themselves"""
    protected: tuple[str, ...]
    """shielded from scale-in; losing the shield costs no job, the termination hook still drains the worker"""
    standby: tuple[str, ...]
    """not counted in desired capacity, so no scale-in reaches them"""
    says: str

    @property
    def drained(self) -> bool:
        """Nothing is left that goes by itself."""
        return self.instances == len(self.retained)


def rest(instances: Iterable[Mapping[str, Any]]) -> Rest:
    """What DescribeAutoScalingGroups' `Instances` come to."""
    found = sorted(instances, key=lambda i: i["InstanceId"])
    states = Counter(i["LifecycleState"] for i in found)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))

    def those(which: Any) -> tuple[str, ...]:
        return tuple(i["InstanceId"] for i in found if which(i))

    return Rest(
        instances=len(found),
        retained=those(lambda i: i["LifecycleState"] == RETAINED),
        protected=those(lambda i: i.get("ProtectedFromScaleIn") and i["LifecycleState"] == "InService"),
        standby=those(lambda i: i["LifecycleState"] == "Standby"),
        says=told or "no instances",
    )
