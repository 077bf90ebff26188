# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§4: the group, and what it was told."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import (
    NotLookedAt,
    Seen,
    View,
    Wrong,
    check,
    count,
)

BOOK = "autoscaling_group.yml"


@check("group-exists", 4)
def _exists(v: View) -> Seen:
    name, region = v.s["fleet_group_name"], v.s["fleet_region"]
    if v.fleet.group is None:
        whose = f"account {v.fleet.account}" if isinstance(v.fleet.account, str) else "this account"
        raise Wrong(
            f"There is no group {name} in {region} of {whose}.",
            v.play("site.yml") + ", or correct fleet_group_name or fleet_region.",
        )
    g = v.group
    return Seen(f"{name}: {g.min_size} to {g.max_size}, desired {g.desired}, {count(len(g.members), 'instance')}")


@check("account", 1)
def _account(v: View) -> str:
    wanted = v.s["fleet_account_id"]
    if not isinstance(v.fleet.account, str):
        raise NotLookedAt("it could not be read")
    if wanted not in ("", v.fleet.account):
        raise Wrong(
            f"These credentials belong to account {v.fleet.account}, but fleet_account_id is {wanted}.",
            "Use the credentials of that account (fleet_profile, AWS_PROFILE), or correct the variable.",
        )
    return v.fleet.account


@check("group-sizes", 4)
def _sizes(v: View) -> str:
    g, wanted = v.group, (v.s["fleet_min_size"], v.s["fleet_max_size"])
    there = (g.min_size, g.max_size)
    if v.s["fleet_size_owner"] == "playbook" and there != wanted:
        raise Wrong(
            f"The group's sizes are {there[0]} to {there[1]}, wanted are {wanted[0]} to {wanted[1]}.",
            v.play(BOOK),
            found=there,
        )
    if g.max_size == 0:
        raise Wrong(
            "The group's max size is 0: no worker can be.",
            v.play(BOOK, "-e fleet_size_owner=playbook") + ", unless it was emptied on purpose.",
        )
    return f"{there[0]} to {there[1]}" + (
        f", VALET's (variables say {wanted[0]} to {wanted[1]})" if there != wanted else ""
    )


@check("group-subnets", 4)
def _subnets(v: View) -> str:
    g, wanted = v.group, frozenset(v.s["fleet_subnet_ids"])
    if gone := g.subnets - {n.id for n in v.subnets}:
        raise Wrong(
            f"The group launches into subnets that are not there: {', '.join(sorted(gone))}.",
            v.play(BOOK),
            gone=sorted(gone),
        )
    if wanted and g.subnets != wanted:
        raise Wrong(
            f"The group uses {', '.join(sorted(g.subnets))}, fleet_subnet_ids says {', '.join(sorted(wanted))}.",
            v.play(BOOK),
            found=sorted(g.subnets),
        )
    zones = sorted({n.zone for n in v.subnets})
    if len(zones) < 2:
        raise Wrong(
            f"All of the group's subnets lie in {', '.join(zones)}: the fleet goes down with that zone.",
            v.play(BOOK),
            found=zones,
        )
    return ", ".join(zones)


@check("group-template", 4)
def _template(v: View) -> str:
    g, wanted = v.group, v.s["fleet_launch_template_name"]
    if g.template != wanted:
        raise Wrong(
            f"The group launches from {g.template or 'no launch template'}, not from {wanted}.",
            v.play(BOOK),
            found=g.template,
        )
    return g.template


@check("group-version", 4)
def _version(v: View) -> str:
    g, wanted = v.group, v.s["fleet_template_version"]
    if wanted == "numbered" and not g.version.isdigit():
        raise Wrong(
            f"The group names its launch template version {g.version or '(none)'}: a refresh could not be rolled back.",
            v.play(BOOK),
        )
    if wanted != "numbered" and g.version != wanted:
        raise Wrong(
            f"The group names its launch template version {g.version}, fleet_template_version says {wanted}.",
            v.play(BOOK),
        )
    return f"version {g.version}"


@check("group-processes", 4)
def _processes(v: View) -> str:
    g, wanted = v.group, set(v.s["fleet_suspended_processes"])
    if runs := wanted - g.suspended:
        why = " It ends busy workers to even out zones." if "AZRebalance" in runs else ""
        raise Wrong(
            f"{', '.join(sorted(runs))} should be suspended and is not.{why}", v.play(BOOK), found=sorted(g.suspended)
        )
    if halted := g.suspended - wanted:
        raise Wrong(
            f"{', '.join(sorted(halted))} is suspended: the group does not do its work.",
            v.play(BOOK),
            found=sorted(g.suspended),
        )
    return f"suspended: {', '.join(sorted(g.suspended)) or 'none'}"


@check("group-metrics", 4, "warning")
def _metrics(v: View) -> str:
    if v.s["fleet_group_metrics"] and not v.group.metrics:
        raise Wrong("The group's metrics are not collected.", v.play(BOOK))
    return "collected" if v.group.metrics else "not collected, as wanted"


def _told(v: View, key: str, wanted: Any, what: str) -> str:
    found = v.group.settings.get(key)
    if found != wanted:
        raise Wrong(f"{what} is {found}, wanted is {wanted}.", v.play(BOOK), found=found, wanted=wanted)
    return f"{found}"


@check("group-termination-policies", 4, "warning")
def _policies(v: View) -> str:
    return _told(v, "TerminationPolicies", list(v.s["fleet_termination_policies"]), "The order in which instances go")


@check("group-health-check", 4, "warning")
def _health(v: View) -> str:
    kind = _told(v, "HealthCheckType", "EC2", "The group's health check")
    grace = _told(
        v,
        "HealthCheckGracePeriod",
        v.s["fleet_health_check_grace_seconds"],
        "The health check's grace period (seconds)",
    )
    return f"{kind}, {grace} s"


@check("group-cooldown", 4, "warning")
def _cooldown(v: View) -> str:
    return _told(v, "DefaultCooldown", v.s["fleet_cooldown_seconds"], "The cooldown (seconds)") + " s"


@check("group-warmup", 4, "warning")
def _warmup(v: View) -> str:
    return (
        _told(v, "DefaultInstanceWarmup", v.s["fleet_warmup_seconds"], "The warmup of new instances (seconds)") + " s"
    )


@check("group-maintenance", 4, "warning")
def _maintenance(v: View) -> str:
    wanted = {
        "MinHealthyPercentage": v.s["fleet_maintenance_min_healthy_percent"],
        "MaxHealthyPercentage": v.s["fleet_maintenance_max_healthy_percent"],
    }
    found = v.group.settings.get("InstanceMaintenancePolicy") or {}
    if dict(found) != wanted:
        raise Wrong(
            f"The maintenance policy is {_bounds(found)}, wanted is {_bounds(wanted)}.", v.play(BOOK), found=dict(found)
        )
    return _bounds(found)


def _bounds(policy: Any) -> str:
    return (
        f"{policy.get('MinHealthyPercentage', '-')} to {policy.get('MaxHealthyPercentage', '-')} %"
        if policy
        else "not set"
    )


@check("group-new-instances", 4, "warning")
def _new(v: View) -> str:
    if v.group.settings.get("NewInstancesProtectedFromScaleIn"):
        raise Wrong(
            "New instances are protected from scale-in, idle ones too: the agent shields busy workers itself.",
            v.play(BOOK),
        )
    return "not protected until they are busy"


@check("group-deletion-protection", 4, "warning")
def _deletion(v: View) -> str:
    found, wanted = v.group.settings.get("DeletionProtection", "none"), v.s["fleet_deletion_protection"]
    if found != wanted:
        raise Wrong(f"The group's deletion protection is {found}, wanted is {wanted}.", v.play(BOOK), found=found)
    return str(found)
