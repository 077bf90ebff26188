# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§9: what workers need around them."""

from __future__ import annotations

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

QUIET_SECONDS = 3600.0  # CloudWatch's own stamps may lag by that (API_LogStream, lastEventTimestamp)


@check("secret-exists", 9)
def _secret(v: View) -> str:
    name = v.s["fleet_secret_name"]
    if v.fleet.secret is None:
        raise Wrong(
            f"There is no secret {name}: no worker can boot.",
            v.play("foundation.yml", "-e fleet_secret_create=true") + ", then fill it in (§9).",
        )
    if v.secret.being_deleted:
        raise Wrong(
            f"Secret {name} is scheduled for deletion: no worker can boot.",
            f"Keep it: {v.aws(f'secretsmanager restore-secret --secret-id {name}')}",
        )
    return str(name)


@check("secret-rotated", 9, "warning")
def _rotated(v: View) -> Seen:
    changed, serving = v.secret.changed, {m.id for m in v.group.in_state("InService")}
    older = sorted(m.id for m in v.machines.values() if m.id in serving and m.launched < changed)
    if v.refreshing:
        return Seen(
            f"{count(len(older), 'instance')} booted before it changed; a refresh is under way", {"older": older}
        )
    if older:
        raise Wrong(
            f"The secret changed {span(v.now - changed)} ago; {count(len(older), 'instance')} booted before: {named(older)}.",
            "Replace them, so that their workers read it: "
            + v.aws(f"autoscaling start-instance-refresh --auto-scaling-group-name {v.s['fleet_group_name']}"),
            instances=older,
        )
    return Seen(f"changed {span(v.now - changed)} ago" if changed else "never changed")


@check("repository-image", 9)
def _repository(v: View) -> str:
    image = v.told.get("IMAGE", "")
    found = v.fleet.worker_image
    if found == "":
        raise NotLookedAt(f"{image or 'no image'} is in no repository of this account")
    if found is None:
        raise Wrong(
            f"There is no image {image}: no worker can boot.", "Push it, or correct fleet_worker_image.", image=image
        )
    if not isinstance(found, str):
        raise NotLookedAt("it could not be read")
    return found


@check("log-group", 9)
def _logs(v: View) -> str:
    if v.fleet.log_group is None:
        raise Wrong(
            f"There is no log group {v.s['fleet_log_group_name']}: what instances write is lost.",
            v.play("foundation.yml"),
        )
    return v.log_group.name


@check("log-group-receiving", 9, "warning")
def _receiving(v: View) -> str:
    group, serving = v.log_group, {m.id for m in v.group.in_state("InService")}
    longest = max((v.now - m.launched for m in v.machines.values() if m.id in serving), default=0.0)
    if longest < QUIET_SECONDS:
        raise NotLookedAt(f"no instance has served for {span(QUIET_SECONDS)} yet")
    if not group.heard:
        raise Wrong(
            f"{group.name} has no event, though an instance has run for {span(longest)}.",
            "On it: systemctl status amazon-cloudwatch-agent.",
        )
    if v.now - group.heard > QUIET_SECONDS:
        raise Wrong(
            f"{group.name} has heard nothing for {span(v.now - group.heard)}.",
            "On an instance: systemctl status amazon-cloudwatch-agent.",
        )
    return f"last event {span(v.now - group.heard)} ago"
