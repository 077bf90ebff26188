# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§4: the Auto Scaling group and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check, present
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import METRICS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, duration

PLAYBOOK = "autoscaling_group.yml"


@check("group-exists", 4)
def _exists(view: View) -> str:
    """The group exists."""
    name, region = view.settings["fleet_group_name"], view.settings["fleet_region"]
    if view.fleet.group is None:
        account = f"account {view.fleet.account}" if isinstance(view.fleet.account, str) else "this account"
        raise Failed(
            f"There is no group {name} in {region} of {account}.",
            view.run("site.yml", text="Correct fleet_group_name or fleet_region, or create it:"),
        )
    group = view.group
    instances = count(len(group.instances), "instance")
    return f"{name}: {group.min_size} to {group.max_size}, desired {group.desired_capacity}, {instances}"


@check("group-sizes", 4)
def _sizes(view: View) -> str:
    """The group's sizes are the variables' (fleet_size_owner: playbook), and its max size is not 0."""
    found = (view.group.min_size, view.group.max_size)
    desired = (view.settings["fleet_min_size"], view.settings["fleet_max_size"])
    if view.settings["fleet_size_owner"] == "playbook" and found != desired:
        raise Failed(
            f"The group's sizes are {found[0]} to {found[1]}, but should be {desired[0]} to {desired[1]}.",
            view.run(PLAYBOOK),
            found=found,
        )
    if found[1] == 0:
        raise Failed(
            "The group's max size is 0: it can have no worker.",
            view.run(PLAYBOOK, "-e fleet_size_owner=playbook", text="Unless that is on purpose, run"),
        )
    others = f", VALET's (variables say {desired[0]} to {desired[1]})" if found != desired else ""
    return f"{found[0]} to {found[1]}{others}"


@check("group-subnets", 4)
def _subnets(view: View) -> str:
    """The group's subnets exist, are the variables' and lie in at least two zones."""
    found, desired = view.group.subnet_ids, frozenset(view.settings["fleet_subnet_ids"])
    if gone := sorted(found - {subnet.id for subnet in view.subnets}):
        raise Failed(
            f"The group launches into subnets that do not exist: {', '.join(gone)}.", view.run(PLAYBOOK), gone=gone
        )
    if desired and found != desired:
        raise Failed(
            f"The group uses {', '.join(sorted(found))}, fleet_subnet_ids says {', '.join(sorted(desired))}.",
            view.run(PLAYBOOK),
            found=sorted(found),
        )
    zones = sorted({subnet.zone for subnet in view.subnets})
    if len(zones) < 2:
        raise Failed(
            f"All of the group's subnets lie in {', '.join(zones)}: the fleet goes down with that zone.",
            view.run(PLAYBOOK),
            found=zones,
        )
    return ", ".join(zones)


@check("group-template", 4)
def _template(view: View) -> str:
    """The group launches from the launch template of the fleet's name, compared by id: a name can get another one."""
    name, group = view.settings["fleet_launch_template_name"], view.group
    desired = present(view.fleet.template_id, "there is no launch template")
    if group.template_id == desired:
        return f"{name} ({desired})"
    if group.template_name == name:
        found = f"{group.template_id}, a deleted template of this name"
        consequence = ": no instance can launch"
    else:
        found, consequence = group.template_name or "no launch template", ""
    raise Failed(
        f"The group launches from {found}, not from {name} ({desired}){consequence}.",
        view.run(PLAYBOOK),
        found=group.template_id,
    )


@check("group-version", 4)
def _version(view: View) -> str:
    """The group names its launch template version as fleet_template_version says."""
    found, desired = view.group.template_version, view.settings["fleet_template_version"]
    if desired == "numbered" and not found.isdigit():
        raise Failed(
            f"The group names its launch template version {found or '(none)'}: a refresh could not be rolled back.",
            view.run(PLAYBOOK),
        )
    if desired not in ("numbered", found):
        raise Failed(
            f"The group names its launch template version {found}, fleet_template_version says {desired}.",
            view.run(PLAYBOOK),
        )
    return f"version {found}"


@check("group-processes", 4)
def _processes(view: View) -> str:
    """Exactly the processes of fleet_suspended_processes are suspended; Launch too while the fleet is paused."""
    found, desired = view.group.suspended_processes, set(view.settings["fleet_suspended_processes"])
    desired |= {"Launch"} if view.group.paused else set()
    if running := desired - found:
        reason = " It terminates busy workers to balance zones." if "AZRebalance" in running else ""
        raise Failed(
            f"{', '.join(sorted(running))} should be suspended and is not.{reason}",
            view.run(PLAYBOOK),
            found=sorted(found),
        )
    if halted := found - desired:
        raise Failed(
            f"{', '.join(sorted(halted))} is suspended: the group does not do its work.",
            view.run(PLAYBOOK),
            found=sorted(found),
        )
    return f"suspended: {', '.join(sorted(found)) or 'none'}"


@check("group-metrics", 4, "warning")
def _metrics(view: View) -> str:
    """The group's metrics are collected, every one of them, where fleet_group_metrics says so."""
    if not view.settings["fleet_group_metrics"]:
        return "collected" if view.group.metrics else "not collected, as the variables say"
    if missing := sorted(METRICS - view.group.metrics):
        what = f"not collected: {', '.join(missing)}" if view.group.metrics else "not collected"
        raise Failed(
            f"The group's metrics are {what}.",
            view.run(PLAYBOOK),
            missing=missing,
        )
    return "collected"


@check("group-lifetime", 4, "warning")
def _lifetime(view: View) -> str:
    """The group replaces instances by age exactly as fleet_max_lifetime_days says."""
    seconds, desired = view.group.max_lifetime_seconds, view.settings["fleet_max_lifetime_days"] * 86400
    if seconds != desired:
        after = f"after {duration(seconds)}" if seconds else "at no age"
        raise Failed(
            f"The group replaces every instance {after}, but should "
            f"{f'after {duration(desired)}' if desired else 'not do that'} (fleet_max_lifetime_days).",
            view.run(PLAYBOOK),
            seconds=seconds,
        )
    return f"replaced after {duration(seconds)}" if seconds else "unlimited"


def _setting(view: View, found: Any, desired: Any, what: str) -> str:
    if found != desired:
        raise Failed(f"{what} is {found}, but should be {desired}.", view.run(PLAYBOOK), found=found, wanted=desired)
    return f"{found}"


@check("group-termination-policies", 4, "warning")
def _policies(view: View) -> str:
    """The termination policies are fleet_termination_policies."""
    desired = list(view.settings["fleet_termination_policies"])
    return _setting(view, list(view.group.termination_policies), desired, "The list of termination policies")


@check("group-health-check", 4, "warning")
def _health(view: View) -> str:
    """The health check is EC2's, with the grace period of fleet_health_check_grace_seconds."""
    kind = _setting(view, view.group.health_check_type, "EC2", "The group's health check")
    desired = view.settings["fleet_health_check_grace_seconds"]
    found = view.group.health_check_grace_seconds
    grace = _setting(view, found, desired, "The health check's grace period (seconds)")
    return f"{kind}, {grace} s"


@check("group-cooldown", 4, "warning")
def _cooldown(view: View) -> str:
    """The cooldown is fleet_cooldown_seconds."""
    desired = view.settings["fleet_cooldown_seconds"]
    return _setting(view, view.group.cooldown_seconds, desired, "The cooldown (seconds)") + " s"


@check("group-warmup", 4, "warning")
def _warmup(view: View) -> str:
    """The warmup of new instances is fleet_warmup_seconds."""
    desired = view.settings["fleet_warmup_seconds"]
    return _setting(view, view.group.warmup_seconds, desired, "The warmup of new instances (seconds)") + " s"


@check("group-maintenance", 4, "warning")
def _maintenance(view: View) -> str:
    """The instance maintenance policy is the variables'."""
    desired = {
        "MinHealthyPercentage": view.settings["fleet_maintenance_min_healthy_percent"],
        "MaxHealthyPercentage": view.settings["fleet_maintenance_max_healthy_percent"],
    }
    found = dict(view.group.maintenance_policy or {})
    if found != desired:
        raise Failed(
            f"The maintenance policy is {_bounds(found)}, but should be {_bounds(desired)}.",
            view.run(PLAYBOOK),
            found=found,
        )
    return _bounds(found)


def _bounds(policy: Mapping[str, Any]) -> str:
    least, most = (policy.get(key, "-") for key in ("MinHealthyPercentage", "MaxHealthyPercentage"))
    return f"{least} to {most} %" if policy else "not set"


@check("group-new-instances", 4, "warning")
def _new_instances(view: View) -> str:
    """New instances are not protected from scale-in: the agent protects busy ones."""
    if view.group.new_instances_protected:
        raise Failed(
            "New instances are protected from scale-in, idle ones too: the agent protects busy workers itself.",
            view.run(PLAYBOOK),
        )
    return "not protected until they are busy"


@check("group-deletion-protection", 4, "warning")
def _deletion_protection(view: View) -> str:
    """The group's deletion protection is fleet_deletion_protection."""
    found = view.group.deletion_protection
    desired = view.settings["fleet_deletion_protection"]
    if found != desired:
        raise Failed(
            f"The group's deletion protection is {found}, but should be {desired}.", view.run(PLAYBOOK), found=found
        )
    return found


@check("group-warm-pool", 4, "warning")
def _warm_pool(view: View) -> str:
    """The group has no warm pool: its instances wait, billed, and no variable of the fleet describes it.

    DescribeAutoScalingGroups names it (API_AutoScalingGroup, WarmPoolConfiguration).
    """
    if view.group.warm_pool:
        name = view.group.name
        raise Failed(
            f"The group has a warm pool, whose instances are {view.group.warm_pool}: they run no worker before they "
            "are in service, and are billed meanwhile.",
            view.aws("Unless it is on purpose:", f"autoscaling delete-warm-pool --auto-scaling-group-name {name}"),
            state=view.group.warm_pool,
        )
    return "none"
