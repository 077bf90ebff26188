# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Auto Scaling's answers -> values. One function per API call; each asks through a given `call`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.seconds import since_epoch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Group,
    GroupInstance,
    Hook,
    Refresh,
    Tag,
)

INSTANCE_ID = re.compile(r"\bi-[0-9a-f]{8,17}\b")


def group(call: Call, name: str) -> Group | None:
    """DescribeAutoScalingGroups."""
    found = call("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", AutoScalingGroupNames=[name])
    return _group(found[0]) if found else None


def as_if_launching(call: Call, version: str) -> Call:
    """The call, as if groups launched that version of their launch template: to look at a rollout's first instances."""

    def asked(
        service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **request: Any
    ) -> Any:
        found = call(service, operation, key, absent, **request)
        if operation != "describe_auto_scaling_groups":
            return found
        return [
            {**raw, "LaunchTemplate": {**raw["LaunchTemplate"], "Version": version}} if "LaunchTemplate" in raw else raw
            for raw in found
        ]

    return asked


def _group(raw: Mapping[str, Any]) -> Group:
    template = raw.get("LaunchTemplate") or {}
    retention = raw.get("InstanceLifecyclePolicy", {}).get("RetentionTriggers", {})
    return Group(
        name=raw["AutoScalingGroupName"],
        arn=raw["AutoScalingGroupARN"],
        min_size=raw["MinSize"],
        max_size=raw["MaxSize"],
        desired_capacity=raw["DesiredCapacity"],
        template_id=template.get("LaunchTemplateId", ""),
        template_name=template.get("LaunchTemplateName", ""),
        template_version=template.get("Version", ""),
        subnet_ids=frozenset(filter(None, raw.get("VPCZoneIdentifier", "").split(","))),
        health_check_type=raw.get("HealthCheckType"),
        health_check_grace_seconds=raw.get("HealthCheckGracePeriod"),
        cooldown_seconds=raw.get("DefaultCooldown"),
        warmup_seconds=raw.get("DefaultInstanceWarmup"),
        termination_policies=tuple(raw.get("TerminationPolicies", [])),
        new_instances_protected=raw.get("NewInstancesProtectedFromScaleIn", False),
        maintenance_policy=raw.get("InstanceMaintenancePolicy"),
        deletion_protection=raw.get("DeletionProtection", "none"),
        on_hook_abandon=retention.get("TerminateHookAbandon", "terminate"),
        suspended_processes=frozenset(p["ProcessName"] for p in raw.get("SuspendedProcesses", [])),
        metrics=frozenset(metric["Metric"] for metric in raw.get("EnabledMetrics", [])),
        max_lifetime_seconds=raw.get("MaxInstanceLifetime") or 0,
        tags={t["Key"]: Tag(t.get("Value", ""), bool(t.get("PropagateAtLaunch"))) for t in raw.get("Tags", [])},
        warm_pool=(raw.get("WarmPoolConfiguration") or {}).get("PoolState", ""),
        status=raw.get("Status", ""),
        instances=tuple(map(_instance, sorted(raw["Instances"], key=lambda i: i["InstanceId"]))),
    )


def _instance(raw: Mapping[str, Any]) -> GroupInstance:
    return GroupInstance(
        id=raw["InstanceId"],
        state=raw["LifecycleState"],
        health=raw["HealthStatus"],
        zone=raw["AvailabilityZone"],
        type=raw.get("InstanceType", ""),
        template_id=(raw.get("LaunchTemplate") or {}).get("LaunchTemplateId", ""),
        template_version=(raw.get("LaunchTemplate") or {}).get("Version", ""),
        protected=bool(raw.get("ProtectedFromScaleIn")),
    )


def hooks(call: Call, group_name: str) -> tuple[Hook, ...]:
    """DescribeLifecycleHooks; none where there is no group."""
    found = call(
        "autoscaling",
        "describe_lifecycle_hooks",
        "LifecycleHooks",
        absent=("ValidationError",),
        AutoScalingGroupName=group_name,
    )
    return tuple(
        Hook(
            name=raw["LifecycleHookName"],
            transition=raw["LifecycleTransition"],
            heartbeat_timeout=raw["HeartbeatTimeout"],
            global_timeout=raw["GlobalTimeout"],
            default_result=raw["DefaultResult"],
        )
        for raw in found or ()
    )


def hook(call: Call, group_name: str, name: str) -> Hook | None:
    """The group's hook of this name."""
    return next((hook for hook in hooks(call, group_name) if hook.name == name), None)


def activities(call: Call, group_name: str, most: int) -> tuple[Activity, ...]:
    """DescribeScalingActivities: the newest first, `most` at most."""
    found = call(
        "autoscaling",
        "describe_scaling_activities",
        "Activities",
        AutoScalingGroupName=group_name,
        PaginationConfig={"MaxItems": most, "PageSize": min(most, 100)},
    )
    return tuple(
        Activity(
            id=raw.get("ActivityId", ""),
            status=raw["StatusCode"],
            description=raw.get("Description", ""),
            message=raw.get("StatusMessage", ""),
            started=since_epoch(raw["StartTime"]),
            ended=since_epoch(raw.get("EndTime")),
            instance=next(iter(INSTANCE_ID.findall(raw.get("Description", ""))), ""),
            cause=raw.get("Cause", ""),
        )
        for raw in found
    )


def refreshes(call: Call, group_name: str, most: int) -> tuple[Refresh, ...]:
    """DescribeInstanceRefreshes: the latest, `most` at most."""
    found = call(
        "autoscaling",
        "describe_instance_refreshes",
        "InstanceRefreshes",
        AutoScalingGroupName=group_name,
        MaxRecords=most,
    )
    return tuple(map(_refresh, found))


def _refresh(raw: Mapping[str, Any]) -> Refresh:
    desired = (raw.get("DesiredConfiguration") or {}).get("LaunchTemplate") or {}
    preferences = raw.get("Preferences") or {}
    return Refresh(
        id=raw["InstanceRefreshId"],
        status=raw["Status"],
        # API, RollbackDetails: of one that was rolled back, only that says why.
        reason=raw.get("StatusReason") or (raw.get("RollbackDetails") or {}).get("RollbackReason") or "",
        percent=int(raw.get("PercentageComplete") or 0),
        started=since_epoch(raw.get("StartTime")),
        ended=since_epoch(raw.get("EndTime")),
        template_id=desired.get("LaunchTemplateId", ""),
        version=desired.get("Version", ""),
        checkpoints=tuple(preferences.get("CheckpointPercentages") or ()),
        bake_seconds=preferences.get("BakeTime") or 0,
        remaining=int(raw.get("InstancesToUpdate") or 0),
    )


def account_limits(call: Call) -> tuple[int, int]:
    """DescribeAccountLimits: how many Auto Scaling groups exist, and how many may exist."""
    found = call("autoscaling", "describe_account_limits")
    return found["NumberOfAutoScalingGroups"], found["MaxNumberOfAutoScalingGroups"]
