"""A group's instances: sizes, zones, hooks, health, standby, replacement. For instance refresh see ``refresh``."""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from localcloud.fleet.values import (
    COUNTED,
    LAUNCH_RETRY_SECONDS,
    LAUNCHING,
    MAX_HOOKS,
    PROCESSES,
    TERMINATING,
    Activity,
    Candidate,
    Effect,
    Extra,
    Hook,
    Instance,
    Launch,
    Refused,
    Result,
    Settings,
    StateChange,
    Subnet,
    Template,
    Terminate,
    Wait,
    invalid,
    stamp,
    validated,
    validated_hook,
)


@dataclass
class Lifecycle:
    """One Auto Scaling group, without instance refresh.

    Attributes:
        new_id: makes unique ids for activities and lifecycle action tokens.
        launching: subnets of launches that EC2 has not answered, by activity.
        extras: launches on top of desired capacity that are not ready yet, by activity.
        suspended: processes and since when.
        state_changes: every change of an instance's state, in order; its reader clears it.
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
    extras: dict[str, Extra] = field(default_factory=dict)
    state_changes: list[StateChange] = field(default_factory=list)
    _retry_at: float | None = None
    #: When to check what: an instance's lifecycle action by its token, or (with empty texts) the whole group.
    _deadlines: list[tuple[float, str, str]] = field(default_factory=list)
    # Updated by _put, _drop and _launch, so that no event costs more in a large group than in a small one.
    _actual: int = 0
    _zones: Counter[str] = field(default_factory=Counter)
    _subnets: Counter[str] = field(default_factory=Counter)
    _unhealthy: dict[str, None] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)
    _ages: list[tuple[float, str]] = field(default_factory=list)

    # --- size -------------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Effect]:
        """Bring a new group to its desired capacity."""
        return self._converge(
            now,
            f"At {stamp(now)} a user request created an AutoScalingGroup changing the desired capacity from 0 to "
            f"{self.settings.desired}.",
        )

    def update(self, settings: Settings, now: float) -> list[Effect]:
        """UpdateAutoScalingGroup: new settings; instances keep the template that they were launched from."""
        before, self.settings = self.settings.desired, validated(settings)
        self._retry_at = None
        self._note_ages()
        return self._converge(
            now,
            f"At {stamp(now)} a user request update of AutoScalingGroup constraints to min: {settings.min_size}, "
            f"max: {settings.max_size}, desired: {settings.desired} changing the desired capacity from {before} to "
            f"{settings.desired}.",
        )

    def set_desired(self, desired: int, now: float, *, honor_cooldown: bool = False) -> list[Effect]:
        """SetDesiredCapacity.

        Raises:
            Refused: ``ValidationError`` outside the bounds; ``ScalingActivityInProgress`` if the cooldown is honored
            and
                an activity runs or ended within it (UG, "Scaling cooldowns": it begins when the last instance has
                launched or terminated).
        """
        ends = ((math.inf if a.ended_at is None else a.ended_at, a.id) for a in self.activities.values())
        last, blocking = max(ends, default=(-math.inf, "")) if honor_cooldown else (-math.inf, "")
        if now < last + self.settings.default_cooldown:
            raise Refused(
                "ScalingActivityInProgress", f"Scaling activity {blocking} is in progress and blocks this action"
            )
        low, high, before = self.settings.min_size, self.settings.max_size, self.settings.desired
        if desired > high:
            raise invalid(f"New SetDesiredCapacity value {desired} is above max value {high} for the AutoScalingGroup.")
        if desired < low:
            raise invalid(f"New SetDesiredCapacity value {desired} is below min value {low} for the AutoScalingGroup.")
        self.settings = replace(self.settings, desired=desired)
        return self._converge(
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
        """ResumeProcesses; what was suspended happens now."""
        for name in self._processes(processes):
            self.suspended.pop(name, None)
        return self._check_health(now) + self._converge(now)

    def delete(self, *, force: bool) -> list[Effect]:
        """DeleteAutoScalingGroup: terminates the remaining instances without their hooks.

        Raises:
            Refused: ``ResourceInUse`` or ``ScalingActivityInProgress`` unless forced; ``ValidationError`` while
                deletion protection or a retaining lifecycle policy forbids it (wording and the latter derived).
        """
        protection = self.settings.deletion_protection
        if protection == "prevent-all-deletion" or (force and protection == "prevent-force-deletion"):
            raise invalid(
                f"You cannot delete AutoScalingGroup {self.name} because its deletion protection is {protection}."
            )
        if force and self.settings.retains:
            raise invalid(
                f"You cannot force delete AutoScalingGroup {self.name} while its instance lifecycle policy retains "
                "instances."
            )
        if not force and self.instances:
            raise Refused(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                "still in the group.",
            )
        if not force and self.launching:
            raise Refused(
                "ScalingActivityInProgress",
                "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.",
            )
        for instance in list(self.instances.values()):
            if not instance.state.startswith("Terminating"):
                self._put(replace(instance, state="Terminating", waits=()))
            self._put(replace(self.instances[instance.id], state="Terminating:Proceed", waits=()))
        return [Terminate(id) for id in self.instances]

    # --- answers and reports of EC2 ---------------------------------------------------------------------------------

    def launched(
        self,
        activity: str,
        instance_id: str,
        template: Template,
        instance_type: str,
        image_id: str,
        now: float,
        *,
        running: bool = True,
    ) -> list[Effect]:
        """EC2 has the instance of a ``Launch``. If it runs, launch hooks begin, else it waits for ``booted``."""
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
        self._count(instance.subnet, -1)
        if activity in self.extras:
            self.extras[activity] = replace(self.extras[activity], instance=instance_id)
        self._activity(
            activity, description=f"Launching a new EC2 instance: {instance_id}", status="PreInService", progress=30
        )
        if running:
            self._admit(instance, now)
        else:
            self._put(instance)
        return self._converge(now)

    def booted(self, instance_id: str, now: float) -> list[Effect]:
        """EC2 runs a pending instance: launch hooks begin, else it is in service. Another's start changes nothing."""
        instance = self.instances.get(instance_id)
        if instance is None or instance.state != "Pending":
            return []
        self._admit(instance, now)
        return self._converge(now)

    def launch_failed(self, activity: str, reason: str, now: float) -> None:
        """EC2 refused: the activity fails, and the launch is tried again after a pause."""
        self._count(self.launching.pop(activity), -1)
        self.extras.pop(activity, None)
        self._retry_at = now + LAUNCH_RETRY_SECONDS
        self._note_failure(now, now)
        self._activity(
            activity,
            status="Failed",
            progress=100,
            ended_at=now,
            message=f"{reason.rstrip('.')}. Launching EC2 instance failed.",
        )

    def terminated(self, instance_id: str, now: float) -> None:
        """EC2 has terminated the instance of a ``Terminate``."""
        instance = self._drop(instance_id, "Terminated")
        self._activity(instance.activity, status="Successful", progress=100, ended_at=now)

    def lost(self, instance_id: str, now: float, *, stopped: bool = False) -> list[Effect]:
        """The instance was terminated or stopped, but not by the group: the next health check finds it.

        Its hooks still run, but nothing is left to drain (UG, "Amazon EC2 Auto Scaling lifecycle hooks"). In standby
        there are no health checks: a stopped instance stays (UG, "Temporarily remove instances"), a terminated one
        leaves the group (derived).
        """
        instance = self.instances.get(instance_id)
        if instance is None:
            return []
        if instance.state in ("Terminating:Retained", "Standby") and not stopped:  # nothing is left to keep (derived)
            return self._terminate_now(instance, now)[1]
        self._put(replace(instance, running=False))
        return self._check_health(now)

    def restarted(self, instance_id: str) -> None:
        """The instance runs again (StartInstances)."""
        if instance := self.instances.get(instance_id):
            self._put(replace(instance, running=True))

    def tick(self, now: float) -> list[Effect]:
        """Apply every timeout up to ``now``, in order, each at its own time."""
        effects: list[Effect] = []
        while (due := self.next_deadline()) is not None and due <= now:
            if self._retry_at == due:
                self._retry_at = None
            else:
                _, instance_id, token = heapq.heappop(self._deadlines)
                if token:
                    effects += self._expire(instance_id, token, due)
                    continue
            effects += self._converge(due)
        return effects

    def next_deadline(self) -> float | None:
        """When ``tick`` is next due, in seconds since the epoch; it may be too early, never too late."""
        ends = [self._deadlines[0][0]] if self._deadlines else []
        return min([*ends, *([self._retry_at] if self._retry_at is not None else [])], default=None)

    # --- hooks ------------------------------------------------------------------------------------------------------

    def put_hook(self, hook: Hook) -> None:
        """Create or replace a hook; open lifecycle actions keep the timeouts they began with (derived).

        Raises:
            Refused: ``ValidationError`` for a hook that AWS refuses; ``LimitExceeded`` past fifty (UG, "Quotas").
        """
        if hook.name not in self.hooks and len(self.hooks) >= MAX_HOOKS:
            raise Refused(
                "LimitExceeded",
                f"The maximum number of lifecycle hooks for Auto Scaling group {self.name} is {MAX_HOOKS}.",
            )
        self.hooks[hook.name] = validated_hook(hook)

    def delete_hook(self, name: str, now: float) -> list[Effect]:
        """Delete a hook and complete its open actions: launches are abandoned, terminations continued.

        (API, DeleteLifecycleHook.)

        Raises:
            Refused: ``ValidationError`` for an unknown hook.
        """
        if name not in self.hooks:
            raise invalid(f"No Lifecycle Hook found with name {name} for AutoScalingGroup {self.name}")
        result: Result = "ABANDON" if self.hooks.pop(name).transition == LAUNCHING else "CONTINUE"
        effects: list[Effect] = []
        for id, token in [(i.id, w.token) for i in self.instances.values() for w in i.waits if w.hook.name == name]:
            if still := self._waiting(id, token):  # completing another may have completed it
                effects += self._end_wait(*still, result, "was deleted", now)
        return effects

    def heartbeat(self, hook: str, now: float, *, instance_id: str | None, token: str | None) -> None:
        """RecordLifecycleActionHeartbeat: the wait lasts one more timeout from now, within its limit, never shorter."""
        instance, wait = self._open_wait(hook, instance_id, token)
        longer = replace(wait, deadline=min(wait.limit, max(wait.deadline, now + wait.hook.heartbeat_timeout)))
        self._put(replace(instance, waits=tuple(longer if w is wait else w for w in instance.waits)))
        heapq.heappush(self._deadlines, (longer.deadline, instance.id, longer.token))

    def complete(
        self, hook: str, result: Result, now: float, *, instance_id: str | None, token: str | None
    ) -> list[Effect]:
        """CompleteLifecycleAction.

        Raises:
            Refused: ``ValidationError`` when no such action is open (also on the second completion).
        """
        if result not in ("CONTINUE", "ABANDON"):
            raise invalid(f"Invalid lifecycle action result: {result}")
        instance, wait = self._open_wait(hook, instance_id, token)
        return self._end_wait(instance, wait, result, f"completed with {result} Result", now)

    # --- instances --------------------------------------------------------------------------------------------------

    def instance(self, instance_id: str) -> Instance:
        """The instance, or AWS's refusal."""
        if instance_id not in self.instances:
            raise invalid(f"The instance {instance_id} is not part of Auto Scaling group {self.name}.")
        return self.instances[instance_id]

    def protect(self, instance_ids: Iterable[str], protected: bool, now: float) -> list[Effect]:
        """SetInstanceProtection, in service and in standby. Removing it lets a blocked scale-in continue.

        Raises:
            Refused: ``ValidationError`` for an unknown instance or another state; nothing is changed then.
        """
        instances = [self.instance(id) for id in instance_ids]
        for instance in instances:
            if instance.state not in ("InService", "EnteringStandby", "Standby"):
                raise invalid(f"The instance {instance.id} is not in InService or EnteringStandby or Standby.")
        for instance in instances:
            self._put(replace(instance, protected=protected))
        return self._converge(now)

    def set_health(self, instance_id: str, healthy: bool, respect_grace_period: bool, now: float) -> list[Effect]:
        """SetInstanceHealth; unhealthy instances are replaced, within the grace period only if it is not respected."""
        instance = self.instances[instance_id]
        since = instance.in_service_at if instance.in_service_at is not None else now
        if not healthy and respect_grace_period and now < since + self.settings.health_check_grace_period:
            return []
        self._put(replace(instance, healthy=healthy))
        return self._converge(now, unhealthy="a user health-check")

    def terminate(self, instance_id: str, decrement: bool, now: float) -> tuple[Activity, list[Effect]]:
        """TerminateInstanceInAutoScalingGroup, which also terminates a retained instance.

        Returns:
            The activity and the effects. Scale-in protection does not prevent it (UG, "Use instance scale-in
            protection").

        Raises:
            Refused: ``ValidationError`` if the decrement would go below the minimum size.
        """
        instance = self.instances[instance_id]
        if instance.state == "Terminating:Retained":
            return self._terminate_now(instance, now)
        if instance.state not in COUNTED and instance.state != "Standby":
            return self.activities[instance.activity], []
        cause = f"At {stamp(now)} instance {instance_id} was taken out of service in response to a user request"
        if decrement and instance.state in COUNTED:
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
        return activity, effects + self._converge(now)

    def enter_standby(
        self, instance_ids: Sequence[str], decrement: bool, now: float
    ) -> tuple[list[Activity], list[Effect]]:
        """EnterStandby: out of service and not counted, still in the group (UG, "Temporarily remove instances").

        Raises:
            Refused: ``ValidationError`` for an unknown instance, another state than ``InService``, or a decrement
            below min.
        """
        instances = self._instances_in(instance_ids, "InService")
        if decrement:
            self._shrink(len(instances), "place into standby")
        activities = []
        for instance in instances:
            what = f"instance {instance.id} was moved to standby in response to a user request"
            activities.append(self._begin_move(instance, "Moving EC2 instance to Standby", what, decrement, -1, now))
            self.extras.pop(instance.activity, None)
            self._put(replace(instance, state="EnteringStandby", activity=activities[-1].id))
            self._put(replace(instance, state="Standby", activity=activities[-1].id))
        return activities, self._converge(now)

    def exit_standby(self, instance_ids: Sequence[str], now: float) -> tuple[list[Activity], list[Effect]]:
        """ExitStandby: back through ``Pending`` and its launch hooks; desired capacity grows (API, ExitStandby).

        Raises:
            Refused: ``ValidationError`` for an unknown instance, another state than ``Standby``, or growth above max.
        """
        instances = self._instances_in(instance_ids, "Standby")
        self._grow(len(instances), "remove from standby")
        activities = []
        for instance in instances:
            what = f"instance {instance.id} was moved out of standby in response to a user request"
            activity = self._begin_move(instance, "Moving EC2 instance out of Standby", what, True, 1, now)
            self._activity(activity.id, status="PreInService", progress=30, ended_at=None)
            activities.append(self.activities[activity.id])
            self._admit(replace(instance, state="Pending", activity=activity.id), now)
        return activities, self._check_health(now) + self._converge(now)

    def attach(self, candidates: Sequence[Candidate], now: float) -> list[Effect]:
        """AttachInstances: running instances join the group and desired capacity grows by their number.

        Raises:
            Refused: ``ValidationError`` for an instance outside the group's zones or growth above max.
        """
        zones = {subnet.zone for subnet in self.settings.subnets}
        for candidate in candidates:
            if candidate.id in self.instances:
                raise invalid(f"The instance {candidate.id} is already part of Auto Scaling group {self.name}.")
            if candidate.subnet.zone not in zones:
                raise invalid(
                    f"The availability zone {candidate.subnet.zone} of instance {candidate.id} is not one of the "
                    "group's."
                )
        self._grow(len(candidates), "attach")
        for candidate in candidates:
            cause = (
                f"At {stamp(now)} an instance was attached in response to user request, increasing the capacity from "
            )
            cause += f"{self._actual} to {self._actual + 1}."
            activity = self._begin(f"Attaching an existing EC2 instance: {candidate.id}", cause, candidate.subnet, now)
            self._admit(
                Instance(
                    candidate.id,
                    candidate.subnet,
                    None,
                    candidate.instance_type,
                    candidate.image_id,
                    now,
                    activity,
                    protected=self.settings.new_instances_protected,
                ),
                now,
            )
        return self._converge(now)

    def detach(self, instance_ids: Sequence[str], decrement: bool, now: float) -> tuple[list[Activity], list[Effect]]:
        """DetachInstances: they leave the group without hooks and keep running (API, DetachInstances).

        Raises:
            Refused: ``ValidationError`` for an unknown instance, for a state other than ``InService``, ``Standby`` or
                ``Terminating:Retained``, for a decrement with a retained one (UG, "Detach or attach instances") or
                below min (those in standby are not counted any more, derived).
        """
        instances = self._instances_in(instance_ids, "InService", "Standby", "Terminating:Retained")
        if decrement:
            self._instances_in(instance_ids, "InService", "Standby")
            self._shrink(sum(instance.state in COUNTED for instance in instances), "detach")
        activities = []
        for instance in instances:
            what = f"instance {instance.id} was detached in response to a user request"
            counted = instance.state in COUNTED
            activities.append(
                self._begin_move(instance, "Detaching EC2 instance", what, decrement and counted, -1, now)
            )
            self.extras.pop(instance.activity, None)
            self._put(replace(instance, state="Detaching"))
            self._drop(instance.id, "Detached")
        return activities, self._converge(now)

    def _instances_in(self, instance_ids: Sequence[str], *states: str) -> list[Instance]:
        instances = [self.instance(id) for id in dict.fromkeys(instance_ids)]
        for instance in instances:
            if instance.state not in states:
                raise invalid(f"The instance {instance.id} is not in {' or '.join(states)}.")
        return instances

    def _shrink(self, count: int, purpose: str) -> None:
        if self.settings.desired - count < self.settings.min_size:
            raise invalid(self._no_room(count, purpose))
        self.settings = replace(self.settings, desired=self.settings.desired - count)

    def _grow(self, count: int, purpose: str) -> None:
        if self.settings.desired + count > self.settings.max_size:
            raise invalid(self._no_room(count, purpose))
        self.settings = replace(self.settings, desired=self.settings.desired + count)

    def _no_room(self, count: int, purpose: str) -> str:
        of = self.settings
        return (
            f"AutoScalingGroup {self.name} has min-size={of.min_size}, max-size={of.max_size}, and "
            f"desired-size={of.desired}. To {purpose} {count} instance{'' if count == 1 else 's'}, please update the "
            "AutoScalingGroup sizes appropriately."
        )

    def _begin_move(
        self, instance: Instance, description: str, what: str, resizes: bool, by: int, now: float
    ) -> Activity:
        """An activity that is over at once; its caller still sees it in progress, as AWS answers."""
        cause = f"At {stamp(now)} {what}"
        if resizes:
            word = "increasing" if by > 0 else "shrinking"
            cause += f", {word} the capacity from {self._actual} to {self._actual + by}"
        id = self._begin(f"{description}: {instance.id}", f"{cause}.", instance.subnet, now)
        shown = self.activities[id] = replace(self.activities[id], progress=50)
        self._activity(id, status="Successful", progress=100, ended_at=now)
        return shown

    # --- bookkeeping ------------------------------------------------------------------------------------------------

    def _processes(self, names: Iterable[str]) -> set[str]:
        chosen = set(names) or set(PROCESSES)
        if unknown := sorted(chosen - set(PROCESSES)):
            raise invalid(f"Invalid process name: {unknown[0]}")
        return chosen

    def _count(self, subnet: Subnet, by: int) -> None:
        self._actual += by
        self._zones[subnet.zone] += by
        self._subnets[subnet.id] += by

    def _put(self, instance: Instance) -> None:
        before = self.instances.get(instance.id)
        self.instances[instance.id] = instance
        if before is None or before.state != instance.state:
            self.state_changes.append(StateChange(instance.id, before.state if before else "", instance.state))
        counts = instance.state in COUNTED
        if counts != (before is not None and before.state in COUNTED):
            self._count(instance.subnet, 1 if counts else -1)
        if counts and not (instance.healthy and instance.running):
            self._unhealthy[instance.id] = None
        else:
            self._unhealthy.pop(instance.id, None)

    def _drop(self, instance_id: str, last: str) -> Instance:
        instance = self.instances.pop(instance_id)
        self.state_changes += [StateChange(instance_id, instance.state, last), StateChange(instance_id, last, "")]
        if instance.state in COUNTED:
            self._count(instance.subnet, -1)
        self._unhealthy.pop(instance_id, None)
        return instance

    def _activity(self, id: str, **changes: str | float | int | None) -> None:
        self.activities[id] = replace(self.activities[id], **changes)  # type: ignore[arg-type]

    def _begin(self, description: str, cause: str, subnet: Subnet, now: float) -> str:
        id = self.new_id()
        details = json.dumps({"Subnet ID": subnet.id, "Availability Zone": subnet.zone}, separators=(",", ":"))
        self.activities[id] = Activity(id, description, cause.strip(), now, details, "InProgress", 0)
        return id

    def _check_at(self, at: float) -> None:
        """Have ``tick`` check the whole group at that time."""
        heapq.heappush(self._deadlines, (at, "", ""))

    def _note_failure(self, launched_at: float, now: float) -> None:
        """An instance failed to launch or became unhealthy; an instance refresh counts its new ones."""

    @property
    def launch_template(self) -> Template:
        """What new instances are launched from."""
        return self.settings.template

    @property
    def warmup(self) -> int:
        """Seconds in service until a replacement is ready (UG, "Instance maintenance policies", instance warmup)."""
        return self.settings.default_instance_warmup or 0

    # --- capacity ---------------------------------------------------------------------------------------------------

    def _converge(self, now: float, cause: str = "", *, unhealthy: str = "a user health-check") -> list[Effect]:
        """Everything that the group does by itself, in order; ``cause`` explains a change of capacity, if any."""
        effects = self._replace_unhealthy(now, unhealthy)
        effects += self._reconcile(now, cause)
        effects += self._terminate_replaced(now)
        effects += self._replace_expired(now)
        effects += self._refresh(now)
        effects += self._reconcile(now, "")
        return effects + self._rebalance(now)

    def _refresh(self, now: float) -> list[Effect]:
        """An instance refresh's next step."""
        return []

    def _surplus(self) -> int:
        """How many instances are there in addition to desired capacity."""
        return sum(extra.target is None or self._counts(extra.target) for extra in self.extras.values())

    def _counts(self, instance_id: str) -> bool:
        return instance_id in self.instances and self.instances[instance_id].state in COUNTED

    def _reconcile(self, now: float, cause: str) -> list[Effect]:
        """Close the gap between desired and actual capacity, as far as processes and protection allow."""
        excess = self._actual - self._surplus() - self.settings.desired
        if excess > 0 and "Terminate" not in self.suspended:
            effects, ended = self._scale_in(excess, cause, now)
            # If an instance that was to be replaced is gone, its replacement counts: check again.
            return effects + self._reconcile(now, cause) if ended else effects
        return self._fill(now, cause)

    def _fill(self, now: float, cause: str) -> list[Effect]:
        """Launch what is missing."""
        missing = self.settings.desired - (self._actual - self._surplus())
        if missing <= 0 or "Launch" in self.suspended or self._retry_at is not None:
            return []
        return self._launch(missing, cause, now)

    def _launch(self, count: int, cause: str, now: float) -> list[Effect]:
        """Launch into the zone with the fewest instances, then the subnet with the fewest (UG, "Balanced zones")."""
        cause += (
            f"  At {stamp(now)} an instance was started in response to a difference between desired and actual "
            f"capacity, increasing the capacity from {self._actual} to {self._actual + count}."
        )
        return [self._launch_into(self._emptiest_subnet(), cause, now) for _ in range(count)]

    def _emptiest_subnet(self) -> Subnet:
        return min(self.settings.subnets, key=lambda s: (self._zones[s.zone], self._subnets[s.id]))

    def _launch_into(self, subnet: Subnet, cause: str, now: float) -> Launch:
        activity = self._begin("Launching a new EC2 instance", cause, subnet, now)
        self.launching[activity] = subnet
        self._count(subnet, 1)
        return Launch(activity, subnet, self.launch_template)

    def _launch_extra(self, target: Instance | None, subnet: Subnet, why: str, end: str, now: float) -> list[Effect]:
        """Launch in addition to desired capacity; the target is terminated when the new instance is ready."""
        launch = self._launch_into(subnet, why, now)
        self.extras[launch.activity] = Extra(target.id if target else None, end)
        return [launch]

    def _scale_in(self, count: int, cause: str, now: float) -> tuple[list[Effect], int]:
        """Terminate unprotected instances, keeping zones in balance, in the order of the termination policies.

        The zone with the most instances comes first, whatever the policy (UG, "Termination policies"); one that the
        group has left comes before all.
        """
        extras = {extra.instance for extra in self.extras.values()}
        candidates = [
            i for i in self.instances.values() if i.state in COUNTED and not i.protected and i.id not in extras
        ]
        wanted = {subnet.zone for subnet in self.settings.subnets}
        zones = Counter({zone: number for zone, number in self._zones.items() if number})
        ranked = sorted(candidates, key=lambda i: self._rank(i, now))
        queues = {zone: [i for i in ranked if i.subnet.zone == zone][::-1] for zone in zones}
        actual = self._actual
        cause += (
            f"  At {stamp(now)} an instance was taken out of service in response to a difference between desired and "
            f"actual capacity, shrinking the capacity from {actual} to {actual - count}."
        )
        effects: list[Effect] = []
        ending = min(count, len(candidates))
        for _ in range(ending):
            zone = max((z for z in queues if queues[z]), key=lambda z: (z not in wanted, zones[z]))
            zones[zone] -= 1
            victim = queues[zone].pop()
            effects += self._terminate(
                victim, f"{cause}  At {stamp(now)} instance {victim.id} was selected for termination.", now
            )
        return effects, ending

    def _rank(self, instance: Instance, now: float) -> tuple[float, ...]:
        """Which goes first (UG, "Termination policies"); the default: oldest launch template, then nearest hour.

        Another launch template than the group's goes before an older version of it. AllocationStrategy and
        OldestLaunchConfiguration select nothing in a group with one launch template.
        """
        to_next_hour = -((now - instance.launched_at) % 3600)
        current, own = self.settings.template, instance.template
        template = (float(own is not None and own.id == current.id), float(own.version) if own else 0.0)
        keys: dict[str, tuple[float, ...]] = {
            "Default": (*template, to_next_hour),
            "OldestLaunchTemplate": template,
            "OldestInstance": (instance.launched_at,),
            "NewestInstance": (-instance.launched_at,),
            "ClosestToNextInstanceHour": (to_next_hour,),
        }
        return tuple(part for policy in self.settings.termination_policies for part in keys.get(policy, ()))

    # --- hooks, inside ----------------------------------------------------------------------------------------------

    def _admit(self, instance: Instance, now: float) -> None:
        """Start the launch hooks of a pending instance; without any it is in service."""
        self._put(instance)
        if not self._wait(instance, "Pending", LAUNCHING, now):
            self._enter_service(instance, now)

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
            self._tokens[wait.token] = instance.id
            heapq.heappush(self._deadlines, (wait.deadline, instance.id, wait.token))
        return True

    def _open_wait(self, hook: str, instance_id: str | None, token: str | None) -> tuple[Instance, Wait]:
        instance = self.instances.get(instance_id or self._tokens.get(token or "", ""))
        for wait in instance.waits if instance else ():
            if instance and wait.hook.name == hook and token in (None, wait.token):
                return instance, wait
        raise invalid(
            f"No active Lifecycle Action found with instance ID {instance_id}"
            if instance_id
            else f"No active Lifecycle Action found with token {token}"
        )

    def _expire(self, instance_id: str, token: str, now: float) -> list[Effect]:
        found = self._waiting(instance_id, token)
        if found is None or found[1].deadline > now:
            return []
        return self._end_wait(*found, found[1].hook.default_result, "timed out", now)

    def _waiting(self, instance_id: str, token: str) -> tuple[Instance, Wait] | None:
        instance = self.instances.get(instance_id)
        waits = [(instance, wait) for wait in instance.waits if wait.token == token] if instance else []
        return waits[0] if waits else None

    def _end_wait(self, instance: Instance, wait: Wait, result: Result, how: str, now: float) -> list[Effect]:
        """One action is completed; ABANDON skips the others, CONTINUE waits for them (API, CompleteLifecycleAction)."""
        left = () if result == "ABANDON" else tuple(w for w in instance.waits if w.token != wait.token)
        for ended in set(instance.waits) - set(left):
            self._tokens.pop(ended.token, None)
        instance = replace(instance, waits=left)
        self._put(instance)
        if left:
            return []
        abandoned = f"Lifecycle Action with Token {wait.token} was abandoned: Lifecycle Action {how}"
        if wait.hook.transition == LAUNCHING:
            if result == "CONTINUE":
                self._put(replace(instance, state="Pending:Proceed"))
                self._enter_service(instance, now)
                return self._converge(now)
            self._activity(instance.activity, status="Cancelled", progress=100, ended_at=now, message=abandoned)
            self._note_failure(instance.launched_at, now)
            cause = f"At {stamp(now)} an instance was taken out of service in response to a launch failure."
            return self._terminate(instance, cause, now) + self._converge(now)
        if result == "ABANDON" and self.settings.retains:
            self._put(replace(instance, state="Terminating:Retained"))
            self._activity(instance.activity, status="Cancelled", progress=100, ended_at=now, message=abandoned)
            return []
        self._put(replace(instance, state="Terminating:Proceed"))
        return [Terminate(instance.id)]

    def _enter_service(self, instance: Instance, now: float) -> None:
        self._put(replace(instance, state="InService", in_service_at=now))
        self._activity(instance.activity, status="Successful", progress=100, ended_at=now)
        if self.settings.max_instance_lifetime:
            heapq.heappush(self._ages, (now, instance.id))
            self._check_at(now + self.settings.max_instance_lifetime)
        if self.warmup:
            self._check_at(now + self.warmup)

    def _terminate(self, instance: Instance, cause: str, now: float) -> list[Effect]:
        """Begin a termination, with its hooks if there are any. It cancels a launch that still waits (derived)."""
        self.extras.pop(instance.activity, None)
        for wait in instance.waits:
            self._tokens.pop(wait.token, None)
        if instance.waits:
            self._activity(instance.activity, status="Cancelled", progress=100, ended_at=now)
        activity = self._begin(f"Terminating EC2 instance: {instance.id}", cause, instance.subnet, now)
        instance = replace(instance, activity=activity, waits=(), state="Terminating")
        self._put(instance)
        if self._wait(instance, "Terminating", TERMINATING, now):
            return []
        self._put(replace(instance, state="Terminating:Proceed"))
        return [Terminate(instance.id)]

    def _terminate_now(self, instance: Instance, now: float) -> tuple[Activity, list[Effect]]:
        """Terminate without hooks, as a retained instance (UG, "Work with retained instances")."""
        cause = f"At {stamp(now)} instance {instance.id} was taken out of service in response to a user request."
        activity = self._begin(f"Terminating EC2 instance: {instance.id}", cause, instance.subnet, now)
        self._put(replace(instance, state="Terminating:Proceed", activity=activity))
        return self.activities[activity], [Terminate(instance.id)]

    # --- replacement ------------------------------------------------------------------------------------------------

    def _check_health(self, now: float) -> list[Effect]:
        """The EC2 health check: what does not run is unhealthy, regardless of the grace period."""
        if "HealthCheck" in self.suspended:
            return []
        for instance in [self.instances[id] for id in self._unhealthy if not self.instances[id].running]:
            self._put(replace(instance, healthy=False))
        return self._converge(now, unhealthy="an EC2 health check indicating it has been terminated or stopped")

    def _replace_unhealthy(self, now: float, reason: str) -> list[Effect]:
        """Terminate unhealthy instances and launch replacements (UG, "Health checks").

        Under a maintenance policy of 100 percent minimum health the replacement is launched first (UG, "Instance
        maintenance policies"), unless the instance does not run (derived).
        """
        unhealthy = [self.instances[id] for id in self._unhealthy if not self.instances[id].healthy]
        if not unhealthy or {"ReplaceUnhealthy", "Terminate"} & self.suspended.keys():
            return []
        cause = f"At {stamp(now)} an instance was taken out of service in response to {reason}."
        why = f"At {stamp(now)} an instance was launched in response to an unhealthy instance needing to be replaced."
        keep = self.settings.headroom if self.settings.headroom and not self.settings.headroom.fewer else None
        effects: list[Effect] = []
        for instance in unhealthy:
            if keep and instance.running and instance.state == "InService":
                effects += self._replace_first(instance, keep.more, why, cause, now)
            else:
                self._note_failure(instance.launched_at, now)
                effects += self._terminate(instance, cause, now)
        return effects + self._fill(now, why)

    def _replace_first(self, old: Instance, at_most: int, why: str, cause: str, now: float) -> list[Effect]:
        """Launch the replacement of an instance before it is terminated, unless it has one or there are too many."""
        blocked = "Launch" in self.suspended or self._retry_at is not None
        if blocked or len(self.extras) >= at_most or any(extra.target == old.id for extra in self.extras.values()):
            return []
        subnet = old.subnet if old.subnet in self.settings.subnets else self._emptiest_subnet()
        return self._launch_extra(old, subnet, why, cause, now)

    def _terminate_replaced(self, now: float) -> list[Effect]:
        """Terminate each instance whose replacement has been in service for the warmup."""
        effects: list[Effect] = []
        if "Terminate" in self.suspended:
            return effects
        for activity, extra in list(self.extras.items()):
            target = self.instances.get(extra.target or "")
            if extra.target and not self._counts(extra.target):
                del self.extras[activity]
            elif (
                extra.instance
                and self._ready(self.instances[extra.instance], now)
                and self._may_spare(extra.target, now)
            ):
                del self.extras[activity]
                if target and self._may_terminate(target):
                    effects += self._terminate(target, extra.cause, now)
        return effects

    def _may_terminate(self, instance: Instance) -> bool:
        """Whether it may be terminated for its replacement: protected ones only if they are unhealthy."""
        return not instance.protected or not instance.healthy

    def _may_spare(self, instance_id: str | None, now: float) -> bool:
        """Whether the instance may be terminated without too few healthy ones left."""
        return True

    def _ready(self, instance: Instance, now: float) -> bool:
        served = instance.in_service_at
        return instance.state == "InService" and instance.healthy and served is not None and now >= served + self.warmup

    def _replace_expired(self, now: float) -> list[Effect]:
        """Replace what has been in service for the maximum lifetime, a tenth at once, except protected ones.

        (UG, "Replace Auto Scaling instances based on maximum instance lifetime"; order derived: oldest first.)
        """
        lifetime = self.settings.max_instance_lifetime
        if not lifetime or {"Launch", "Terminate"} & self.suspended.keys() or self._retry_at is not None:
            return []
        while self._ages and not self._still_serves(*self._ages[0]):
            heapq.heappop(self._ages)
        if not self._ages or self._ages[0][0] + lifetime > now:
            return []
        old = sorted((at, id) for at, id in self._ages if at + lifetime <= now and self._still_serves(at, id))
        away = self._actual - sum(i.state == "InService" for i in self.instances.values())
        at_once = max(1, self.settings.desired // 10)
        headroom = self.settings.headroom
        begin, lifetime_reached = f"At {stamp(now)} an instance was", "maximum instance lifetime"
        cause = f"{begin} taken out of service in response to its {lifetime_reached} being reached."
        why = f"{begin} launched in response to an instance reaching its {lifetime_reached}."
        effects: list[Effect] = []
        for instance in (self.instances[id] for _, id in old):
            if away >= at_once:
                break
            if instance.protected or any(extra.target == instance.id for extra in self.extras.values()):
                continue
            if headroom and not headroom.fewer:
                effects += self._replace_first(instance, headroom.more, why, cause, now)
            else:
                effects += self._terminate(instance, cause, now)
            away += 1
        return effects + self._fill(now, why)

    def _note_ages(self) -> None:
        """Note since when each instance is in service, and when its maximum lifetime ends, if there is one."""
        lifetime, instances = self.settings.max_instance_lifetime, self.instances.values()
        self._ages = [
            (i.in_service_at, i.id)
            for i in instances
            if lifetime and i.in_service_at is not None and i.state == "InService"
        ]
        heapq.heapify(self._ages)
        for at, _ in self._ages if lifetime else ():
            self._check_at(at + (lifetime or 0))

    def _still_serves(self, since: float, instance_id: str) -> bool:
        instance = self.instances.get(instance_id)
        return instance is not None and instance.state == "InService" and instance.in_service_at == since

    def _rebalance(self, now: float) -> list[Effect]:
        """Bring zones into balance, launching before terminating, a tenth of max size at once (UG, "AZRebalance").

        A maintenance policy's maximum limits it too. Nothing moves while the capacity itself is changing (derived).
        """
        if {"AZRebalance", "Launch"} & self.suspended.keys() or self._retry_at is not None:
            return []
        if self._actual - self._surplus() != self.settings.desired:
            return []
        at_once = max(1, self.settings.max_size // 10)
        if headroom := self.settings.headroom:
            at_once = min(at_once, headroom.more or 1)
        zones = dict.fromkeys((subnet.zone for subnet in self.settings.subnets), 0) | {
            z: n for z, n in self._zones.items() if n
        }
        for extra in self.extras.values():  # what is being replaced does not count
            if extra.target and self._counts(extra.target):
                zones[self.instances[extra.target].subnet.zone] -= 1
            elif extra.target is None:
                zones[max(zones, key=lambda zone: zones[zone])] -= 1
        effects: list[Effect] = []
        while len(self.extras) < at_once and (move := self._next_rebalance(zones)):
            heavy, light = move
            zones[heavy] -= 1
            zones[light.zone] += 1
            why = (
                f"At {stamp(now)} instances were launched to balance instances in zones {heavy} with other zones "
                "resulting in more than desired number of instances in the group."
            )
            effects += self._launch_extra(None, light, why, "", now)
        return effects

    def _next_rebalance(self, zones: dict[str, int]) -> tuple[str, Subnet] | None:
        """The zone that should lose an instance and the subnet that should gain one; None if zones are in balance."""
        wanted = {subnet.zone for subnet in self.settings.subnets}
        light = min(wanted, key=lambda zone: (zones[zone], zone))
        heavy = [z for z, n in zones.items() if n and (z not in wanted or n - zones[light] > 1)]
        if not heavy:
            return None
        free = {i.subnet.zone for i in self.instances.values() if i.state == "InService" and not i.protected}
        if not (heavy := [zone for zone in heavy if zone in free]):
            return None
        subnets = [subnet for subnet in self.settings.subnets if subnet.zone == light]
        return max(heavy, key=lambda z: (z not in wanted, zones[z])), min(subnets, key=lambda s: self._subnets[s.id])
