"""Wrong calls to Auto Scaling get AWS's error codes: each operation that localcloud answers, each way to call it wrong.

The codes are those of the API reference, or ``ValidationError`` ("Common Errors").
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.config import Config
from botocore.loaders import Loader
from botocore.model import ServiceModel
from localcloud.autoscaling.service import AutoScaling
from localcloud.testing import Cloud
from unit.resources import described, make_group, refused

MODEL = ServiceModel(Loader().load_service_model("autoscaling", "service-2"), "autoscaling")
FLEET = {"AutoScalingGroupName": "fleet"}
MISSING = {"AutoScalingGroupName": "missing"}
UNKNOWN = "i-0123456789abcdef0"
DRAIN = {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
TAG = {"ResourceType": "auto-scaling-group", "Key": "k", "Value": "v", "PropagateAtLaunch": False}
MIXED = {"LaunchTemplateName": "fleet-template", "LaunchTemplateId": "lt-1", "Version": "1"}
IDS: dict[str, Any] = {"InstanceIds": ["{serving}"]}
OUT: dict[str, Any] = {**FLEET, **IDS, "ShouldDecrementDesiredCapacity": True}
ACTION: dict[str, Any] = {**FLEET, "LifecycleHookName": "drain", "InstanceId": "{draining}"}
DONE = {**ACTION, "LifecycleActionResult": "CONTINUE"}


def snake(operation: str) -> str:
    """The name of boto3's method."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()


ANSWERED = sorted(name for name in MODEL.operation_names if snake(name) in vars(AutoScaling))


@dataclass(frozen=True)
class Wrong:
    """A call that AWS refuses.

    Attributes:
        given: parameters; ``{serving}`` and ``{draining}`` are replaced by the ids of an instance in service
            and of one in ``Terminating:Wait``.
        after: calls that are made before.
    """

    call: str
    given: dict[str, Any]
    code: str
    message: str
    after: tuple[tuple[str, dict[str, Any]], ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.call}: {self.message}"


def wrong(call: str, given: dict[str, Any], code: str, message: str, *after: tuple[str, dict[str, Any]]) -> Wrong:
    """A row."""
    return Wrong(call, given, code, message, after)


def invalid(call: str, given: dict[str, Any], message: str, *after: tuple[str, dict[str, Any]]) -> Wrong:
    """A row that is answered with ValidationError."""
    return Wrong(call, given, "ValidationError", message, after)


def group(**changes: Any) -> dict[str, Any]:
    """Parameters of a second group."""
    return {
        "AutoScalingGroupName": "other",
        "LaunchTemplate": {"LaunchTemplateName": "fleet-template", "Version": "1"},
        "VPCZoneIdentifier": "subnet-010ca1c10d00000a1",
        "MinSize": 0,
        "MaxSize": 1,
    } | changes


STARTED = ("StartInstanceRefresh", {**FLEET, "Preferences": {"InstanceWarmup": 300}})
TABLE = [
    # groups
    wrong("CreateAutoScalingGroup", group(**FLEET), "AlreadyExists", "A group with the name fleet already exists"),
    invalid("CreateAutoScalingGroup", group(MinSize=2), "Max bound, 1, must be greater than or equal to min bound, 2"),
    invalid("CreateAutoScalingGroup", group(DesiredCapacity=2), "Desired capacity:2 must be between"),
    invalid("CreateAutoScalingGroup", group(LaunchTemplate=MIXED), "but not both"),
    invalid("CreateAutoScalingGroup", group(VPCZoneIdentifier=""), "length greater than or equal to 1"),
    invalid("CreateAutoScalingGroup", group(AutoScalingGroupName="x" * 256), "length less than or equal to 255"),
    invalid("CreateAutoScalingGroup", group(TerminationPolicies=["Oldest"]), "Unknown Termination Policy: Oldest"),
    invalid("CreateAutoScalingGroup", group(MaxInstanceLifetime=86_399), "between 86400 and 31536000"),
    invalid("CreateAutoScalingGroup", group(DeletionProtection="never"), "enum value set"),
    invalid("CreateAutoScalingGroup", group(InstanceMaintenancePolicy={"MinHealthyPercentage": 90}), "Both"),
    invalid(
        "CreateAutoScalingGroup",
        group(InstanceMaintenancePolicy={"MinHealthyPercentage": 50, "MaxHealthyPercentage": 160}),
        "difference",
    ),
    invalid("CreateAutoScalingGroup", group(AvailabilityZones=["us-east-1z"]), "do not match"),
    invalid(
        "CreateAutoScalingGroup",
        group(LifecycleHookSpecificationList=[{**DRAIN, "HeartbeatTimeout": 29}]),
        "between 30 and 7200",
    ),
    invalid("UpdateAutoScalingGroup", MISSING, "AutoScalingGroup name not found"),
    invalid(
        "UpdateAutoScalingGroup",
        {**FLEET, "DesiredCapacity": 9},
        "must be between the specified min size:0 and max size:4",
    ),
    invalid("DeleteAutoScalingGroup", MISSING, "AutoScalingGroup name not found"),
    wrong("DeleteAutoScalingGroup", FLEET, "ResourceInUse", "while there are instances"),
    invalid(
        "DeleteAutoScalingGroup",
        {**FLEET, "ForceDelete": True},
        "deletion protection is prevent-force-deletion",
        ("UpdateAutoScalingGroup", {**FLEET, "DeletionProtection": "prevent-force-deletion"}),
    ),
    invalid("SetDesiredCapacity", {**MISSING, "DesiredCapacity": 1}, "AutoScalingGroup name not found"),
    invalid("SetDesiredCapacity", {**FLEET, "DesiredCapacity": 5}, "above max value 4"),
    invalid("SetDesiredCapacity", {**FLEET, "DesiredCapacity": -1}, "below min value 0"),
    wrong(
        "SetDesiredCapacity",
        {**FLEET, "DesiredCapacity": 2, "HonorCooldown": True},
        "ScalingActivityInProgress",
        "Scaling activity .* is in progress and blocks this action",
    ),
    invalid("SuspendProcesses", {**MISSING}, "AutoScalingGroup name not found"),
    invalid("SuspendProcesses", {**FLEET, "ScalingProcesses": ["Lunch"]}, "Invalid process name: Lunch"),
    invalid("ResumeProcesses", {**MISSING}, "AutoScalingGroup name not found"),
    invalid("ResumeProcesses", {**FLEET, "ScalingProcesses": ["Lunch"]}, "Invalid process name: Lunch"),
    invalid("EnableMetricsCollection", {**MISSING, "Granularity": "1Minute"}, "AutoScalingGroup name not found"),
    invalid("EnableMetricsCollection", {**FLEET, "Granularity": "5Minutes"}, "the only valid value is 1Minute"),
    invalid(
        "EnableMetricsCollection", {**FLEET, "Granularity": "1Minute", "Metrics": ["Mood"]}, "Metric is not valid: Mood"
    ),
    invalid("DisableMetricsCollection", MISSING, "AutoScalingGroup name not found"),
    invalid("DisableMetricsCollection", {**FLEET, "Metrics": ["Mood"]}, "Metric is not valid: Mood"),
    # tags
    invalid("CreateOrUpdateTags", {"Tags": [{**TAG, "ResourceId": "missing"}]}, "AutoScalingGroup name not found"),
    invalid("CreateOrUpdateTags", {"Tags": [{**TAG, "ResourceId": "fleet", "Key": "aws:x"}]}, "reserved"),
    invalid(
        "CreateOrUpdateTags",
        {"Tags": [{**TAG, "ResourceId": "fleet", "Key": "k" * 129}]},
        "length less than or equal to 128",
    ),
    invalid("CreateOrUpdateTags", {"Tags": [{"Value": "v"}]}, "Value null at 'tags.1.member.key' failed"),
    invalid("DeleteTags", {"Tags": [{**TAG, "ResourceId": "missing"}]}, "AutoScalingGroup name not found"),
    invalid("DescribeTags", {"Filters": [{"Name": "colour", "Values": ["red"]}]}, "Filter type colour is not correct"),
    # hooks
    invalid("PutLifecycleHook", {**MISSING, **DRAIN}, "AutoScalingGroup name not found"),
    invalid("PutLifecycleHook", {**FLEET, "LifecycleHookName": "new"}, "Invalid lifecycle transition: none given"),
    invalid(
        "PutLifecycleHook",
        {**FLEET, **DRAIN, "LifecycleTransition": "autoscaling:NAP"},
        "Invalid lifecycle transition: autoscaling:NAP",
    ),
    invalid("PutLifecycleHook", {**FLEET, **DRAIN, "LifecycleHookName": "a b"}, "regular expression pattern"),
    invalid(
        "PutLifecycleHook",
        {**FLEET, **DRAIN, "LifecycleHookName": "a b", "RoleARN": ""},
        "2 validation errors detected: ",
    ),
    invalid("PutLifecycleHook", {**FLEET, **DRAIN, "HeartbeatTimeout": 7201}, "between 30 and 7200"),
    invalid("PutLifecycleHook", {**FLEET, **DRAIN, "DefaultResult": "RETAIN"}, "Invalid default result: RETAIN"),
    wrong(
        "PutLifecycleHook",
        {**FLEET, **DRAIN, "LifecycleHookName": "one-too-many"},
        "LimitExceeded",
        "maximum number of lifecycle hooks",
        *(("PutLifecycleHook", {**FLEET, **DRAIN, "LifecycleHookName": f"h{n}"}) for n in range(49)),
    ),
    invalid("DescribeLifecycleHooks", MISSING, "AutoScalingGroup name not found"),
    invalid("DeleteLifecycleHook", {**MISSING, "LifecycleHookName": "drain"}, "AutoScalingGroup name not found"),
    invalid("DeleteLifecycleHook", {**FLEET, "LifecycleHookName": "other"}, "No Lifecycle Hook found"),
    invalid("CompleteLifecycleAction", {**DONE, **MISSING}, "AutoScalingGroup name not found"),
    invalid(
        "CompleteLifecycleAction",
        {**DONE, "LifecycleHookName": "other"},
        "No active Lifecycle Action found with instance ID",
    ),
    invalid(
        "CompleteLifecycleAction",
        {**DONE, "InstanceId": "{serving}"},
        "No active Lifecycle Action found with instance ID",
    ),
    invalid(
        "CompleteLifecycleAction", {**DONE, "InstanceId": UNKNOWN}, "No active Lifecycle Action found with instance ID"
    ),
    invalid(
        "CompleteLifecycleAction", {**DONE, "LifecycleActionResult": "RETRY"}, "Invalid lifecycle action result: RETRY"
    ),
    invalid(
        "CompleteLifecycleAction",
        {**FLEET, "LifecycleHookName": "drain", "LifecycleActionResult": "CONTINUE", "LifecycleActionToken": "0" * 36},
        "No active Lifecycle Action found with token",
    ),
    invalid("CompleteLifecycleAction", {**DONE, "LifecycleActionToken": "short"}, "length greater than or equal to 36"),
    invalid(
        "CompleteLifecycleAction",
        {**FLEET, "LifecycleHookName": "drain", "LifecycleActionResult": "CONTINUE"},
        "either the instance ID or the lifecycle action token",
    ),
    invalid(
        "CompleteLifecycleAction",
        DONE,
        "No active Lifecycle Action found with instance ID",
        ("CompleteLifecycleAction", DONE),
    ),
    invalid("RecordLifecycleActionHeartbeat", {**ACTION, **MISSING}, "AutoScalingGroup name not found"),
    invalid(
        "RecordLifecycleActionHeartbeat", {**ACTION, "InstanceId": "{serving}"}, "No active Lifecycle Action found"
    ),
    invalid(
        "RecordLifecycleActionHeartbeat", ACTION, "No active Lifecycle Action found", ("CompleteLifecycleAction", DONE)
    ),
    invalid("RecordLifecycleActionHeartbeat", {**FLEET, "LifecycleHookName": "drain"}, "either the instance ID or"),
    # instances
    invalid(
        "SetInstanceProtection", {**MISSING, **IDS, "ProtectedFromScaleIn": True}, "AutoScalingGroup name not found"
    ),
    invalid(
        "SetInstanceProtection", {**FLEET, "InstanceIds": [UNKNOWN], "ProtectedFromScaleIn": True}, "is not part of"
    ),
    invalid(
        "SetInstanceProtection",
        {**FLEET, "InstanceIds": ["{draining}"], "ProtectedFromScaleIn": True},
        "is not in InService or",
    ),
    wrong(
        "SetInstanceProtection",
        {**FLEET, "InstanceIds": [UNKNOWN] * 51, "ProtectedFromScaleIn": True},
        "LimitExceeded",
        "50",
    ),
    invalid("SetInstanceHealth", {"InstanceId": UNKNOWN, "HealthStatus": "Unhealthy"}, "No managed instance found"),
    invalid("SetInstanceHealth", {"InstanceId": "{serving}", "HealthStatus": "Ill"}, "Valid instance health states"),
    invalid("EnterStandby", {**OUT, **MISSING}, "AutoScalingGroup name not found"),
    invalid("EnterStandby", {**OUT, "InstanceIds": ["{draining}"]}, "is not in InService"),
    invalid("EnterStandby", {**OUT, "InstanceIds": [UNKNOWN]}, "is not part of"),
    invalid("EnterStandby", OUT, "min-size=1", ("UpdateAutoScalingGroup", {**FLEET, "MinSize": 1})),
    invalid("ExitStandby", {**MISSING, **IDS}, "AutoScalingGroup name not found"),
    invalid("ExitStandby", {**FLEET, **IDS}, "is not in Standby"),
    invalid("DetachInstances", {**OUT, **MISSING}, "AutoScalingGroup name not found"),
    invalid(
        "DetachInstances",
        {**OUT, "InstanceIds": ["{draining}"]},
        "is not in InService or Standby or Terminating:Retained",
    ),
    invalid("DetachInstances", {**OUT, "InstanceIds": [UNKNOWN] * 21}, "20"),
    invalid("AttachInstances", {**MISSING, **IDS}, "AutoScalingGroup name not found"),
    invalid("AttachInstances", {**FLEET, **IDS}, "already part of Auto Scaling group fleet"),
    invalid("AttachInstances", {**FLEET, "InstanceIds": [UNKNOWN]}, "Invalid Instance ID"),
    invalid("AttachInstances", {**FLEET, "InstanceIds": [UNKNOWN] * 21}, "20"),
    invalid(
        "TerminateInstanceInAutoScalingGroup",
        {"InstanceId": UNKNOWN, "ShouldDecrementDesiredCapacity": True},
        "No managed instance found",
    ),
    invalid(
        "TerminateInstanceInAutoScalingGroup",
        {"InstanceId": "{serving}", "ShouldDecrementDesiredCapacity": True},
        "desiredSize equals minSize",
        ("UpdateAutoScalingGroup", {**FLEET, "MinSize": 1}),
    ),
    # refreshes
    invalid("StartInstanceRefresh", {**FLEET, "Strategy": "Sudden"}, r"enum value set: \[Rolling, ReplaceRootVolume\]"),
    invalid(
        "StartInstanceRefresh",
        {**FLEET, "Preferences": {"MinHealthyPercentage": 101}},
        "'101' .* value less than or equal to 100",
    ),
    invalid("StartInstanceRefresh", MISSING, "AutoScalingGroup name not found"),
    wrong("StartInstanceRefresh", FLEET, "InstanceRefreshInProgress", "already in progress", STARTED),
    invalid(
        "StartInstanceRefresh",
        {**FLEET, "Preferences": {"MaxHealthyPercentage": 110}},
        "MinHealthyPercentage must be specified",
    ),
    invalid("StartInstanceRefresh", {**FLEET, "Preferences": {"CheckpointPercentages": [50, 20]}}, "ascending order"),
    invalid(
        "StartInstanceRefresh",
        {**FLEET, "Preferences": {"CheckpointDelay": 60}},
        "CheckpointPercentages must be specified",
    ),
    invalid(
        "StartInstanceRefresh",
        {**FLEET, "Preferences": {"AutoRollback": True}},
        "DesiredConfiguration parameter is empty",
    ),
    invalid("StartInstanceRefresh", {**FLEET, "DesiredConfiguration": {"LaunchTemplate": {**MIXED}}}, "but not both"),
    invalid("CancelInstanceRefresh", MISSING, "AutoScalingGroup name not found"),
    wrong(
        "CancelInstanceRefresh", FLEET, "ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh"
    ),
    invalid("RollbackInstanceRefresh", MISSING, "AutoScalingGroup name not found"),
    wrong(
        "RollbackInstanceRefresh", FLEET, "ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh"
    ),
    wrong(
        "RollbackInstanceRefresh", FLEET, "IrreversibleInstanceRefresh", "desired configuration was not found", STARTED
    ),
    invalid("DescribeInstanceRefreshes", MISSING, "AutoScalingGroup name not found"),
    invalid("DescribeScalingActivities", MISSING, "AutoScalingGroup name not found"),
    invalid(
        "DescribeScalingActivities",
        {"Filters": [{"Name": "Colour", "Values": ["red"]}]},
        "Filter type Colour is not correct",
    ),
    invalid(
        "DescribeScalingActivities", {"Filters": [{"Name": "Status", "Values": ["Failed"]}]}, "AutoScalingGroupName"
    ),
    invalid(
        "DescribeScalingActivities",
        {"Filters": [{"Name": "StartTimeLowerBound", "Values": ["noon"]}]},
        "Invalid timestamp: noon",
    ),
    invalid(
        "TerminateInstanceInAutoScalingGroup", {"ShouldDecrementDesiredCapacity": True}, "InstanceId must be specified"
    ),
    invalid(
        "TerminateInstanceInAutoScalingGroup",
        {**IDS, "ShouldDecrementDesiredCapacity": True},
        "does not model InstanceIds",
    ),
    # pages
    *(
        row
        for call, most in (
            ("DescribeAutoScalingGroups", 100),
            ("DescribeAutoScalingInstances", 50),
            ("DescribeInstanceRefreshes", 100),
            ("DescribeScalingActivities", 100),
            ("DescribeTags", 100),
        )
        for needed in ({**FLEET} if call == "DescribeInstanceRefreshes" else {},)
        for row in (
            invalid(call, {**needed, "MaxRecords": most + 1}, f"MaxRecords must be between 1 and {most}"),
            invalid(call, {**needed, "MaxRecords": 0}, f"MaxRecords must be between 1 and {most}"),
            wrong(call, {**needed, "NextToken": "elsewhere"}, "InvalidNextToken", "token"),
        )
    ),
]


@dataclass(frozen=True)
class Fleet:
    """A group with an instance in service and one that drains, and a client that leaves all checks to the server."""

    cloud: Cloud
    client: Any
    ids: dict[str, str]

    def call(self, operation: str, given: dict[str, Any]) -> Any:
        """Make a call, with the instances' ids filled in."""
        return getattr(self.client, snake(operation))(**self._filled(given))

    def _filled(self, value: Any) -> Any:
        match value:
            case str():
                return self.ids.get(value, value)
            case list():
                return [self._filled(part) for part in value]
            case dict():
                return {key: self._filled(part) for key, part in value.items()}
        return value


@pytest.fixture
def fleet(cloud: Cloud) -> Fleet:
    """The group, as the table supposes it."""
    autoscaling = make_group(cloud, DesiredCapacity=2)
    autoscaling.put_lifecycle_hook(**FLEET, **DRAIN)
    draining = described(autoscaling)["Instances"][0]["InstanceId"]
    autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=draining, ShouldDecrementDesiredCapacity=True)
    serving = next(i["InstanceId"] for i in described(autoscaling)["Instances"] if i["LifecycleState"] == "InService")
    unchecked = cloud.client(
        "autoscaling", config=Config(retries={"total_max_attempts": 1}, parameter_validation=False)
    )
    return Fleet(cloud, unchecked, {"{serving}": serving, "{draining}": draining})


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_a_wrong_call_gets_awss_code_and_changes_nothing(fleet: Fleet, row: Wrong) -> None:
    for call, given in row.after:
        fleet.call(call, given)
    before = described(fleet.client)
    with refused(row.code, row.message):
        fleet.call(row.call, row.given)
    assert described(fleet.client) == before


@pytest.mark.parametrize(
    "operation",
    [name for name in ANSWERED if (shape := MODEL.operation_model(name).input_shape) and shape.required_members],
)
def test_a_call_without_what_it_needs_is_refused_by_the_parameters_name(fleet: Fleet, operation: str) -> None:
    required = MODEL.operation_model(operation).input_shape.required_members
    with refused(
        "ValidationError", f"Value null at '{required[0][0].lower()}{required[0][1:]}' .* Member must not be null"
    ):
        fleet.call(operation, {})


def test_every_operation_that_is_answered_is_in_the_table() -> None:
    without_parameters = {"DescribeAccountLimits"}  # nothing about it can be wrong
    assert not set(ANSWERED) - {row.call for row in TABLE} - without_parameters


def test_unreadable_or_unknown_input_is_the_callers_error(fleet: Fleet, cloud: Cloud) -> None:
    def answer_to(body: str) -> tuple[int, str]:
        scope = "localcloud/20260101/us-east-1/autoscaling/aws4_request"
        authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=x"
        headers = {"Authorization": authorization, "Content-Type": "application/x-www-form-urlencoded"}
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(cloud.url, body.encode(), headers))
        with caught.value as answer:
            return answer.code, re.findall("<Code>(.*)</Code>", answer.read().decode())[0]

    assert answer_to("Action=SetDesiredCapacity&AutoScalingGroupName=fleet&DesiredCapacity=many") == (
        400,
        "ValidationError",
    )
    assert answer_to("Action=LaunchRockets&Version=2011-01-01") == (400, "InvalidAction")
    assert answer_to("Version=2011-01-01") == (400, "InvalidAction")


def test_a_scaling_after_the_cooldown_is_accepted(fleet: Fleet, clock: Callable[[float], None]) -> None:
    parameters = {**FLEET, "DesiredCapacity": 2, "HonorCooldown": True}
    fleet.call("CompleteLifecycleAction", DONE)
    clock(299)
    with refused("ScalingActivityInProgress"):
        fleet.call("SetDesiredCapacity", parameters)
    clock(2)
    fleet.call("SetDesiredCapacity", parameters)
    assert described(fleet.client)["DesiredCapacity"] == 2


def test_a_token_is_valid_once_and_until_its_action_times_out(fleet: Fleet, clock: Callable[[float], None]) -> None:
    def token() -> dict[str, str]:
        with fleet.cloud.world.entered():
            kept = fleet.cloud.world.groups().records["fleet"]
        found = [w.token for i in kept.group.instances.values() for w in i.waits]
        return {**FLEET, "LifecycleHookName": "drain", "LifecycleActionToken": found[0]}

    first = token()
    fleet.call("CompleteLifecycleAction", {**first, "LifecycleActionResult": "CONTINUE"})
    with refused("ValidationError", f"No active Lifecycle Action found with token {first['LifecycleActionToken']}"):
        fleet.call("CompleteLifecycleAction", {**first, "LifecycleActionResult": "CONTINUE"})
    fleet.call("SetDesiredCapacity", {**FLEET, "DesiredCapacity": 0})
    second = token()
    clock(3601)
    with refused("ValidationError", "No active Lifecycle Action found with token"):
        fleet.call("RecordLifecycleActionHeartbeat", second)
