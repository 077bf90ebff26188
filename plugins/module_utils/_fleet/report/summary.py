# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet in short, as plain values: what a report draws. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.instances import began_waiting
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import NotLookedAt, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Group,
    Machine,
    Member,
    Template,
    Unread,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prices import AS_OF, CURRENCY, monthly
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import WorkerRow

DRAINS = 50  # the latest


def picture(v: View) -> dict[str, Any]:
    """`{name, group, region, ..., instances: [...], drains: [...]}`; the parts that nobody could read are empty."""
    group = v.fleet.group if isinstance(v.fleet.group, Group) else None
    template = v.fleet.template if isinstance(v.fleet.template, Template) else None
    machines = {} if isinstance(v.fleet.machines, Unread) else v.fleet.machines
    rows = v.asked_registry.rows if v.asked_registry else ()
    workers = {row.instance_id: row for row in rows if row.instance_id and row.status != "offline"}
    return {
        "name": v.s["fleet_name"],
        "group": v.s["fleet_group_name"],
        "region": v.s["fleet_region"],
        "account": v.fleet.account if isinstance(v.fleet.account, str) else "",
        "endpoint": v.s["fleet_endpoint_url"],
        "at": _stamp(v.now),
        "template_version": str(template.number) if template else "",
        "image": template.image if template else "",
        "desired": group.desired if group else None,
        "min": group.min_size if group else None,
        "max": group.max_size if group else None,
        "hook_timeout_seconds": v.s["fleet_termination_hook_timeout"],
        "drain_limit_seconds": v.s["fleet_drain_limit_seconds"],
        "instances": [_instance(v, m, machines.get(m.id), workers.get(m.id)) for m in group.members] if group else [],
        "drains": _drains(v),
        "monthly_price": _price(v, group, template),
    }


def _price(v: View, group: Group | None, template: Template | None) -> dict[str, Any] | None:
    """What the fleet costs a month, as if as many ran all the time; None where nobody knows."""
    if group is None or template is None:
        return None
    one = monthly(
        v.s["fleet_region"],
        template.type,
        v.s["fleet_volume_type"],
        v.s["fleet_volume_size_gib"],
        v.s["fleet_public_address"],
    )
    if one is None:
        return None
    machines = None if isinstance(v.fleet.machines, Unread) else v.fleet.machines.values()
    billed = len(group.members) if machines is None else sum(m.state in ("pending", "running") for m in machines)
    return {
        "min": round(group.min_size * one.total, 2),
        "max": round(group.max_size * one.total, 2),
        "current": round(billed * one.total, 2),
        "currency": CURRENCY,
        "as_of": AS_OF,
    }


def _instance(v: View, member: Member, machine: Machine | None, worker: WorkerRow | None) -> dict[str, Any]:
    try:
        since = began_waiting(v, member) if member.state.endswith(":Wait") else 0.0
    except NotLookedAt:
        since = 0.0
    return {
        "id": member.id,
        "state": member.state,
        "health": member.health,
        "zone": member.zone,
        "template_version": member.version,
        "image": machine.image if machine else "",
        "type": member.type,
        "launched_at": _stamp(machine.launched) if machine else "",
        "protected": member.protected,
        "state_seconds": round(v.now - since, 1) if since else None,
        "worker": worker
        and {
            "id": worker.worker_id,
            "status": worker.status,
            "busy": bool(worker.job_id),
            "job_id": worker.job_id,
            "heartbeat_age_seconds": worker.heartbeat_age,
            "ip": worker.ip,
        },
    }


def _drains(v: View) -> list[dict[str, Any]]:
    """How long the latest endings took, hook and all."""
    if isinstance(v.fleet.activities, Unread):
        return []
    ended: list[Activity] = [
        a for a in v.fleet.activities if a.description.startswith("Terminating") and a.ended and a.instance
    ]
    return [
        {
            "instance": a.instance,
            "seconds": round(a.ended - a.began, 1),
            "ended_at": _stamp(a.ended),
            "outcome": a.status,
        }
        for a in ended[:DRAINS]
    ]


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
