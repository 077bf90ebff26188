"""Values of ``fleet`` in the shapes of the Auto Scaling API. moto leaves out what is None."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from localcloud import fleet
from localcloud.autoscaling.groups import GroupRecord


def hook(group_name: str, of: fleet.Hook) -> dict[str, Any]:
    """A LifecycleHook."""
    return {
        "LifecycleHookName": of.name,
        "AutoScalingGroupName": group_name,
        "LifecycleTransition": of.transition,
        "NotificationTargetARN": of.target,
        "RoleARN": of.role,
        "NotificationMetadata": of.metadata,
        "HeartbeatTimeout": of.heartbeat_timeout,
        "GlobalTimeout": of.global_timeout,
        "DefaultResult": of.default_result,
    }


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).replace(tzinfo=None)


def template(of: fleet.Template) -> dict[str, str | None]:
    """A LaunchTemplateSpecification; a version that was not given is not shown."""
    return {"LaunchTemplateId": of.id, "LaunchTemplateName": of.name, "Version": of.version or None}


def health(of: fleet.Instance) -> str:
    """A HealthStatus."""
    return "Healthy" if of.healthy else "Unhealthy"


def instance(of: fleet.Instance) -> dict[str, Any]:
    """A group's Instance."""
    return {
        "InstanceId": of.id,
        "InstanceType": of.instance_type,
        "ImageId": of.image_id,
        "AvailabilityZone": of.subnet.zone,
        "LifecycleState": of.state,
        "HealthStatus": health(of),
        "LaunchTemplate": template(of.template) if of.template else None,
        "ProtectedFromScaleIn": of.protected,
    }


def tags(record: GroupRecord) -> list[dict[str, Any]]:
    """A group's TagDescriptions, by key."""
    return [
        {
            "ResourceId": record.group.name,
            "ResourceType": "auto-scaling-group",
            "Key": tag.key,
            "Value": tag.value,
            "PropagateAtLaunch": tag.propagate,
        }
        for _, tag in sorted(record.tags.items())
    ]


def group(record: GroupRecord) -> dict[str, Any]:
    """A group as DescribeAutoScalingGroups shows it; None is left out."""
    of, settings = record.group, record.group.settings
    maintenance = {
        "MinHealthyPercentage": settings.min_healthy_percentage,
        "MaxHealthyPercentage": settings.max_healthy_percentage,
    }
    retention = {"RetentionTriggers": {"TerminateHookAbandon": settings.terminate_hook_abandon}}
    account = record.arn.split(":")[4]
    role = f"arn:aws:iam::{account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
    return {
        "AutoScalingGroupName": of.name,
        "AutoScalingGroupARN": record.arn,
        "LaunchTemplate": template(settings.template),
        "MinSize": settings.min_size,
        "MaxSize": settings.max_size,
        "DesiredCapacity": settings.desired,
        "DefaultCooldown": settings.default_cooldown,
        "AvailabilityZones": sorted({subnet.zone for subnet in settings.subnets}),
        "LoadBalancerNames": [],
        "TargetGroupARNs": [],
        "HealthCheckType": settings.health_check_type,
        "HealthCheckGracePeriod": settings.health_check_grace_period,
        "PlacementGroup": settings.placement_group,
        "Instances": [instance(i) for i in of.instances.values()],
        "CreatedTime": _moment(of.created_at),
        "SuspendedProcesses": [
            {"ProcessName": name, "SuspensionReason": f"User suspended at {fleet.stamp(at)}"}
            for name, at in sorted(of.suspended.items())
        ],
        "VPCZoneIdentifier": ",".join(subnet.id for subnet in settings.subnets),
        "EnabledMetrics": [{"Metric": name, "Granularity": "1Minute"} for name in sorted(record.metrics)],
        "Tags": tags(record),
        "TerminationPolicies": list(settings.termination_policies),
        "NewInstancesProtectedFromScaleIn": settings.new_instances_protected,
        "ServiceLinkedRoleARN": settings.service_linked_role or role,
        "MaxInstanceLifetime": settings.max_instance_lifetime,
        "CapacityRebalance": settings.capacity_rebalance or None,
        "DefaultInstanceWarmup": settings.default_instance_warmup,
        "InstanceMaintenancePolicy": maintenance if settings.max_healthy_percentage is not None else None,
        "DeletionProtection": settings.deletion_protection,
        "InstanceLifecyclePolicy": retention if settings.terminate_hook_abandon else None,
        "TrafficSources": [],
        "AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "balanced-best-effort"},
        "AvailabilityZoneImpairmentPolicy": {
            "ZonalShiftEnabled": False,
            "ImpairedZoneHealthCheckBehavior": "IgnoreUnhealthy",
        },
        "CapacityReservationSpecification": {"CapacityReservationPreference": "default"},
    }


def activity(record: GroupRecord, of: fleet.Activity, *, deleted: bool) -> dict[str, Any]:
    """An Activity; of a deleted group it says so."""
    return {
        "ActivityId": of.id,
        "AutoScalingGroupName": record.group.name,
        "Description": of.description,
        "Cause": of.cause,
        "StartTime": _moment(of.started_at),
        "EndTime": _moment(of.ended_at),
        "StatusCode": of.status,
        "StatusMessage": of.message,
        "Progress": of.progress,
        "Details": of.details,
        "AutoScalingGroupARN": record.arn,
        "AutoScalingGroupState": "Deleted" if deleted else None,
    }


def refresh(record: GroupRecord, of: fleet.Refresh) -> dict[str, Any]:
    """An InstanceRefresh."""
    preferences, back = of.preferences, of.rollback
    return {
        "InstanceRefreshId": of.id,
        "AutoScalingGroupName": record.group.name,
        "Strategy": "Rolling",
        "Status": of.status,
        "StatusReason": of.reason,
        "StartTime": _moment(of.started_at),
        "EndTime": _moment(of.ended_at),
        "PercentageComplete": of.percentage,
        "InstancesToUpdate": of.left,
        "Preferences": {
            "MinHealthyPercentage": preferences.min_healthy,
            "MaxHealthyPercentage": preferences.max_healthy,
            "InstanceWarmup": preferences.warmup,
            "CheckpointPercentages": list(preferences.checkpoints) or None,
            "CheckpointDelay": preferences.checkpoint_delay,
            "BakeTime": preferences.bake,
            "SkipMatching": preferences.skip_matching,
            "AutoRollback": preferences.auto_rollback,
            "ScaleInProtectedInstances": preferences.protected,
            "StandbyInstances": preferences.standby,
            "AlarmSpecification": {"Alarms": list(preferences.alarms)} if preferences.alarms else None,
        },
        "DesiredConfiguration": {"LaunchTemplate": template(of.desired)} if of.desired else None,
        "RollbackDetails": {
            "RollbackReason": back.reason,
            "RollbackStartTime": _moment(back.started_at),
            "PercentageCompleteOnRollback": back.percentage,
            "InstancesToUpdateOnRollback": back.left,
        }
        if back
        else None,
    }
