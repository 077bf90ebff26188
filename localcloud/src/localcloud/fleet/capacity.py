"""What a group does by itself: capacity, zones, hooks, health, replacement."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import replace

from localcloud.fleet.state import GroupState
from localcloud.fleet.values import (
    COUNTED,
    LAUNCHING,
    TERMINATING,
    Activity,
    Effect,
    Extra,
    Instance,
    Launch,
    Result,
    Subnet,
    Terminate,
    Wait,
    invalid,
    stamp,
)


class Capacity(GroupState):
    """A group that keeps its desired capacity."""

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
        current_zones = {subnet.zone for subnet in self.settings.subnets}
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
            zone = max((z for z in queues if queues[z]), key=lambda z: (z not in current_zones, zones[z]))
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
        current_zones = {subnet.zone for subnet in self.settings.subnets}
        light = min(current_zones, key=lambda zone: (zones[zone], zone))
        heavy = [z for z, n in zones.items() if n and (z not in current_zones or n - zones[light] > 1)]
        if not heavy:
            return None
        free = {i.subnet.zone for i in self.instances.values() if i.state == "InService" and not i.protected}
        if not (heavy := [zone for zone in heavy if zone in free]):
            return None
        subnets = [subnet for subnet in self.settings.subnets if subnet.zone == light]
        return max(heavy, key=lambda z: (z not in current_zones, zones[z])), min(
            subnets, key=lambda s: self._subnets[s.id]
        )
