"""The Auto Scaling API over ``fleet``: parameters in, AWS's answers and errors out. Shapes are botocore's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from botocore.model import OperationNotFoundError
from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.models import autoscaling_backends
from moto.core.common_types import TYPE_RESPONSE
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.core.utils import get_service_model
from moto.ec2.exceptions import EC2ClientError

from localcloud import fleet, seed
from localcloud.autoscaling import constraints, describe
from localcloud.autoscaling.groups import GROUP_TAG, GroupRecord, Groups, Tag

#: Parameters of CreateAutoScalingGroup and UpdateAutoScalingGroup that are stored as given: API name -> setting.
PLAIN = {
    "DefaultCooldown": "default_cooldown",
    "HealthCheckType": "health_check_type",
    "HealthCheckGracePeriod": "health_check_grace_period",
    "NewInstancesProtectedFromScaleIn": "new_instances_protected",
    "CapacityRebalance": "capacity_rebalance",
    "PlacementGroup": "placement_group",
    "ServiceLinkedRoleARN": "service_linked_role",
    "DeletionProtection": "deletion_protection",
}
#: All supported parameters; any other is refused, never ignored.
UNDERSTOOD = {
    *PLAIN,
    "AutoScalingGroupName",
    "AvailabilityZones",
    "DefaultInstanceWarmup",
    "DesiredCapacity",
    "InstanceLifecyclePolicy",
    "InstanceMaintenancePolicy",
    "LaunchTemplate",
    "LifecycleHookSpecificationList",
    "MaxInstanceLifetime",
    "MaxSize",
    "MinSize",
    "Tags",
    "TerminationPolicies",
    "VPCZoneIdentifier",
}
#: What is not modelled, with the values that mean AWS's default: clients that read a group and write it back send them
#: (API, CreateAutoScalingGroup; an absent shift of zones makes its health check behaviour meaningless).
DEFAULTS: dict[str, tuple[Any, ...]] = {
    "AvailabilityZoneDistribution": ({"CapacityDistributionStrategy": "balanced-best-effort"},),
    "AvailabilityZoneImpairmentPolicy": (
        {"ZonalShiftEnabled": False},
        {"ZonalShiftEnabled": False, "ImpairedZoneHealthCheckBehavior": "IgnoreUnhealthy"},
    ),
    "CapacityReservationSpecification": ({"CapacityReservationPreference": "default"},),
    "Context": ("",),
    "DesiredCapacityType": ("units",),
    "SkipZonalShiftValidation": (False,),
}
#: What EnableMetricsCollection knows (API, EnableMetricsCollection); none named means all.
METRICS = frozenset(
    [f"Group{name}" for name in ("MinSize", "MaxSize", "DesiredCapacity")]
    + [f"Group{state}Instances" for state in ("InService", "Pending", "Standby", "Terminating", "Total")]
    + [f"Group{state}Capacity" for state in ("InService", "Pending", "Standby", "Terminating", "Total")]
    + [f"WarmPool{name}Capacity" for name in ("Desired", "Warmed", "Pending", "Terminating", "Total")]
    + ["GroupAndWarmPoolDesiredCapacity", "GroupAndWarmPoolTotalCapacity"]
)


class AutoScaling(BaseResponse):
    """One method per action, as moto dispatches them. Any other action is answered ``InvalidAction``."""

    def __init__(self) -> None:
        super().__init__(service_name="autoscaling")
        self.automated_parameter_parsing = True
        self._unreadable: fleet.Refused | None = None

    def parse_parameters(self, request: Any) -> None:
        """Parse; an unreadable parameter is the answer's error later (API, "Common Errors"; wording derived)."""
        try:
            super().parse_parameters(request)
        except OperationNotFoundError as unknown:
            raise NotImplementedError(self._get_action()) from unknown
        except ValueError as problem:
            self._unreadable = fleet.invalid(f"A parameter cannot be read: {problem}")

    @property
    def groups(self) -> Groups:
        """The groups of the caller's account and region."""
        found: Any = autoscaling_backends[self.current_account][self.region]
        return found  # type: ignore[no-any-return]

    def call_action(self) -> TYPE_RESPONSE:
        """Answer the call; refusals become AWS's errors."""
        try:
            if self._unreadable:
                raise self._unreadable
            self._check_constraints()
            return super().call_action()
        except fleet.Refused as refused:
            return self.serialized(ActionResult(AutoscalingClientError(refused.code, refused.message)))

    def _check_constraints(self) -> None:
        if (action := self._get_action()) is None:
            raise NotImplementedError("a call without an action")
        operation = get_service_model("autoscaling").operation_model(action)
        if problems := constraints.broken(operation.input_shape, self._get_params()):
            raise fleet.invalid(constraints.refusal(problems))

    # --- groups -----------------------------------------------------------------------------------------------------

    def create_auto_scaling_group(self) -> ActionResult:
        """CreateAutoScalingGroup."""
        self._refuse_unknown_parameters()
        subnets = self._subnets()
        if not subnets:
            raise fleet.invalid("At least one Availability Zone or VPC Subnet is required.")
        low = self._get_int_param("MinSize")
        settings = fleet.Settings(
            template=self._template(required=True),
            subnets=subnets,
            min_size=low,
            max_size=self._get_int_param("MaxSize"),
            desired=self._get_int_param("DesiredCapacity", low),
        )
        self.groups.create(
            self._get_param("AutoScalingGroupName"),
            self._with_options(settings),
            [_tag(tag) for tag in self._get_param("Tags", [])],
            [_hook(spec, None) for spec in self._get_param("LifecycleHookSpecificationList", [])],
        )
        return EmptyResult()

    def update_auto_scaling_group(self) -> ActionResult:
        """UpdateAutoScalingGroup: what is not named stays."""
        self._refuse_unknown_parameters()
        if self._get_param("AutoScalingGroupName") not in self.groups.records:
            raise fleet.invalid("AutoScalingGroup name not found - null")
        record = self._record()
        settings = self._with_options(record.group.settings)
        if self._get_param("LaunchTemplate"):
            record.group.check_launch_template_update()
            settings = replace(settings, template=self._template(required=True))
        if subnets := self._subnets():
            settings = replace(settings, subnets=subnets)
        settings = fleet.resized(
            settings,
            min_size=self._get_int_param("MinSize"),
            max_size=self._get_int_param("MaxSize"),
            desired=self._get_int_param("DesiredCapacity"),
        )
        self.groups.perform(record, record.group.update(settings, self.groups.now()))
        return EmptyResult()

    def delete_auto_scaling_group(self) -> ActionResult:
        """DeleteAutoScalingGroup."""
        self.groups.delete(self._get_param("AutoScalingGroupName"), force=self._get_param("ForceDelete", False))
        return EmptyResult()

    def describe_auto_scaling_groups(self) -> ActionResult:
        """DescribeAutoScalingGroups, by names and tag filters, paged; unknown names are left out."""
        names = self._get_param("AutoScalingGroupNames", [])
        filters = self._get_param("Filters", [])
        found = [
            record
            for name, record in sorted(self.groups.records.items())
            if (not names or name in names) and all(_matches(record, f) for f in filters)
        ]
        page, token = self._page(found, 50)
        shown = [describe.group(record) for record in page]
        if not self._get_param("IncludeInstances", True):
            shown = [{**group, "Instances": None} for group in shown]
        return ActionResult({"AutoScalingGroups": shown, "NextToken": token})

    def set_desired_capacity(self) -> ActionResult:
        """SetDesiredCapacity."""
        record = self._record()
        desired, honor = self._get_int_param("DesiredCapacity"), self._get_param("HonorCooldown", False)
        self.groups.perform(record, record.group.set_desired(desired, self.groups.now(), honor_cooldown=honor))
        return EmptyResult()

    def suspend_processes(self) -> ActionResult:
        """SuspendProcesses."""
        self._record().group.suspend(self._get_param("ScalingProcesses", []), self.groups.now())
        return EmptyResult()

    def resume_processes(self) -> ActionResult:
        """ResumeProcesses."""
        record = self._record()
        self.groups.perform(record, record.group.resume(self._get_param("ScalingProcesses", []), self.groups.now()))
        return EmptyResult()

    def enable_metrics_collection(self) -> ActionResult:
        """EnableMetricsCollection."""
        if self._get_param("Granularity") != "1Minute":
            raise fleet.invalid("Invalid granularity: the only valid value is 1Minute")
        self._record().metrics |= self._metrics()
        return EmptyResult()

    def disable_metrics_collection(self) -> ActionResult:
        """DisableMetricsCollection."""
        self._record().metrics -= self._metrics()
        return EmptyResult()

    # --- tags -------------------------------------------------------------------------------------------------------

    def create_or_update_tags(self) -> ActionResult:
        """CreateOrUpdateTags."""
        tags = [(self._tagged(tag), _tag(tag)) for tag in self._get_param("Tags", [])]
        for record, tag in tags:
            record.tags[tag.key] = tag
        return EmptyResult()

    def delete_tags(self) -> ActionResult:
        """DeleteTags."""
        for tag in self._get_param("Tags", []):
            self._tagged(tag).tags.pop(tag["Key"], None)
        return EmptyResult()

    def describe_account_limits(self) -> ActionResult:
        """DescribeAccountLimits."""
        there = {"NumberOfAutoScalingGroups": len(self.groups.records), "NumberOfLaunchConfigurations": 0}
        return ActionResult({**seed.AUTO_SCALING_LIMITS, **there})

    def describe_tags(self) -> ActionResult:
        """DescribeTags."""
        rows = [row for _, record in sorted(self.groups.records.items()) for row in describe.tags(record)]
        fields = {
            "auto-scaling-group": "ResourceId",
            "key": "Key",
            "value": "Value",
            "propagate-at-launch": "PropagateAtLaunch",
        }
        for filter_ in self._get_param("Filters", []):
            if filter_["Name"] not in fields:
                raise fleet.invalid(f"Filter type {filter_['Name']} is not correct")
            allowed = [str(v).lower() for v in filter_.get("Values", [])]
            rows = [row for row in rows if str(row[fields[filter_["Name"]]]).lower() in allowed]
        page, token = self._page(rows, 50)
        return ActionResult({"Tags": page, "NextToken": token})

    # --- hooks ------------------------------------------------------------------------------------------------------

    def put_lifecycle_hook(self) -> ActionResult:
        """PutLifecycleHook: creates, or changes what is named."""
        group = self._record().group
        group.put_hook(_hook(self._get_params(), group.hooks.get(self._get_param("LifecycleHookName"))))
        return EmptyResult()

    def describe_lifecycle_hooks(self) -> ActionResult:
        """DescribeLifecycleHooks; unknown names are left out."""
        group = self._record().group
        names = self._get_param("LifecycleHookNames", [])
        hooks = [h for h in group.hooks.values() if not names or h.name in names]
        return ActionResult({"LifecycleHooks": [describe.hook(group.name, hook) for hook in hooks]})

    def delete_lifecycle_hook(self) -> ActionResult:
        """DeleteLifecycleHook."""
        record = self._record()
        effects = record.group.delete_hook(self._get_param("LifecycleHookName"), self.groups.now())
        self.groups.perform(record, effects)
        return EmptyResult()

    def complete_lifecycle_action(self) -> ActionResult:
        """CompleteLifecycleAction."""
        record = self._record()
        effects = record.group.complete(
            self._get_param("LifecycleHookName"),
            self._get_param("LifecycleActionResult"),
            self.groups.now(),
            **self._action(),
        )
        self.groups.perform(record, effects)
        return EmptyResult()

    def record_lifecycle_action_heartbeat(self) -> ActionResult:
        """RecordLifecycleActionHeartbeat."""
        self._record().group.heartbeat(
            self._get_param("LifecycleHookName"),
            self.groups.now(),
            **self._action(),
        )
        return EmptyResult()

    def _action(self) -> dict[str, str | None]:
        """The lifecycle action that the call means (wording derived)."""
        instance_id, token = self._get_param("InstanceId"), self._get_param("LifecycleActionToken")
        if not instance_id and not token:
            raise fleet.invalid("You must specify either the instance ID or the lifecycle action token")
        return {"instance_id": instance_id, "token": token}

    # --- instances --------------------------------------------------------------------------------------------------

    def describe_auto_scaling_instances(self) -> ActionResult:
        """DescribeAutoScalingInstances, paged; unknown instances are left out."""
        ids = set(self._get_param("InstanceIds", []))
        if len(ids) > 50:
            raise fleet.invalid("The number of instance ids that can be described at once is 50")
        rows = [
            {
                **describe.instance(instance),
                "AutoScalingGroupName": record.group.name,
                "HealthStatus": describe.health(instance).upper(),
            }
            for record in self.groups.records.values()
            for instance in record.group.instances.values()
            if not ids or instance.id in ids
        ]
        page, token = self._page(rows, 50, most=50)
        return ActionResult({"AutoScalingInstances": page, "NextToken": token})

    def set_instance_protection(self) -> ActionResult:
        """SetInstanceProtection, of at most fifty (API, SetInstanceProtection)."""
        record = self._record()
        ids, protected = self._get_param("InstanceIds", []), self._get_param("ProtectedFromScaleIn")
        if len(ids) > 50:
            raise fleet.Refused("LimitExceeded", "The protection of at most 50 instances can be set at once")
        self.groups.perform(record, record.group.protect(ids, protected, self.groups.now()))
        return EmptyResult()

    def set_instance_health(self) -> ActionResult:
        """SetInstanceHealth."""
        status = self._get_param("HealthStatus")
        if status not in ("Healthy", "Unhealthy"):
            raise fleet.invalid("Valid instance health states are: [Healthy, Unhealthy].")
        record = self.groups.by_instance(self._get_param("InstanceId"))
        effects = record.group.set_health(
            self._get_param("InstanceId"),
            status == "Healthy",
            self._get_param("ShouldRespectGracePeriod", True),
            self.groups.now(),
        )
        self.groups.perform(record, effects)
        return EmptyResult()

    def terminate_instance_in_auto_scaling_group(self) -> ActionResult:
        """TerminateInstanceInAutoScalingGroup."""
        id = self._get_param("InstanceId")
        if self._get_param("InstanceIds"):
            raise fleet.invalid("localcloud does not model InstanceIds of TerminateInstanceInAutoScalingGroup")
        if not id:
            raise fleet.invalid("InstanceId must be specified")
        record = self.groups.by_instance(id)
        decrement = self._get_param("ShouldDecrementDesiredCapacity", False)
        activity, effects = record.group.terminate(id, decrement, self.groups.now())
        answer = describe.activity(record, activity, deleted=False)
        self.groups.perform(record, effects)
        return ActionResult({"Activity": answer})

    def describe_scaling_activities(self) -> ActionResult:
        """DescribeScalingActivities, newest first, paged; deleted groups only when asked."""
        name, ids, filters = (
            self._get_param("AutoScalingGroupName"),
            self._get_param("ActivityIds", []),
            self._get_param("Filters", []),
        )
        living = (
            [self._record()]
            if name and name in self.groups.records
            else list(self.groups.records.values())
            if not name
            else []
        )
        gone = [k for k in self.groups.deleted if name in (None, k.group.name)]
        gone = gone if self._get_param("IncludeDeletedGroups", False) else []
        if name and not living and not gone:
            raise fleet.invalid(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        rows = [
            (record, activity)
            for record in [*living, *gone]
            for activity in reversed(record.group.activities.values())
            if (not ids or activity.id in ids)
            and all(_passes(activity, filter_, named=bool(name)) for filter_ in filters)
        ]
        rows.sort(key=lambda row: row[1].started_at, reverse=True)
        page, token = self._page(rows, 100)
        return ActionResult(
            {"Activities": [describe.activity(k, a, deleted=k in gone) for k, a in page], "NextToken": token}
        )

    def enter_standby(self) -> ActionResult:
        """EnterStandby."""
        record, decrement = self._record(), self._required("ShouldDecrementDesiredCapacity")
        return self._moved(record, record.group.enter_standby(self._ids(), decrement, self.groups.now()))

    def exit_standby(self) -> ActionResult:
        """ExitStandby."""
        record = self._record()
        return self._moved(record, record.group.exit_standby(self._ids(), self.groups.now()))

    def detach_instances(self) -> ActionResult:
        """DetachInstances; they run on without the group's tag."""
        record, decrement = self._record(), self._required("ShouldDecrementDesiredCapacity")
        answer = self._moved(record, record.group.detach(self._ids(), decrement, self.groups.now()))
        for id in self._ids():
            self.groups.ec2.tags[id].pop(GROUP_TAG, None)
        return answer

    def attach_instances(self) -> ActionResult:
        """AttachInstances: instances of the group's zones without a group (UG, "Detach or attach instances")."""
        record = self._record()
        effects = record.group.attach([self.groups.candidate(id) for id in self._ids()], self.groups.now())
        self.groups.ec2.create_tags(self._ids(), {GROUP_TAG: record.group.name})
        self.groups.perform(record, effects)
        return EmptyResult()

    def _moved(self, record: GroupRecord, moved: tuple[list[fleet.Activity], list[fleet.Effect]]) -> ActionResult:
        activities, effects = moved
        self.groups.perform(record, effects)
        return ActionResult(
            {"Activities": [describe.activity(record, activity, deleted=False) for activity in activities]}
        )

    def _ids(self) -> list[str]:
        ids: list[str] = self._get_param("InstanceIds", [])
        if not ids:
            raise fleet.invalid("At least one instance id must be specified")
        if len(ids) > 20:  # (UG, "Quotas")
            raise fleet.invalid("At most 20 instance ids can be specified at once")
        return ids

    def _required(self, name: str) -> Any:
        if (value := self._get_param(name)) is None:
            raise fleet.invalid(
                f"1 validation error detected: Value null at '{name[0].lower()}{name[1:]}' must not be null"
            )
        return value

    # --- instance refresh -------------------------------------------------------------------------------------------

    def start_instance_refresh(self) -> ActionResult:
        """StartInstanceRefresh."""
        record = self._record()
        if (strategy := self._get_param("Strategy", "Rolling")) != "Rolling":
            raise fleet.invalid(f"localcloud does not model the strategy {strategy} of an instance refresh")
        desired = self._desired_configuration(self._get_param("DesiredConfiguration") or {})
        to = self.groups.resolve(desired or record.group.settings.template)
        preferences = _preferences(self._get_param("Preferences") or {})
        refresh = record.group.start_refresh(preferences, desired, to, self.groups.now(), self.groups.alarms)
        return ActionResult({"InstanceRefreshId": refresh.id})

    def cancel_instance_refresh(self) -> ActionResult:
        """CancelInstanceRefresh."""
        wait = self._get_param("WaitForTransitioningInstances", True)
        return ActionResult({"InstanceRefreshId": self._record().group.cancel_refresh(wait, self.groups.now()).id})

    def rollback_instance_refresh(self) -> ActionResult:
        """RollbackInstanceRefresh."""
        return ActionResult({"InstanceRefreshId": self._record().group.roll_back_refresh(self.groups.now()).id})

    def describe_instance_refreshes(self) -> ActionResult:
        """DescribeInstanceRefreshes of the last six weeks, newest first, paged; unknown ids are left out."""
        record, ids = self._record(), self._get_param("InstanceRefreshIds", [])
        since = self.groups.now() - REFRESHES_KEPT_SECONDS
        found = [
            refresh
            for id, refresh in reversed(record.group.refreshes.items())
            if (not ids or id in ids) and (refresh.ended_at is None or refresh.ended_at >= since)
        ]
        page, token = self._page(found, 50)
        return ActionResult(
            {"InstanceRefreshes": [describe.refresh(record, refresh) for refresh in page], "NextToken": token}
        )

    def _desired_configuration(self, given: dict[str, Any]) -> fleet.Template | None:
        if given.get("MixedInstancesPolicy"):
            raise fleet.invalid("localcloud does not model MixedInstancesPolicy of a desired configuration")
        return self._checked_template(given["LaunchTemplate"]) if given.get("LaunchTemplate") else None

    # --- parameters -------------------------------------------------------------------------------------------------

    def _record(self) -> GroupRecord:
        return self.groups.by_name(self._get_param("AutoScalingGroupName"))

    def _tagged(self, tag: dict[str, Any]) -> GroupRecord:
        return self.groups.by_name(tag.get("ResourceId"))

    def _refuse_unknown_parameters(self) -> None:
        """Refuse what is not modelled; a value that means the default asks for nothing."""
        given = {
            key
            for key, value in self._get_params().items()
            if value not in (None, [], {}) and value not in DEFAULTS.get(key, ())
        }
        if unknown := sorted(given - UNDERSTOOD):
            raise fleet.invalid(f"localcloud does not model {', '.join(unknown)} of Auto Scaling groups")

    def _with_options(self, settings: fleet.Settings) -> fleet.Settings:
        """The settings with every option that the call names."""
        changes: dict[str, Any] = {
            setting: self._get_param(name) for name, setting in PLAIN.items() if self._get_param(name) is not None
        }
        if policies := self._get_param("TerminationPolicies"):
            changes["termination_policies"] = tuple(policies)
        if (lifetime := self._get_int_param("MaxInstanceLifetime")) is not None:
            changes["max_instance_lifetime"] = lifetime or None
        if (warmup := self._get_int_param("DefaultInstanceWarmup")) is not None:
            changes["default_instance_warmup"] = None if warmup == -1 else warmup
        if policy := self._get_param("InstanceMaintenancePolicy"):
            low, high = policy.get("MinHealthyPercentage"), policy.get("MaxHealthyPercentage")
            changes["min_healthy_percentage"] = None if low == -1 else low
            changes["max_healthy_percentage"] = None if high == -1 else high
        if policy := self._get_param("InstanceLifecyclePolicy"):
            changes["terminate_hook_abandon"] = (policy.get("RetentionTriggers") or {}).get("TerminateHookAbandon")
        return replace(settings, **changes)

    def _template(self, *, required: bool) -> fleet.Template:
        """The launch template that the call names, checked as AWS checks it."""
        given = self._get_param("LaunchTemplate") or {}
        if required and not given:
            raise fleet.invalid(
                "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or "
                "MixedInstancesPolicy parameter."
            )
        return self._checked_template(given)

    def _checked_template(self, given: dict[str, Any]) -> fleet.Template:
        name, id = given.get("LaunchTemplateName"), given.get("LaunchTemplateId")
        if name and id:
            raise fleet.invalid(
                "Valid requests must contain either launchTemplateId or LaunchTemplateName, but not both"
            )
        if not name and not id:
            raise fleet.invalid("Valid requests must contain either launchTemplateId or LaunchTemplateName")
        ec2 = self.groups.ec2
        try:
            template = ec2.find_launch_template(name, id)
            if template.visible_at > self.groups.now():
                named = f"template name {name}" if name else f"template ID {id}"
                raise EC2ClientError("", f"The specified launch template, with {named}, does not exist.")
            version = template.get_version(given.get("Version") or "$Default")
            ec2.check_launch(version.data)
        except ServiceException as error:
            raise fleet.invalid(f"You must use a valid fully-formed launch template. {error.message}") from error
        return fleet.Template(template.id, template.name, str(given.get("Version") or ""))

    def _subnets(self) -> tuple[fleet.Subnet, ...]:
        """The subnets that the call names, or its zones' default subnets."""
        ec2 = self.groups.ec2
        ids = [part.strip() for part in (self._get_param("VPCZoneIdentifier") or "").split(",") if part.strip()]
        zones = self._get_param("AvailabilityZones", [])
        if not ids:
            defaults = ec2.get_default_subnets()
            if missing := [zone for zone in zones if zone not in defaults]:
                raise fleet.invalid(f"No default subnet exists in availability zone {missing[0]}")
            return tuple(fleet.Subnet(defaults[zone].id, zone) for zone in zones)
        known = {subnet.id: subnet for subnet in ec2.describe_subnets()}
        if missing := [id for id in ids if id not in known]:
            raise fleet.invalid(f"The subnet ID '{missing[0]}' does not exist")
        if len({known[id].vpc_id for id in ids}) > 1:
            raise fleet.invalid("The subnets must belong to the same VPC")
        if zones and set(zones) != {known[id].availability_zone for id in ids}:
            raise fleet.invalid(
                "The availability zones of the specified subnets and the Auto Scaling group do not match"
            )
        return tuple(fleet.Subnet(id, known[id].availability_zone) for id in ids)

    def _metrics(self) -> set[str]:
        chosen = set(self._get_param("Metrics") or METRICS)
        if unknown := sorted(chosen - METRICS):
            raise fleet.invalid(f"Metric is not valid: {unknown[0]}")
        return chosen

    def _page(self, rows: list[Any], size: int, most: int = 100) -> tuple[list[Any], str | None]:
        """The page of rows that this call asks for, and the token of the next; a token is an offset."""
        size, token = self._get_int_param("MaxRecords", size), self._get_param("NextToken") or "0"
        if not 1 <= size <= most:
            raise fleet.invalid(f"MaxRecords must be between 1 and {most}")
        if not token.isdigit():
            raise fleet.Refused("InvalidNextToken", "The token is invalid")
        start = int(token)
        return rows[start : start + size], str(start + size) if start + size < len(rows) else None


#: How long DescribeInstanceRefreshes shows a refresh after its end (API, DescribeInstanceRefreshes).
REFRESHES_KEPT_SECONDS = 6 * 7 * 86_400
#: A refresh's preferences: API name -> ours; any other is refused, never ignored.
PREFERENCES = {
    "MinHealthyPercentage": "min_healthy",
    "MaxHealthyPercentage": "max_healthy",
    "InstanceWarmup": "warmup",
    "CheckpointPercentages": "checkpoints",
    "CheckpointDelay": "checkpoint_delay",
    "BakeTime": "bake",
    "SkipMatching": "skip_matching",
    "AutoRollback": "auto_rollback",
    "ScaleInProtectedInstances": "protected",
    "StandbyInstances": "standby",
    "AlarmSpecification": "alarms",
}


def _preferences(given: dict[str, Any]) -> fleet.Preferences:
    if unknown := sorted(given.keys() - PREFERENCES.keys()):
        raise fleet.invalid(f"localcloud does not model {', '.join(unknown)} of an instance refresh")
    if alarms := given.get("AlarmSpecification"):
        given = {**given, "AlarmSpecification": alarms.get("Alarms", [])}
    preferences: dict[str, Any] = {
        PREFERENCES[name]: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
    return fleet.Preferences(**preferences)


def _tag(given: dict[str, Any]) -> Tag:
    if str(given["Key"]).lower().startswith("aws:"):
        raise fleet.invalid("Keys with prefix aws: are reserved and may not be used")
    return Tag(given["Key"], given.get("Value", ""), given.get("PropagateAtLaunch", False))


def _hook(given: dict[str, Any], before: fleet.Hook | None) -> fleet.Hook:
    """The hook that a call describes; what it leaves out stays as it was."""
    base = before or fleet.Hook(given["LifecycleHookName"], "")
    target = given.get("NotificationTargetARN", base.target) or None
    return fleet.Hook(
        base.name,
        given.get("LifecycleTransition", base.transition),
        int(given.get("HeartbeatTimeout", base.heartbeat_timeout)),
        given.get("DefaultResult", base.default_result),
        target,
        given.get("RoleARN", base.role),
        given.get("NotificationMetadata", base.metadata),
    )


def _passes(activity: fleet.Activity, filter_: dict[str, Any], *, named: bool) -> bool:
    """Whether the activity passes a filter of DescribeScalingActivities; ``Status`` is for calls that name a group."""
    values: list[str] = filter_.get("Values", [])
    match filter_["Name"]:
        case "StartTimeLowerBound":
            return all(activity.started_at >= _seconds(value) for value in values)
        case "StartTimeUpperBound":
            return all(activity.started_at <= _seconds(value) for value in values)
        case "Status" if named:
            return activity.status in values
        case "Status":
            raise fleet.invalid(
                "The Status filter can only be used in combination with the AutoScalingGroupName parameter"
            )
    raise fleet.invalid(f"Filter type {filter_['Name']} is not correct")


def _seconds(text: str) -> float:
    """An ISO 8601 moment, of UTC where it does not say, as seconds since the epoch."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as problem:
        raise fleet.invalid(f"Invalid timestamp: {text}") from problem
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _matches(record: GroupRecord, filter_: dict[str, Any]) -> bool:
    """Whether the group passes one filter of DescribeAutoScalingGroups."""
    name, values = filter_["Name"], filter_.get("Values", [])
    tests: dict[str, Callable[[], bool]] = {
        "tag-key": lambda: any(key in values for key in record.tags),
        "tag-value": lambda: any(tag.value in values for tag in record.tags.values()),
    }
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return key in record.tags and record.tags[key].value in values
    if name not in tests:
        raise fleet.invalid(f"Filter type {name} is not correct")
    return tests[name]()
