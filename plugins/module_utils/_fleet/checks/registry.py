# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§11, worker registration: the registry's rows against the group's instances."""

from __future__ import annotations

from collections import defaultdict

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import (
    count,
    duration,
    first_of,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import WorkerRow

STALE_SECONDS = 300.0  # the registry's own bound; a worker sends a heartbeat every 30 s
NEW_SECONDS = 600.0  # an instance in service may still be pulling its image


@check("registry-reachable", 11)
def _reachable(view: View) -> str:
    """The registry can be read, where fleet_registry_dsn is given."""
    if view.registry_read is None:
        raise Skipped("fleet_registry_dsn is empty")
    if not view.registry_read.reachable:
        raise Failed(
            f"The registry could not be read: {view.registry_read.error}",
            "Correct fleet_registry_dsn, or the database.",
        )
    return f"{count(len(view.registry.rows), 'row')}"


@check("registry-schema", 11)
def _schema(view: View) -> str:
    """Every row of the registry can be understood."""
    if broken := view.registry.broken:
        raise Failed(
            f"{count(len(broken), 'row')} of the registry cannot be understood: {'; '.join(broken[:3])}.",
            "See which worker wrote them.",
            rows=list(broken),
        )
    return "all rows understood"


@check("registry-read-only", 11, "warning")
def _read_only(view: View) -> str:
    """The user of fleet_registry_dsn cannot write to the registry."""
    if view.registry.may_write:
        raise Failed(
            "The registry's user may write to it; this check only reads.",
            "Give fleet_registry_dsn a user with SELECT on gh_worker_registry alone.",
        )
    return "the user may only read"


@check("registry-registered", 11)
def _registered(view: View) -> str:
    """Every instance in service has a registered worker, ten minutes after its launch at the latest."""
    known = {row.instance_id for row in view.registry.rows if row.status != "offline"}
    missing = [
        instance.id
        for instance in view.group.in_state("InService")
        if instance.id not in known
        and (instance.id not in view.instances or view.now - view.instances[instance.id].launched > NEW_SECONDS)
    ]
    if missing:
        raise Failed(
            f"{count(len(missing), 'instance')} in service without a registered worker: {first_of(missing)}.",
            "On the instance, see: ghosthands-agent doctor; docker logs of the worker.",
            instances=missing,
        )
    return f"{len(known)} workers"


@check("registry-beating", 11)
def _heartbeats(view: View) -> str:
    """Every worker of an instance in service sent a heartbeat within the last five minutes."""
    silent = {row.worker_id: row.heartbeat_age for row in _serving(view) if row.heartbeat_age > STALE_SECONDS}
    if silent:
        listed = ", ".join(f"{worker} for {duration(age)}" for worker, age in sorted(silent.items())[:5])
        raise Failed(
            f"{count(len(silent), 'worker')} without a heartbeat: {listed}; they send one every 30 s.",
            "On its instance, see: docker logs of the worker, and its connection to the database.",
            seconds=silent,
        )
    return "all within five minutes"


@check("registry-orphans", 11, "warning")
def _orphans(view: View) -> str:
    """Every worker in the registry that is not offline has an instance in the group."""
    in_group = {instance.id for instance in view.group.instances}
    rows = view.registry.rows
    orphans = [row.worker_id for row in rows if row.status != "offline" and row.instance_id not in in_group]
    if orphans:
        raise Failed(
            f"{count(len(orphans), 'worker')} in the registry without an instance in the group: {first_of(orphans)}. "
            "They exited without deregistering.",
            "VALET marks them offline; where it does not, set their status to offline in gh_worker_registry.",
            workers=orphans,
        )
    return "none"


@check("registry-jobs", 11)
def _jobs(view: View) -> str:
    """No job is run by two workers."""
    workers = defaultdict(list)
    for row in view.registry.rows:
        if row.job_id and row.status != "offline":
            workers[row.job_id].append(row.worker_id)
    if twice := {job: sorted(ids) for job, ids in workers.items() if len(ids) > 1}:
        listed = "; ".join(f"{job} by {', '.join(ids)}" for job, ids in sorted(twice.items())[:3])
        raise Failed(
            f"{count(len(twice), 'job')} run by two workers: {listed}.",
            "Stop all but one of them: each writes to the same application.",
            jobs=twice,
        )
    return count(len(workers), "job")


@check("registry-address", 11, "warning")
def _address(view: View) -> str:
    """Every worker of an instance in service has an address in the registry."""
    if unknown := [row.worker_id for row in _serving(view) if row.ip in (None, "", "unknown")]:
        raise Failed(
            f"{count(len(unknown), 'worker')} without an address: {first_of(unknown)}. VALET cannot reach them.",
            "On its instance, see: ghosthands-agent doctor (metadata). The agent writes EC2_IP at boot.",
            workers=unknown,
        )
    return "all known"


@check("registry-status", 11, "warning")
def _status(view: View) -> str:
    """No worker is draining while its instance is in service."""
    if draining := [row.worker_id for row in _serving(view) if row.status == "draining"]:
        raise Failed(
            f"{count(len(draining), 'worker')} draining while the instance is in service: {first_of(draining)}.",
            "On its instance, restart ghosthands-boot.",
            workers=draining,
        )
    return "agrees with the group"


def _serving(view: View) -> list[WorkerRow]:
    serving = {instance.id for instance in view.group.in_state("InService")}
    return [row for row in view.registry.rows if row.instance_id in serving and row.status != "offline"]
