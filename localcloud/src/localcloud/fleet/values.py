"""The values of a group, their limits, and AWS's errors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
Result = Literal["CONTINUE", "ABANDON"]

#: Lifecycle states that count towards desired capacity (UG, "Amazon EC2 Auto Scaling instance lifecycle").
COUNTED = frozenset({"Pending", "Pending:Wait", "Pending:Proceed", "InService"})
#: Processes that SuspendProcesses knows (UG, "Types of processes").
PROCESSES = (
    "Launch",
    "Terminate",
    "AddToLoadBalancer",
    "AlarmNotification",
    "AZRebalance",
    "HealthCheck",
    "InstanceRefresh",
    "ReplaceUnhealthy",
    "ScheduledActions",
)
TERMINATION_POLICIES = (
    "Default",
    "AllocationStrategy",
    "OldestLaunchTemplate",
    "OldestLaunchConfiguration",
    "OldestInstance",
    "NewestInstance",
    "ClosestToNextInstanceHour",
)
#: The longest an instance may wait in a hook: 48 hours or 100 heartbeats, whichever is shorter (API, LifecycleHook).
LONGEST_WAIT_SECONDS = 172_800
#: How many hooks a group has at most (UG, "Quotas for Auto Scaling resources and groups").
MAX_HOOKS = 50
#: Pause before a launch that EC2 refused is tried again (AWS backs off; the length is ours).
LAUNCH_RETRY_SECONDS = 60.0


class Refused(Exception):
    """AWS would answer this call with an error.

    Args:
        code: AWS's error code, such as ``ValidationError``.
        message: AWS's message.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def invalid(message: str) -> Refused:
    """AWS's error for most wrong calls."""
    return Refused("ValidationError", message)


@dataclass(frozen=True)
class Subnet:
    """A subnet that a group launches into."""

    id: str
    zone: str


@dataclass(frozen=True)
class Template:
    """A launch template. A group keeps the version as it was given (``3``, ``$Latest``), an instance its number."""

    id: str
    name: str
    version: str


@dataclass(frozen=True)
class Hook:
    """A lifecycle hook.

    Attributes:
        transition: ``LAUNCHING`` or ``TERMINATING``.
        heartbeat_timeout: seconds, 30 to 7200 (API, PutLifecycleHook).
        default_result: of a timeout.
        target, role, metadata: of AWS's notifications; described only, none are sent.
    """

    name: str
    transition: str
    heartbeat_timeout: int = 3600
    default_result: Result = "ABANDON"
    target: str | None = None
    role: str | None = None
    metadata: str | None = None

    @property
    def global_timeout(self) -> int:
        """Seconds that an instance can wait in all, heartbeats included."""
        return min(LONGEST_WAIT_SECONDS, 100 * self.heartbeat_timeout)


@dataclass(frozen=True)
class Wait:
    """An open lifecycle action. It times out at ``deadline``, which heartbeats extend up to ``limit``."""

    hook: Hook
    token: str
    deadline: float
    limit: float


@dataclass(frozen=True)
class Instance:
    """An instance of a group. Times are seconds since the epoch; an attached one has no launch template."""

    id: str
    subnet: Subnet
    template: Template | None
    instance_type: str
    image_id: str
    launched_at: float
    activity: str
    state: str = "Pending"
    healthy: bool = True
    running: bool = True
    protected: bool = False
    in_service_at: float | None = None
    waits: tuple[Wait, ...] = ()


@dataclass(frozen=True)
class Activity:
    """A scaling activity, in AWS's words. Times are seconds since the epoch, progress is a percentage."""

    id: str
    description: str
    cause: str
    started_at: float
    details: str
    status: str
    progress: int
    ended_at: float | None = None
    message: str | None = None


@dataclass(frozen=True)
class StateChange:
    """An instance went from one lifecycle state to another; an empty state is outside the group."""

    instance_id: str
    before: str
    after: str


@dataclass(frozen=True)
class Candidate:
    """A running EC2 instance that is to be attached to a group."""

    id: str
    subnet: Subnet
    instance_type: str
    image_id: str


@dataclass(frozen=True)
class Launch:
    """Effect: launch an instance of this template in this subnet. Answer with ``launched`` or ``launch_failed``."""

    activity: str
    subnet: Subnet
    template: Template


@dataclass(frozen=True)
class Terminate:
    """Effect: terminate this instance. Answer with ``terminated``."""

    instance_id: str


Effect = Launch | Terminate


@dataclass(frozen=True)
class Extra:
    """A launch in addition to desired capacity: once it is ready, ``target`` is terminated; None to balance zones.

    Attributes:
        cause: why the target is terminated, in AWS's words.
        instance: what was launched, once EC2 runs it.
    """

    target: str | None
    cause: str
    instance: str | None = None


@dataclass(frozen=True)
class Headroom:
    """How many instances fewer and more than its desired capacity a group may have during replacements."""

    fewer: int
    more: int


def headroom(desired: int, low: int, high: int | None) -> Headroom:
    """The headroom of two percentages of desired capacity, the lower one rounded up.

    If there is none, one instance at a time is replaced all the same: launched first if a maximum was given or
    the minimum is 100, else terminated first (API, RefreshPreferences, MaxHealthyPercentage; UG, "How an instance
    refresh works").
    """
    fewer = desired - math.ceil(desired * low / 100)
    more = desired * (high or 100) // 100 - desired
    if fewer == more == 0:
        return Headroom(0, 1) if low == 100 or high is not None else Headroom(1, 0)
    return Headroom(fewer, more)


@dataclass(frozen=True)
class Settings:
    """The settings of a group. Sizes are numbers of instances, times are seconds; None means not set."""

    template: Template
    subnets: tuple[Subnet, ...]
    min_size: int
    max_size: int
    desired: int
    default_cooldown: int = 300
    health_check_type: str = "EC2"
    health_check_grace_period: int = 0
    termination_policies: tuple[str, ...] = ("Default",)
    new_instances_protected: bool = False
    capacity_rebalance: bool = False
    placement_group: str | None = None
    service_linked_role: str | None = None
    max_instance_lifetime: int | None = None
    default_instance_warmup: int | None = None
    min_healthy_percentage: int | None = None
    max_healthy_percentage: int | None = None
    deletion_protection: str = "none"
    terminate_hook_abandon: str | None = None

    @property
    def headroom(self) -> Headroom | None:
        """The headroom of the instance maintenance policy; None without one (UG, "Instance maintenance policies")."""
        if self.min_healthy_percentage is None:
            return None
        return headroom(self.desired, self.min_healthy_percentage, self.max_healthy_percentage)

    @property
    def retains(self) -> bool:
        """Whether an abandoned termination keeps the instance (UG, "Control instance retention")."""
        return self.terminate_hook_abandon == "retain"


def validated(settings: Settings) -> Settings:
    """Return the settings unless AWS would refuse them.

    Raises:
        Refused: ``ValidationError`` (limits from the API reference, CreateAutoScalingGroup).
    """
    low, high = settings.min_size, settings.max_size
    if low < 0 or high < 0 or settings.desired < 0:
        raise invalid("Group sizes must be greater than or equal to 0")
    if high < low:
        raise invalid(f"Max bound, {high}, must be greater than or equal to min bound, {low}")
    if not low <= settings.desired <= high:
        raise invalid(
            f"Desired capacity:{settings.desired} must be between the specified min size:{low} and max size:{high}"
        )
    for policy in settings.termination_policies:
        if policy not in TERMINATION_POLICIES:
            raise invalid(f"Unknown Termination Policy: {policy}")
    lifetime = settings.max_instance_lifetime
    if lifetime is not None and lifetime != 0 and not 86_400 <= lifetime <= 31_536_000:
        raise invalid(
            "maxInstanceLifetime must be either equal to 0 or between 86400 and 31536000 seconds (inclusive). "
            "A value of 0 is used to remove a previously set value."
        )
    if settings.default_instance_warmup is not None and settings.default_instance_warmup < 0:
        raise invalid("DefaultInstanceWarmup must be greater than or equal to 0, or -1 to remove it")
    if settings.deletion_protection not in ("none", "prevent-force-deletion", "prevent-all-deletion"):
        raise invalid(f"Unknown DeletionProtection: {settings.deletion_protection}")
    if settings.terminate_hook_abandon not in (None, "retain", "terminate"):
        raise invalid(f"Unknown TerminateHookAbandon: {settings.terminate_hook_abandon}")
    _validate_maintenance_policy(settings.min_healthy_percentage, settings.max_healthy_percentage)
    return settings


def _validate_maintenance_policy(low: int | None, high: int | None) -> None:
    if (low is None) != (high is None):
        raise invalid(
            "Both MinHealthyPercentage and MaxHealthyPercentage must be specified in InstanceMaintenancePolicy"
        )
    if low is None or high is None:
        return
    if not 0 <= low <= 100 or not 100 <= high <= 200:
        raise invalid("MinHealthyPercentage must be between 0 and 100, MaxHealthyPercentage between 100 and 200")
    if high - low > 100:
        raise invalid("The difference between MaxHealthyPercentage and MinHealthyPercentage cannot be greater than 100")


def resized(settings: Settings, *, min_size: int | None, max_size: int | None, desired: int | None) -> Settings:
    """Settings with new sizes; without an explicit desired capacity, AWS moves it to the bound that passed it.

    Raises:
        Refused: an explicit desired capacity outside the bounds, or max below min (API, UpdateAutoScalingGroup).
    """
    low = settings.min_size if min_size is None else min_size
    high = settings.max_size if max_size is None else max_size
    if desired is None:
        desired = max(low, min(high, settings.desired))
    return validated(replace(settings, min_size=low, max_size=high, desired=desired))


def validated_hook(hook: Hook) -> Hook:
    """Return the hook unless AWS would refuse it (API, PutLifecycleHook)."""
    if hook.transition not in (LAUNCHING, TERMINATING):
        raise invalid(f"Invalid lifecycle transition: {hook.transition or 'none given'}")
    if not 30 <= hook.heartbeat_timeout <= 7200:
        raise invalid("Invalid heartbeat timeout: it must be between 30 and 7200 seconds")
    if hook.default_result not in ("CONTINUE", "ABANDON"):
        raise invalid(f"Invalid default result: {hook.default_result}")
    return hook


def stamp(at: float) -> str:
    """A time as AWS writes it in causes, such as ``2026-08-01T12:00:00Z``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
