"""The calls and reports that change a group: sizes, hooks, instances. For instance refresh see ``refresh``."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from localcloud.fleet.capacity import Capacity
from localcloud.fleet.values import (
    COUNTED,
    LAUNCH_RETRY_SECONDS,
    LAUNCHING,
    MAX_HOOKS,
    Activity,
    Candidate,
    Effect,
    Hook,
    Instance,
    Refused,
    Result,
    Settings,
    Template,
    Terminate,
    invalid,
    stamp,
    validated,
    validated_hook,
)


class Lifecycle(Capacity):
    """One Auto Scaling group, without instance refresh: each method is one call or one report of EC2."""

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

    def died_at_launch(self, instance_id: str, reason: str, now: float) -> None:
        """EC2 has ended a pending instance that could not start (UG, ts-as-instancelaunchfailure)."""
        instance = self._drop(instance_id, "Terminated")
        self._retry_at = now + LAUNCH_RETRY_SECONDS
        self._note_failure(now, now)
        self._activity(
            instance.activity,
            status="Failed",
            progress=100,
            ended_at=now,
            message="Instance became unhealthy while waiting for instance to be in InService state. "
            f"Termination Reason: {reason}",
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
