# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet in short, as plain values: what a report shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Fleet,
    Group,
    GroupInstance,
    Instance,
    LaunchTemplate,
    Unread,
    waiting_since,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prices import AS_OF, CURRENCY, monthly
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry, WorkerRow

DRAINS = 50  # the latest
Settings = Mapping[str, Any]


def summary(settings: Settings, fleet: Fleet, registry: Registry | None, now: float) -> dict[str, Any]:
    """`{name, group, region, ..., instances: [...], drains: [...]}`; the parts that could not be read are empty.

    :param registry: None: it was not read.
    :param now: seconds since the epoch.
    """
    group = fleet.group if isinstance(fleet.group, Group) else None
    template = fleet.template if isinstance(fleet.template, LaunchTemplate) else None
    return {
        "name": settings["fleet_name"],
        "group": settings["fleet_group_name"],
        "region": settings["fleet_region"],
        "account": fleet.account if isinstance(fleet.account, str) else "",
        "endpoint": settings["fleet_endpoint_url"],
        "at": _timestamp(now),
        "template_version": str(template.version) if template else "",
        "image": template.image if template else "",
        "desired": group.desired_capacity if group else None,
        "min": group.min_size if group else None,
        "max": group.max_size if group else None,
        "hook_timeout_seconds": settings["fleet_termination_hook_timeout"],
        "drain_limit_seconds": settings["fleet_drain_limit_seconds"],
        "instances": _instances(group, fleet, registry, now) if group else [],
        "drains": _drains(_activities(fleet)),
        "monthly_price": _price(settings, fleet, group, template),
    }


def _price(
    settings: Settings, fleet: Fleet, group: Group | None, template: LaunchTemplate | None
) -> dict[str, Any] | None:
    """What the fleet costs a month, if its instances run all the time. None: unknown."""
    if group is None or template is None:
        return None
    one = monthly(settings, template.type)
    if one is None:
        return None
    instances = None if isinstance(fleet.instances, Unread) else fleet.instances.values()
    billed = len(group.instances) if instances is None else sum(m.state in ("pending", "running") for m in instances)
    return {
        "min": round(group.min_size * one.total, 2),
        "max": round(group.max_size * one.total, 2),
        "current": round(billed * one.total, 2),
        "currency": CURRENCY,
        "as_of": AS_OF,
    }


def _instances(group: Group, fleet: Fleet, registry: Registry | None, now: float) -> list[dict[str, Any]]:
    instances = {} if isinstance(fleet.instances, Unread) else fleet.instances
    waiting = {
        instance.id: waiting_since(_activities(fleet), instance.id)
        for instance in group.instances
        if instance.state.endswith(":Wait")
    }
    return [
        _instance(instance, instances.get(instance.id), registry.worker(instance.id) if registry else None)
        | {"state_seconds": round(now - since, 1) if (since := waiting.get(instance.id)) else None}
        for instance in group.instances
    ]


def _instance(instance: GroupInstance, of_ec2: Instance | None, worker: WorkerRow | None) -> dict[str, Any]:
    return {
        "id": instance.id,
        "state": instance.state,
        "health": instance.health,
        "zone": instance.zone,
        "template_version": instance.template_version,
        "image": of_ec2.image if of_ec2 else "",
        "type": instance.type,
        "launched_at": _timestamp(of_ec2.launched) if of_ec2 else "",
        "protected": instance.protected,
        "worker": _worker(worker) if worker else None,
    }


def _worker(row: WorkerRow) -> dict[str, Any]:
    return {
        "id": row.worker_id,
        "status": row.status,
        "busy": bool(row.job_id),
        "job_id": row.job_id,
        "heartbeat_age_seconds": row.heartbeat_age,
        "ip": row.ip,
    }


def _activities(fleet: Fleet) -> tuple[Activity, ...]:
    return () if isinstance(fleet.activities, Unread) else fleet.activities


def _drains(activities: tuple[Activity, ...]) -> list[dict[str, Any]]:
    """How long the latest terminations took, hook included."""
    terminated = [a for a in activities if a.description.startswith("Terminating") and a.ended and a.instance]
    return [
        {
            "instance": activity.instance,
            "seconds": round(activity.ended - activity.started, 1),
            "ended_at": _timestamp(activity.ended),
            "outcome": activity.status,
        }
        for activity in terminated[:DRAINS]
    ]


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
