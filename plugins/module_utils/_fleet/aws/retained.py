# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's retained instances, with what is known of each. Asks through a given `call`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling, other_services
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prices import hourly
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.retained import STATE, Retained

ACTIVITIES = 100  # one page, the newest first
LINES = 5
"""of a journal: the last ones of an agent that gave up say why"""


def retained(
    call: Call, settings: Mapping[str, Any], group: Group, registry: Registry | None, now: float
) -> list[Retained]:
    """The group's retained instances, the oldest first. Raises AwsError, but not where logs may not be read."""
    found = group.in_state(STATE)
    activities = autoscaling.activities(call, group.name, ACTIVITIES) if found else ()
    instances = []
    for instance in found:
        began = max((a.started for a in activities if a.instance == instance.id), default=None)
        row = registry.last_worker(instance.id) if registry else None
        try:
            lines = other_services.last_events(call, settings["fleet_log_group_name"], f"{instance.id}-journal", LINES)
        except AwsError as error:
            lines = (f"The journal could not be read: {error}",)
        instances.append(
            Retained(
                id=instance.id,
                type=instance.type,
                usd_a_day=round(24 * (hourly(settings["fleet_region"], instance.type) or 0.0), 2),
                age_seconds=None if began is None else now - began,
                job=(row.job_id if row else None) or "",
                journal=lines,
            )
        )
    return sorted(instances, key=lambda one: -(one.age_seconds or 0.0))
