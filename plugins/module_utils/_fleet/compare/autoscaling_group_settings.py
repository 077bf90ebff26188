# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""wekruit.ghosthands.autoscaling_group_settings, ours: the same comparison plans a run and decides what the module sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import camel, same, tag_map
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import (
    Call,
    Meaning,
    Parameters,
    Resource,
)


def _read(call: Call, p: Parameters) -> Any:
    return next(
        iter(
            call("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", AutoScalingGroupNames=[p["name"]])
        ),
        None,
    )


def _template(raw: Mapping[str, Any], _p: Parameters) -> dict[str, str]:
    found = raw.get("LaunchTemplate") or {}
    return {"name": found.get("LaunchTemplateName", ""), "version": found.get("Version", "")}


def _tags(raw: Mapping[str, Any], p: Parameters) -> dict[str, str]:
    return {
        t["Key"]: t.get("Value", "") if t.get("PropagateAtLaunch") else "(not propagated)"
        for t in raw.get("Tags", [])
        if t["Key"] in p["tags"]
    }


RESOURCE = Resource(
    read=_read,
    says={
        "name": None,
        "min_size": same("MinSize", int),
        "max_size": same("MaxSize", int),
        "launch_template": Meaning(lambda value: {k: str(v) for k, v in value.items()}, _template),
        "subnet_ids": Meaning(sorted, lambda raw, p: sorted(filter(None, raw.get("VPCZoneIdentifier", "").split(",")))),
        "health_check_type": same("HealthCheckType"),
        "health_check_grace_seconds": same("HealthCheckGracePeriod", int),
        "cooldown_seconds": same("DefaultCooldown", int),
        "warmup_seconds": same("DefaultInstanceWarmup", int),
        "termination_policies": same("TerminationPolicies", list),
        "new_instances_protected": same("NewInstancesProtectedFromScaleIn", bool, default=False),
        "maintenance_policy": same("InstanceMaintenancePolicy", camel),
        "deletion_protection": same("DeletionProtection", str, default="none"),
        "on_hook_abandon": Meaning(
            str,
            lambda raw, p: (
                raw.get("InstanceLifecyclePolicy", {})
                .get("RetentionTriggers", {})
                .get("TerminateHookAbandon", "terminate")
            ),
        ),
        "suspended_processes": Meaning(
            sorted, lambda raw, p: sorted(s["ProcessName"] for s in raw.get("SuspendedProcesses", []))
        ),
        "metrics": Meaning(bool, lambda raw, p: bool(raw.get("EnabledMetrics"))),
        "tags": Meaning(tag_map, _tags),
    },
)

GRANULARITY = "1Minute"  # the only one that EnableMetricsCollection takes
UPDATES: Mapping[
    str, tuple[str, Callable[[Any], Any]]
] = {  # parameter -> its key in UpdateAutoScalingGroup, and the form of its value there
    "min_size": ("MinSize", int),
    "max_size": ("MaxSize", int),
    "launch_template": (
        "LaunchTemplate",
        lambda value: {"LaunchTemplateName": value["name"], "Version": str(value["version"])},
    ),
    "subnet_ids": ("VPCZoneIdentifier", ",".join),
    "health_check_type": ("HealthCheckType", str),
    "health_check_grace_seconds": ("HealthCheckGracePeriod", int),
    "cooldown_seconds": ("DefaultCooldown", int),
    "warmup_seconds": ("DefaultInstanceWarmup", int),
    "termination_policies": ("TerminationPolicies", list),
    "new_instances_protected": ("NewInstancesProtectedFromScaleIn", bool),
    "maintenance_policy": ("InstanceMaintenancePolicy", camel),
    "deletion_protection": ("DeletionProtection", str),
    "on_hook_abandon": (
        "InstanceLifecyclePolicy",
        lambda value: {"RetentionTriggers": {"TerminateHookAbandon": value}},
    ),
}


def requests(p: Parameters, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The calls that turn `before` into `after`: only what differs, and never a desired capacity."""
    group = {"AutoScalingGroupName": p["name"]}
    update = {key: form(p[name]) for name, (key, form) in UPDATES.items() if name in after}
    calls = [("update_auto_scaling_group", {**group, **update})] if update else []
    if "suspended_processes" in after:
        wanted, there = set(after["suspended_processes"]), set(before["suspended_processes"])
        if wanted - there:
            calls.append(("suspend_processes", {**group, "ScalingProcesses": sorted(wanted - there)}))
        if there - wanted:
            calls.append(("resume_processes", {**group, "ScalingProcesses": sorted(there - wanted)}))
    if "metrics" in after:
        calls.append(
            ("enable_metrics_collection", {**group, "Granularity": GRANULARITY})
            if after["metrics"]
            else ("disable_metrics_collection", group)
        )
    if "tags" in after:
        common = {"ResourceId": p["name"], "ResourceType": "auto-scaling-group", "PropagateAtLaunch": True}
        missing = {k: v for k, v in after["tags"].items() if before["tags"].get(k) != v}
        calls.append(
            ("create_or_update_tags", {"Tags": [{**common, "Key": k, "Value": v} for k, v in missing.items()]})
        )
    return calls
