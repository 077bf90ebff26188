"""The lifecycle of an Auto Scaling group: values and a clock in, transitions and effects out.

A ``Group`` holds frozen values. Each public method takes ``now`` (seconds since the epoch), applies one event and
returns the effects that the outside world owes it: ``Launch`` (answered by ``launched`` or ``launch_failed``) and
``Terminate`` (answered by ``terminated``). ``tick`` lets time pass: timeouts act at the moment they fall due, not when
somebody looks. What AWS refuses raises ``Refused`` with AWS's code. Nothing here knows HTTP, moto, Docker or threads.

Rules cite the Amazon EC2 Auto Scaling user guide (UG) or API reference (API); "(derived)" marks what neither states.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
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
    """The refusal that most wrong calls get."""
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
        default_result: what a timeout means.
        target, role, metadata: where AWS would send notices; kept and described, nothing is sent.
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
    """An open lifecycle action: it ends by completion or at ``deadline``, which no heartbeat moves past ``limit``."""

    hook: Hook
    token: str
    deadline: float
    limit: float


@dataclass(frozen=True)
class Instance:
    """A member of a group. Times are seconds since the epoch."""

    id: str
    subnet: Subnet
    template: Template
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
class Launch:
    """Owed: an instance in this subnet. Answer with ``launched`` or ``launch_failed``."""

    activity: str
    subnet: Subnet


@dataclass(frozen=True)
class Terminate:
    """Owed: the end of this instance. Answer with ``terminated``."""

    instance_id: str


Effect = Launch | Terminate


@dataclass(frozen=True)
class Settings:
    """What a group's owner decides. Sizes are numbers of instances, times are seconds; None means not set."""

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
        raise invalid(f"Desired capacity:{settings.desired} must be between the specified min size:{low} and max size:{high}")
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
        raise invalid("Both MinHealthyPercentage and MaxHealthyPercentage must be specified in InstanceMaintenancePolicy")
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
    """A moment as AWS writes it in causes, such as ``2026-08-01T12:00:00Z``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Group:
    """One Auto Scaling group.

    Attributes:
        new_id: gives a fresh unique text for activities and lifecycle tokens.
        launching: launches under way, by activity.
        suspended: processes and since when.
    """

    name: str
    settings: Settings
    created_at: float
    new_id: Callable[[], str]
    hooks: dict[str, Hook] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    activities: dict[str, Activity] = field(default_factory=dict)
    suspended: dict[str, float] = field(default_factory=dict)
    launching: dict[str, Subnet] = field(default_factory=dict)
    _retry_at: float | None = None
    _deadlines: list[tuple[float, str, str]] = field(default_factory=list)

    # --- size ---------------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Bring a new group to its desired capacity."""
        return self._reconcile(
            now,
            f"At {stamp(now)} a user request created an AutoScalingGroup changing the desired capacity from 0 to {self.settings.desired}.",
        )

    def update(self, settings: Settings, now: float) -> list[Effect]:
        """Adopt new settings; members keep the template that they were launched from (API, UpdateAutoScalingGroup)."""
        before, self.settings = self.settings.desired, validated(settings)
        self._retry_at = None
        return self._reconcile(
            now,
            f"At {stamp(now)} a user request update of AutoScalingGroup constraints to min: {settings.min_size}, "
            f"max: {settings.max_size}, desired: {settings.desired} changing the desired capacity from {before} to "
            f"{settings.desired}.",
        )

    def set_desired(self, desired: int, now: float) -> list[Effect]:
        """SetDesiredCapacity.

        Raises:
            Refused: ``ValidationError`` outside the bounds.
        """
        low, high, before = self.settings.min_size, self.settings.max_size, self.settings.desired
        if desired > high:
            raise invalid(f"New SetDesiredCapacity value {desired} is above max value {high} for the AutoScalingGroup.")
        if desired < low:
            raise invalid(f"New SetDesiredCapacity value {desired} is below min value {low} for the AutoScalingGroup.")
        self.settings = replace(self.settings, desired=desired)
        return self._reconcile(
            now,
            f"At {stamp(now)} a user request explicitly set group desired capacity changing the desired capacity from "
            f"{before} to {desired}.",
        )

    def suspend(self, processes: Iterable[str], now: float) -> None:
        """SuspendProcesses; none named means all.

        Raises:
            Refused: ``ValidationError`` for an unknown process.
        """
        self.suspended = dict.fromkeys(self._processes(processes), now) | self.suspended

    def resume(self, processes: Iterable[str], now: float) -> list[Effect]:
        """ResumeProcesses; what was held back happens now."""
        for name in self._processes(processes):
            self.suspended.pop(name, None)
        return self._check_health(now) + self._reconcile(now, "")

    def delete(self, *, force: bool) -> list[Effect]:
        """DeleteAutoScalingGroup: what still has to end, hooks skipped, if it may be deleted.

        Raises:
            Refused: ``ResourceInUse`` or ``ScalingActivityInProgress`` unless forced; ``ValidationError`` while
                deletion protection or a retaining lifecycle policy forbids it (wording and the latter derived).
        """
        protection = self.settings.deletion_protection
        if protection == "prevent-all-deletion" or (force and protection == "prevent-force-deletion"):
            raise invalid(f"You cannot delete AutoScalingGroup {self.name} because its deletion protection is {protection}.")
        if force and self.settings.retains:
            raise invalid(f"You cannot force delete AutoScalingGroup {self.name} while its instance lifecycle policy retains instances.")
        if not force and self.instances:
            raise Refused(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.",
            )
        if not force and self.launching:
            raise Refused(
                "ScalingActivityInProgress",
                "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
            )
        return [Terminate(id) for id in self.instances]

    # --- what the outside world answers -------------------------------------------------------------------------------

    def launched(self, activity: str, instance_id: str, template: Template, instance_type: str, image_id: str, now: float) -> list[Effect]:
        """EC2 runs the instance that ``Launch`` asked for; launch hooks begin, else it is in service."""
        instance = Instance(
            instance_id,
            self.launching.pop(activity),
            template,
            instance_type,
            image_id,
            launched_at=now,
            activity=activity,
            protected=self.settings.new_instances_protected,
        )
        self._activity(activity, description=f"Launching a new EC2 instance: {instance_id}", status="PreInService", progress=30)
        if not self._wait(instance, "Pending", LAUNCHING, now):
            self._enter_service(instance, now)
        return []

    def launch_failed(self, activity: str, reason: str, now: float) -> None:
        """EC2 refused; the activity says why and the launch is tried again after a pause."""
        del self.launching[activity]
        self._retry_at = now + LAUNCH_RETRY_SECONDS
        self._activity(
            activity,
            status="Failed",
            progress=100,
            ended_at=now,
            message=f"{reason.rstrip('.')}. Launching EC2 instance failed.",
        )

    def terminated(self, instance_id: str, now: float) -> None:
        """EC2 has ended the instance that ``Terminate`` named."""
        instance = self.instances.pop(instance_id)
        self._activity(instance.activity, status="Successful", progress=100, ended_at=now)

    def lost(self, instance_id: str, now: float) -> list[Effect]:
        """The instance was stopped or terminated behind the group's back: the next health check finds it."""
        instance = self.instances.get(instance_id)
        if instance is None:
            return []
        if instance.state == "Terminating:Retained":  # nothing is left to retain (derived)
            return self._end_retained(instance, now)[1]
        self._put(replace(instance, running=False))
        return self._check_health(now)

    def tick(self, now: float) -> list[Effect]:
        """Let time pass: every timeout up to ``now`` acts, in order, at its own moment."""
        effects: list[Effect] = []
        while (due := self.next_deadline()) is not None and due <= now:
            if self._retry_at == due:
                self._retry_at = None
                effects += self._reconcile(due, "")
                continue
            _, instance_id, token = heapq.heappop(self._deadlines)
            effects += self._expire(instance_id, token, due)
        return effects

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to do, in seconds since the epoch; a completed wait may still be named."""
        ends = [self._deadlines[0][0]] if self._deadlines else []
        return min([*ends, *([self._retry_at] if self._retry_at is not None else [])], default=None)

    # --- hooks --------------------------------------------------------------------------------------------------------

    def put_hook(self, hook: Hook) -> None:
        """Create or replace a hook; waits that are open keep the terms they began with (derived)."""
        self.hooks[hook.name] = validated_hook(hook)

    def delete_hook(self, name: str, now: float) -> list[Effect]:
        """Delete a hook; its open actions end first: launches abandoned, terminations continued.

        (API, DeleteLifecycleHook.)

        Raises:
            Refused: ``ValidationError`` for a hook that is not there.
        """
        if name not in self.hooks:
            raise invalid(f"No Lifecycle Hook found with name {name} for AutoScalingGroup {self.name}")
        result: Result = "ABANDON" if self.hooks.pop(name).transition == LAUNCHING else "CONTINUE"
        effects: list[Effect] = []
        for instance in list(self.instances.values()):
            for wait in instance.waits:
                if wait.hook.name == name:
                    effects += self._end_wait(instance, wait, result, "was deleted", now)
        return effects

    def heartbeat(self, hook: str, now: float, *, instance_id: str | None, token: str | None) -> None:
        """RecordLifecycleActionHeartbeat: the wait lasts one more timeout from now, within its limit, never shorter."""
        instance, wait = self._open_wait(hook, instance_id, token)
        longer = replace(wait, deadline=min(wait.limit, max(wait.deadline, now + wait.hook.heartbeat_timeout)))
        self._put(replace(instance, waits=tuple(longer if w is wait else w for w in instance.waits)))
        heapq.heappush(self._deadlines, (longer.deadline, instance.id, longer.token))

    def complete(self, hook: str, result: Result, now: float, *, instance_id: str | None, token: str | None) -> list[Effect]:
        """CompleteLifecycleAction.

        Raises:
            Refused: ``ValidationError`` when no such action is open (also on the second completion).
        """
        if result not in ("CONTINUE", "ABANDON"):
            raise invalid(f"Invalid lifecycle action result: {result}")
        instance, wait = self._open_wait(hook, instance_id, token)
        return self._end_wait(instance, wait, result, f"completed with {result} Result", now)

    # --- members ------------------------------------------------------------------------------------------------------

    def member(self, instance_id: str) -> Instance:
        """The instance, or AWS's refusal."""
        if instance_id not in self.instances:
            raise invalid(f"The instance {instance_id} is not part of Auto Scaling group {self.name}.")
        return self.instances[instance_id]

    def protect(self, instance_ids: Iterable[str], protected: bool, now: float) -> list[Effect]:
        """SetInstanceProtection; allowed in service and in standby. Lifting it lets a held-back scale-in go on.

        Raises:
            Refused: ``ValidationError`` for a stranger or another state; nothing is changed then.
        """
        members = [self.member(id) for id in instance_ids]
        for member in members:
            if member.state not in ("InService", "EnteringStandby", "Standby"):
                raise invalid(f"The instance {member.id} is not in InService or EnteringStandby or Standby.")
        for member in members:
            self._put(replace(member, protected=protected))
        return self._reconcile(now, "")

    def set_health(self, instance_id: str, healthy: bool, respect_grace_period: bool, now: float) -> list[Effect]:
        """SetInstanceHealth; the unhealthy are replaced, within the grace period only if it is not to be respected."""
        instance = self.instances[instance_id]
        since = instance.in_service_at if instance.in_service_at is not None else now
        if not healthy and respect_grace_period and now < since + self.settings.health_check_grace_period:
            return []
        self._put(replace(instance, healthy=healthy))
        return self._replace_unhealthy(now, "a user health-check")

    def terminate(self, instance_id: str, decrement: bool, now: float) -> tuple[Activity, list[Effect]]:
        """TerminateInstanceInAutoScalingGroup, also the way out of ``Terminating:Retained``.

        Returns:
            The activity and the effects. Scale-in protection does not shield from this call (UG, "Use instance scale-in
            protection").

        Raises:
            Refused: ``ValidationError`` when decrementing would pass the minimum size.
        """
        instance = self.instances[instance_id]
        if instance.state == "Terminating:Retained":
            return self._end_retained(instance, now)
        if instance.state not in COUNTED:
            return self.activities[instance.activity], []
        cause = f"At {stamp(now)} instance {instance_id} was taken out of service in response to a user request"
        if decrement:
            desired = self.settings.desired - 1
            if desired < self.settings.min_size:
                raise invalid(
                    f"Currently, desiredSize equals minSize ({self.settings.min_size}). Terminating instance without "
                    "replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity "
                    "flag to false or lower group's min size."
                )
            cause += f", shrinking the capacity from {desired + 1} to {desired}"
            self.settings = replace(self.settings, desired=desired)
        effects = self._terminate(instance, f"{cause}.", now)
        activity = self.activities[self.instances[instance_id].activity]
        return activity, effects + self._reconcile(now, "")

    # --- inside -------------------------------------------------------------------------------------------------------

    def _processes(self, names: Iterable[str]) -> set[str]:
        chosen = set(names) or set(PROCESSES)
        if unknown := sorted(chosen - set(PROCESSES)):
            raise invalid(f"Invalid process name: {unknown[0]}")
        return chosen

    def _put(self, instance: Instance) -> None:
        self.instances[instance.id] = instance

    def _activity(self, id: str, **changes: str | float | int | None) -> None:
        self.activities[id] = replace(self.activities[id], **changes)  # type: ignore[arg-type]

    def _begin(self, description: str, cause: str, subnet: Subnet, now: float) -> str:
        id = self.new_id()
        details = json.dumps({"Subnet ID": subnet.id, "Availability Zone": subnet.zone}, separators=(",", ":"))
        self.activities[id] = Activity(id, description, cause.strip(), now, details, "InProgress", 0)
        return id

    def _reconcile(self, now: float, cause: str) -> list[Effect]:
        """Close the gap between desired and actual capacity, as far as processes and protection allow."""
        counted = [i for i in self.instances.values() if i.state in COUNTED]
        actual, desired = len(counted) + len(self.launching), self.settings.desired
        if actual < desired and "Launch" not in self.suspended and self._retry_at is None:
            return self._launch(desired - actual, counted, cause, actual, now)
        if actual > desired and "Terminate" not in self.suspended:
            return self._scale_in(actual - desired, counted, cause, actual, now)
        return []

    def _launch(self, count: int, counted: list[Instance], cause: str, actual: int, now: float) -> list[Effect]:
        """Launch into the zone with the fewest members, then the subnet with the fewest (UG, "Balanced zones")."""
        zones = Counter(i.subnet.zone for i in counted)
        zones.update(s.zone for s in self.launching.values())
        subnets = Counter(i.subnet.id for i in counted)
        subnets.update(s.id for s in self.launching.values())
        cause += (
            f"  At {stamp(now)} an instance was started in response to a difference between desired and actual "
            f"capacity, increasing the capacity from {actual} to {actual + count}."
        )
        effects: list[Effect] = []
        for _ in range(count):
            subnet = min(self.settings.subnets, key=lambda s: (zones[s.zone], subnets[s.id]))
            zones[subnet.zone] += 1
            subnets[subnet.id] += 1
            activity = self._begin("Launching a new EC2 instance", cause, subnet, now)
            self.launching[activity] = subnet
            effects.append(Launch(activity, subnet))
        return effects

    def _scale_in(self, count: int, counted: list[Instance], cause: str, actual: int, now: float) -> list[Effect]:
        """End members that are not protected, zone by zone in balance, in the order of the termination policies."""
        candidates = [i for i in counted if not i.protected]
        zones = Counter(i.subnet.zone for i in counted)
        ranked = sorted(candidates, key=lambda i: self._rank(i, now))
        queues = {zone: [i for i in ranked if i.subnet.zone == zone][::-1] for zone in zones}
        cause += (
            f"  At {stamp(now)} an instance was taken out of service in response to a difference between desired and "
            f"actual capacity, shrinking the capacity from {actual} to {actual - count}."
        )
        effects: list[Effect] = []
        for _ in range(min(count, len(candidates))):
            zone = max((z for z in queues if queues[z]), key=lambda z: zones[z])
            zones[zone] -= 1
            victim = queues[zone].pop()
            effects += self._terminate(victim, f"{cause}  At {stamp(now)} instance {victim.id} was selected for termination.", now)
        return effects

    def _rank(self, instance: Instance, now: float) -> tuple[float, ...]:
        """Who goes first (UG, "Termination policies"); the default: oldest template version, then nearest hour."""
        to_next_hour = -((now - instance.launched_at) % 3600)
        version = float(instance.template.version)
        keys: dict[str, tuple[float, ...]] = {
            "Default": (version, to_next_hour),
            "OldestLaunchTemplate": (version,),
            "OldestInstance": (instance.launched_at,),
            "NewestInstance": (-instance.launched_at,),
            "ClosestToNextInstanceHour": (to_next_hour,),
        }
        return tuple(part for policy in self.settings.termination_policies for part in keys.get(policy, ()))

    def _wait(self, instance: Instance, phase: str, transition: str, now: float) -> bool:
        """Put the instance in ``phase:Wait`` if hooks of the transition exist."""
        waits = tuple(
            Wait(hook, self.new_id(), now + hook.heartbeat_timeout, now + hook.global_timeout)
            for hook in self.hooks.values()
            if hook.transition == transition
        )
        if not waits:
            return False
        self._put(replace(instance, state=f"{phase}:Wait", waits=waits))
        self._activity(instance.activity, status="MidLifecycleAction", progress=60)
        for wait in waits:
            heapq.heappush(self._deadlines, (wait.deadline, instance.id, wait.token))
        return True

    def _open_wait(self, hook: str, instance_id: str | None, token: str | None) -> tuple[Instance, Wait]:
        named = self.instances.get(instance_id) if instance_id else None
        for instance in [named] if named else [] if instance_id else self.instances.values():
            for wait in instance.waits:
                if wait.hook.name == hook and token in (None, wait.token):
                    return instance, wait
        raise invalid(
            f"No active Lifecycle Action found with instance ID {instance_id}"
            if instance_id
            else f"No active Lifecycle Action found with token {token}"
        )

    def _expire(self, instance_id: str, token: str, now: float) -> list[Effect]:
        instance = self.instances.get(instance_id)
        for wait in instance.waits if instance else ():
            if instance and wait.token == token and wait.deadline <= now:
                return self._end_wait(instance, wait, wait.hook.default_result, "timed out", now)
        return []

    def _end_wait(self, instance: Instance, wait: Wait, result: Result, how: str, now: float) -> list[Effect]:
        """One action has ended; ABANDON skips the others, CONTINUE waits for them (API, CompleteLifecycleAction)."""
        left = () if result == "ABANDON" else tuple(w for w in instance.waits if w.token != wait.token)
        instance = replace(instance, waits=left)
        self._put(instance)
        if left:
            return []
        abandoned = f"Lifecycle Action with Token {wait.token} was abandoned: Lifecycle Action {how}"
        if wait.hook.transition == LAUNCHING:
            if result == "CONTINUE":
                self._enter_service(instance, now)
                return []
            self._activity(instance.activity, status="Cancelled", progress=100, ended_at=now, message=abandoned)
            return self._terminate(
                instance, f"At {stamp(now)} an instance was taken out of service in response to a launch failure.", now
            ) + self._reconcile(now, "")
        if result == "ABANDON" and self.settings.retains:
            self._put(replace(instance, state="Terminating:Retained"))
            self._activity(instance.activity, status="Cancelled", progress=100, ended_at=now, message=abandoned)
            return []
        self._put(replace(instance, state="Terminating:Proceed"))
        return [Terminate(instance.id)]

    def _enter_service(self, instance: Instance, now: float) -> None:
        self._put(replace(instance, state="InService", in_service_at=now))
        self._activity(instance.activity, status="Successful", progress=100, ended_at=now)

    def _terminate(self, instance: Instance, cause: str, now: float) -> list[Effect]:
        """Begin a termination: hooks first, if there are any. A launch still waiting is cancelled by it (derived)."""
        if instance.waits:
            self._activity(instance.activity, status="Cancelled", progress=100, ended_at=now)
        activity = self._begin(f"Terminating EC2 instance: {instance.id}", cause, instance.subnet, now)
        instance = replace(instance, activity=activity, waits=(), state="Terminating")
        self._put(instance)
        if self._wait(instance, "Terminating", TERMINATING, now):
            return []
        self._put(replace(instance, state="Terminating:Proceed"))
        return [Terminate(instance.id)]

    def _end_retained(self, instance: Instance, now: float) -> tuple[Activity, list[Effect]]:
        """A retained instance has had its hooks: it ends at once (UG, "Work with retained instances")."""
        cause = f"At {stamp(now)} instance {instance.id} was taken out of service in response to a user request."
        activity = self._begin(f"Terminating EC2 instance: {instance.id}", cause, instance.subnet, now)
        self._put(replace(instance, state="Terminating:Proceed", activity=activity))
        return self.activities[activity], [Terminate(instance.id)]

    def _check_health(self, now: float) -> list[Effect]:
        """The periodic EC2 health check: what does not run is unhealthy."""
        if "HealthCheck" in self.suspended:
            return []
        for instance in [i for i in self.instances.values() if not i.running]:
            self._put(replace(instance, healthy=False))
        return self._replace_unhealthy(now, "an EC2 health check indicating it has been terminated or stopped")

    def _replace_unhealthy(self, now: float, reason: str) -> list[Effect]:
        """End unhealthy members and launch in their place (UG, "Health checks"), grace period aside."""
        unhealthy = [i for i in self.instances.values() if not i.healthy and i.state in COUNTED]
        if not unhealthy or "ReplaceUnhealthy" in self.suspended:
            return []
        cause = f"At {stamp(now)} an instance was taken out of service in response to {reason}."
        effects = [effect for instance in unhealthy for effect in self._terminate(instance, cause, now)]
        replaced = "an instance was launched in response to an unhealthy instance needing to be replaced."
        return effects + self._reconcile(now, f"At {stamp(now)} {replaced}")
