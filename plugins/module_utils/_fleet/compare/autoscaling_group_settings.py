# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""wekruit.ghosthands.autoscaling_group_settings: the same comparison plans a run and decides what the module sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import (
    Comparison,
    Meaning,
    Parameters,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import attribute, camel, tag_map
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import METRICS, Group


def _template(group: Group, _p: Parameters) -> dict[str, str]:
    # By id: a group keeps the id of a template that was deleted, also where another one got its name.
    return {"id": group.template_id, "version": group.template_version}


def _protected(group: Group, p: Parameters) -> list[str]:
    """Those of the named instances that scale-in does not choose: protected, not in service, or gone."""
    bare = {instance.id for instance in group.in_state("InService") if not instance.protected}
    return sorted(set(p["protected_instances"]) - bare)


def _suspended(group: Group, p: Parameters) -> list[str]:
    """While the fleet is paused Launch is suspended as well (pause.yml), and resume.yml alone resumes it."""
    paused = {"Launch"} if group.paused else set[str]()
    return sorted(group.suspended_processes - (paused - {*p["suspended_processes"]}))


def _tags(group: Group, p: Parameters) -> dict[str, str]:
    found = {key: tag for key, tag in group.tags.items() if key in p["tags"]}
    return {key: tag.value if tag.propagated else "(not propagated)" for key, tag in found.items()}


INSTANCES_IN_A_CALL = 50  # SetInstanceProtection
GRANULARITY = "1Minute"  # the only one that EnableMetricsCollection takes
# option (and attribute of Group) -> its key in UpdateAutoScalingGroup, and the form of its value there
SETTINGS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "min_size": ("MinSize", int),
    "max_size": ("MaxSize", int),
    "health_check_type": ("HealthCheckType", str),
    "health_check_grace_seconds": ("HealthCheckGracePeriod", int),
    "cooldown_seconds": ("DefaultCooldown", int),
    "warmup_seconds": ("DefaultInstanceWarmup", int),
    "max_lifetime_seconds": ("MaxInstanceLifetime", int),
    "new_instances_protected": ("NewInstancesProtectedFromScaleIn", bool),
    "maintenance_policy": ("InstanceMaintenancePolicy", camel),
    "deletion_protection": ("DeletionProtection", str),
}
# The same for options whose value differs in form from the attribute.
UPDATES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    **SETTINGS,
    "launch_template": (
        "LaunchTemplate",
        lambda value: {"LaunchTemplateId": value["id"], "Version": str(value["version"])},
    ),
    "subnet_ids": ("VPCZoneIdentifier", ",".join),
    "termination_policies": ("TerminationPolicies", list),
    "on_hook_abandon": (
        "InstanceLifecyclePolicy",
        lambda value: {"RetentionTriggers": {"TerminateHookAbandon": value}},
    ),
}
TAGGED = {"ResourceType": "auto-scaling-group", "PropagateAtLaunch": True}
COMPARISON = Comparison(
    {
        **{name: attribute(name, form) for name, (_key, form) in SETTINGS.items()},
        "name": None,
        "creation": None,
        "launch_template": Meaning(lambda value: {k: str(v) for k, v in value.items()}, _template),
        "subnet_ids": Meaning(sorted, lambda group, p: sorted(group.subnet_ids)),
        "termination_policies": Meaning(list, lambda group, p: list(group.termination_policies)),
        "on_hook_abandon": attribute("on_hook_abandon", str),
        "suspended_processes": Meaning(sorted, _suspended),
        "metrics": Meaning(bool, lambda group, p: group.metrics >= METRICS if p["metrics"] else bool(group.metrics)),
        "tags": Meaning(tag_map, _tags),
        "protected_instances": Meaning(sorted, _protected),
    },
)


def creation(p: Parameters) -> list[tuple[str, dict[str, Any]]]:
    """The calls that create the group: with its hooks, then what CreateAutoScalingGroup has no parameter for."""
    new = p["creation"]
    hooks = [
        {
            "LifecycleHookName": hook["name"],
            "LifecycleTransition": hook["transition"],
            "HeartbeatTimeout": int(hook["heartbeat_timeout"]),
            "DefaultResult": hook["default_result"],
        }
        for hook in new["lifecycle_hooks"]
    ]
    request: dict[str, Any] = {
        "AutoScalingGroupName": p["name"],
        **{key: form(p[name]) for name, (key, form) in UPDATES.items() if name in p},
        "MinSize": new["min_size"],
        "MaxSize": new["max_size"],
        "DesiredCapacity": new["desired_capacity"],
        "LifecycleHookSpecificationList": hooks,
        "Tags": [{**TAGGED, "ResourceId": p["name"], "Key": k, "Value": v} for k, v in p.get("tags", {}).items()],
    }
    if not request.get("MaxInstanceLifetime"):  # 0 removes one, and a new group has none
        request.pop("MaxInstanceLifetime", None)
    bare = {"suspended_processes": [], "metrics": False}
    later = {name: p[name] for name in bare if p.get(name)}
    return [("create_auto_scaling_group", request), *requests(p, bare, later)]


def requests(p: Parameters, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The calls that turn `before` into `after`: only what differs, and never a desired capacity.

    First what protects instances: other subnets would make AZRebalance replace some.
    """
    group, calls = {"AutoScalingGroupName": p["name"]}, list[tuple[str, dict[str, Any]]]()
    bare = sorted({*after.get("protected_instances", ())} - {*before.get("protected_instances", ())})
    for first in range(0, len(bare), INSTANCES_IN_A_CALL):
        request = {"InstanceIds": bare[first : first + INSTANCES_IN_A_CALL], "ProtectedFromScaleIn": True}
        calls.append(("set_instance_protection", {**group, **request}))
    desired, actual = (set(state.get("suspended_processes", ())) for state in (after, before))
    if desired - actual:
        calls.append(("suspend_processes", {**group, "ScalingProcesses": sorted(desired - actual)}))
    if update := {key: form(p[name]) for name, (key, form) in UPDATES.items() if name in after}:
        calls.append(("update_auto_scaling_group", {**group, **update}))
    if actual - desired:
        calls.append(("resume_processes", {**group, "ScalingProcesses": sorted(actual - desired)}))
    if "metrics" in after:
        calls.append(
            ("enable_metrics_collection", {**group, "Granularity": GRANULARITY})
            if after["metrics"]
            else ("disable_metrics_collection", group)
        )
    if "tags" in after:
        common = {**TAGGED, "ResourceId": p["name"]}
        missing = {k: v for k, v in after["tags"].items() if before["tags"].get(k) != v}
        calls.append(
            ("create_or_update_tags", {"Tags": [{**common, "Key": k, "Value": v} for k, v in missing.items()]})
        )
    return calls
