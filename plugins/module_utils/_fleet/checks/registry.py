# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§11, worker registration: the registry's rows against the group's instances."""

from __future__ import annotations

from collections import defaultdict

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import (
    NotLookedAt,
    Seen,
    View,
    Wrong,
    check,
    count,
    named,
    span,
)

STALE_SECONDS = 300.0  # the registry's own bound; a worker beats every 30 s
NEW_SECONDS = 600.0  # an instance that serves may still be pulling its image


@check("registry-reachable", 11)
def _reachable(v: View) -> str:
    if v.asked_registry is None:
        raise NotLookedAt("fleet_registry_dsn is empty")
    if not v.asked_registry.reachable:
        raise Wrong(
            f"The registry could not be read: {v.asked_registry.error}", "Correct fleet_registry_dsn, or the database."
        )
    return f"{count(len(v.registry.rows), 'row')}"


@check("registry-schema", 11)
def _schema(v: View) -> str:
    if broken := v.registry.broken:
        raise Wrong(
            f"{count(len(broken), 'row')} of the registry cannot be understood: {'; '.join(broken[:3])}.",
            "See which worker wrote them.",
            rows=list(broken),
        )
    return "all rows understood"


@check("registry-read-only", 11, "warning")
def _read_only(v: View) -> str:
    if v.registry.may_write:
        raise Wrong(
            "The registry's user may write to it; this check only reads.",
            "Give fleet_registry_dsn a user with SELECT on gh_worker_registry alone.",
        )
    return "the user may only read"


@check("registry-registered", 11)
def _registered(v: View) -> Seen:
    known = {row.instance_id for row in v.registry.rows if row.status != "offline"}
    missing = [
        m.id
        for m in v.group.in_state("InService")
        if m.id not in known and (m.id not in v.machines or v.now - v.machines[m.id].launched > NEW_SECONDS)
    ]
    if missing:
        raise Wrong(
            f"{count(len(missing), 'instance')} in service without a registered worker: {named(missing)}.",
            "On it: `ghosthands-agent doctor`, then docker logs of the worker.",
            instances=missing,
        )
    return Seen(f"{len(known)} workers")


@check("registry-beating", 11)
def _beating(v: View) -> str:
    serving = {m.id for m in v.group.in_state("InService")}
    silent = {
        r.worker_id: r.heartbeat_age
        for r in v.registry.rows
        if r.instance_id in serving and r.status != "offline" and r.heartbeat_age > STALE_SECONDS
    }
    if silent:
        said = ", ".join(f"{worker} for {span(age)}" for worker, age in sorted(silent.items())[:5])
        raise Wrong(
            f"{count(len(silent), 'worker')} silent: {said}; they beat every 30 s.",
            "On its instance: docker logs of the worker, its way to the database.",
            seconds=silent,
        )
    return "all within five minutes"


@check("registry-orphans", 11, "warning")
def _orphans(v: View) -> str:
    members = {m.id for m in v.group.members}
    left = [r.worker_id for r in v.registry.rows if r.status != "offline" and r.instance_id not in members]
    if left:
        raise Wrong(
            f"{count(len(left), 'worker')} in the registry without an instance in the group: {named(left)}. They ended without saying so.",
            "VALET marks them offline; where it does not, set their status to offline in gh_worker_registry.",
            workers=left,
        )
    return "none"


@check("registry-jobs", 11)
def _jobs(v: View) -> str:
    workers = defaultdict(list)
    for row in v.registry.rows:
        if row.job_id and row.status != "offline":
            workers[row.job_id].append(row.worker_id)
    if twice := {job: sorted(who) for job, who in workers.items() if len(who) > 1}:
        said = "; ".join(f"{job} by {', '.join(who)}" for job, who in sorted(twice.items())[:3])
        raise Wrong(
            f"{count(len(twice), 'job')} run by two workers: {said}.",
            "Stop all but one of them: each writes to the same application.",
            jobs=twice,
        )
    return count(len(workers), "job")


@check("registry-address", 11, "warning")
def _address(v: View) -> str:
    members = {m.id for m in v.group.in_state("InService")}
    if unknown := [
        r.worker_id
        for r in v.registry.rows
        if r.instance_id in members and r.status != "offline" and r.ip in (None, "", "unknown")
    ]:
        raise Wrong(
            f"{count(len(unknown), 'worker')} without an address: {named(unknown)}. VALET cannot reach them.",
            "On its instance: `ghosthands-agent doctor` (metadata); the agent writes EC2_IP at boot.",
            workers=unknown,
        )
    return "all known"


@check("registry-status", 11, "warning")
def _status(v: View) -> str:
    state = {m.id: m.state for m in v.group.members}
    odd = {}
    for row in v.registry.rows:
        there = state.get(row.instance_id or "")
        if there == "InService" and row.status == "draining":
            odd[row.worker_id] = "draining, but its instance is to stay"
    if odd:
        said = "; ".join(f"{worker} is {what}" for worker, what in sorted(odd.items())[:5])
        raise Wrong(
            f"{count(len(odd), 'worker')} of another opinion than the group: {said}.",
            "On its instance: start ghosthands-boot again.",
            workers=odd,
        )
    return "agrees with the group"
