"""Random steps of a group, with the invariants that hold after each of them.

A step is one API call, one answer of EC2, or the passing of time; the caller decides how steps are chosen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from unit.group_driver import START, SUBNETS

from localcloud import fleet

Choose = Callable[[Sequence[Any]], Any]

#: State -> the states that may follow (UG, "Amazon EC2 Auto Scaling instance lifecycle"); "" is outside the group.
ALLOWED = {
    "": {"Pending"},
    "Pending": {"Pending:Wait", "InService", "Terminating"},
    "Pending:Wait": {"Pending:Proceed", "Terminating"},
    "Pending:Proceed": {"InService"},
    "InService": {"Terminating", "EnteringStandby", "Detaching"},
    "EnteringStandby": {"Standby"},
    "Standby": {"Pending", "Terminating", "Terminating:Proceed", "Detaching"},
    "Detaching": {"Detached"},
    "Detached": {""},
    "Terminating": {"Terminating:Wait", "Terminating:Proceed"},
    "Terminating:Wait": {"Terminating:Proceed", "Terminating:Retained"},
    "Terminating:Retained": {"Terminating:Proceed"},
    "Terminating:Proceed": {"Terminated"},
    "Terminated": {""},
}
HOOKS = [
    hook
    for kind, transition in (("boot", fleet.LAUNCHING), ("drain", fleet.TERMINATING))
    for hook in (
        fleet.Hook(f"{kind}-1", transition, heartbeat_timeout=60),
        fleet.Hook(f"{kind}-2", transition, heartbeat_timeout=120, default_result="CONTINUE"),
    )
]


class CheckedGroup(fleet.Group):
    """A group that checks which instances it terminates."""

    def _terminate(self, instance: fleet.Instance, cause: str, now: float) -> list[fleet.Effect]:
        if "was selected for termination" in cause:
            assert not instance.protected, "scale-in chose a protected instance"
        refresh = self.active_refresh
        if (
            refresh
            and "in response to an instance refresh." in cause
            and instance.state == "InService"
            and instance.healthy
        ):
            left = sum(self._is_up(i, refresh, now) for i in self.instances.values() if i.id != instance.id)
            low = refresh.preferences.min_healthy or 0
            floor = -(-self.settings.desired * low // 100)
            if floor == self.settings.desired and refresh.preferences.max_healthy is None and low < 100:
                floor -= 1  # one at a time is always possible
            assert left >= floor, (
                f"a refresh left {left} healthy instances of {self.settings.desired}, the minimum is {floor}"
            )
        return super()._terminate(instance, cause, now)

    @staticmethod
    def _is_up(instance: fleet.Instance, refresh: fleet.Refresh, now: float) -> bool:
        since = instance.in_service_at
        if instance.state != "InService" or not instance.healthy or since is None:
            return False
        return instance.id in refresh.waiting or now >= since + (refresh.preferences.warmup or 0)


class RandomSteps:
    """A group and its possible steps."""

    def __init__(self) -> None:
        counter = itertools.count(1)
        self.numbers = itertools.count(1)
        self.now = START
        self.pending: list[fleet.Effect] = []
        self.states: dict[str, str] = {}
        self.retained: set[str] = set()
        self.limits: dict[str, float] = {}
        self.ended_waits: list[tuple[str, str]] = []
        settings = fleet.Settings(fleet.Template("lt-1", "workers", "1"), SUBNETS, 0, 8, 2)
        self.group = CheckedGroup("workers", settings, self.now, lambda: f"id-{next(counter)}")
        self.pending += self.group.start(self.now)

    def step(self, choose: Choose) -> str:
        """Take one step, check the invariants, and return the step's name."""
        name = self.last = choose(STEPS)
        waits = {w.token: w for i in self.group.instances.values() for w in i.waits}
        in_drain = {i.id: i for i in self.group.instances.values() if i.state == "Terminating:Wait"}
        before = (self.group.settings, dict(self.group.instances), dict(self.group.hooks))
        self.released: set[str] = set()
        try:
            self.pending += getattr(self, name)(choose) or []
        except fleet.Refused:
            assert before == (self.group.settings, self.group.instances, self.group.hooks), (
                f"a refused {name} changed something"
            )
        self._check_moves(name, in_drain)
        self._check_waits(name, waits)
        self._check_capacity()
        return str(name)

    # --- invariants -----------------------------------------------------------------------------------------

    def _check_moves(self, name: str, in_drain: dict[str, fleet.Instance]) -> None:
        for move in self.group.state_changes:
            assert self.states.get(move.instance_id, "") == move.before
            assert move.after in ALLOWED[move.before], f"{name}: {move.before} -> {move.after}"
            if move.before == "Terminating:Wait" and move.instance_id in in_drain:
                timed_out = name == "sleep" and any(w.deadline <= self.now for w in in_drain[move.instance_id].waits)
                assert timed_out or name in ("complete", "delete_hook"), f"{name} ended a drain"
            if move.before == "Terminating:Retained":
                assert move.instance_id in self.released, f"{name} ended a retained instance"
            self.states[move.instance_id] = move.after
        self.group.state_changes.clear()
        retained = {i.id for i in self.group.instances.values() if i.state == "Terminating:Retained"}
        assert self.retained - self.released <= retained, "a retained instance vanished"
        self.retained = retained

    def _check_waits(self, name: str, before: dict[str, fleet.Wait]) -> None:
        for instance in self.group.instances.values():
            assert bool(instance.waits) == instance.state.endswith(":Wait")
            for wait in instance.waits:
                limit = self.limits.setdefault(wait.token, self.now + wait.hook.global_timeout)
                assert wait.deadline <= wait.limit <= limit, "a wait can pass the global timeout"
                assert wait.deadline > self.now or self.now == START or name != "sleep", "a wait is past its deadline"
                if wait.token in before:
                    assert wait.deadline >= before[wait.token].deadline, f"{name} shortened a wait"

    def _check_capacity(self) -> None:
        group, settings = self.group, self.group.settings
        counted = [i for i in group.instances.values() if i.state in fleet.COUNTED]
        assert group._actual == len(counted) + len(group.launching), "the number of instances is wrong"
        assert {z: n for z, n in group._zones.items() if n} == {
            zone: sum(s.zone == zone for s in [*(i.subnet for i in counted), *group.launching.values()])
            for zone in {s.zone for s in [*(i.subnet for i in counted), *group.launching.values()]}
        }
        assert settings.min_size <= settings.desired <= settings.max_size
        ids = {i.id for i in counted}
        surplus = sum(extra.target is None or extra.target in ids for extra in group.extras.values())
        missing = settings.desired - (len(counted) + len(group.launching) - surplus)
        if missing > 0:
            assert "Launch" in group.suspended or group._retry_at is not None, f"{missing} instances are missing"
        if missing < 0:
            extras = {extra.instance for extra in group.extras.values()}
            free = [i for i in counted if not i.protected and i.id not in extras]
            assert "Terminate" in group.suspended or not free, f"{-missing} instances too many"
        if {"ReplaceUnhealthy", "Terminate"}.isdisjoint(group.suspended) and settings.headroom is None:
            assert all(i.healthy for i in counted), "an unhealthy instance stays"

    # --- steps ----------------------------------------------------------------------------------------------

    def _one(self, choose: Choose, *states: str) -> str:
        """The id of an instance, in one of these states if there is one."""
        ids = [i.id for i in self.group.instances.values() if not states or i.state in states]
        return str(choose(ids or ["i-missing"]))

    def answer(self, choose: Choose) -> list[fleet.Effect]:
        """EC2 launches or terminates an instance as the group asked, or fails to launch it."""
        if not self.pending:
            return []
        effect = self.pending.pop(choose(range(len(self.pending))))
        if isinstance(effect, fleet.Terminate):
            self.group.terminated(effect.instance_id, self.now)
            return []
        if choose((True, True, True, True, False)):
            id = f"i-{next(self.numbers)}"
            return self.group.launched(effect.activity, id, effect.template, "t3.medium", "ami-1", self.now)
        self.group.launch_failed(effect.activity, "No capacity", self.now)
        return []

    def sleep(self, choose: Choose) -> list[fleet.Effect]:
        """Time passes."""
        self.now += choose((0, 1, 29, 31, 60, 61, 300, 3601, 90_000))
        return self.group.tick(self.now)

    def set_desired(self, choose: Choose) -> list[fleet.Effect]:
        """SetDesiredCapacity."""
        return self.group.set_desired(choose(range(10)), self.now)

    def resize(self, choose: Choose) -> list[fleet.Effect]:
        """UpdateAutoScalingGroup, sizes."""
        low, high = choose((0, 1, 2)), choose((1, 4, 8))
        return self.group.update(
            fleet.resized(self.group.settings, min_size=low, max_size=high, desired=None), self.now
        )

    def change(self, choose: Choose) -> list[fleet.Effect]:
        """UpdateAutoScalingGroup, anything else."""
        changes: dict[str, Any] = choose(CHANGES)
        return self.group.update(replace(self.group.settings, **changes), self.now)

    def protect(self, choose: Choose) -> list[fleet.Effect]:
        """SetInstanceProtection, refused outside InService and Standby."""
        id, protected = self._one(choose), choose((True, False))
        state = self.states.get(id)
        effects = self.group.protect([id], protected, self.now)
        assert state in ("InService", "Standby"), f"protection was accepted in {state}"
        return effects

    def set_health(self, choose: Choose) -> list[fleet.Effect]:
        """SetInstanceHealth."""
        id = self._one(choose)
        return (
            self.group.set_health(id, choose((True, False)), choose((True, False)), self.now)
            if id in self.group.instances
            else []
        )

    def lose(self, choose: Choose) -> list[fleet.Effect]:
        """An instance is stopped or terminated by somebody else."""
        id = self._one(choose)
        self.released.add(id)
        return self.group.lost(id, self.now, stopped=choose((True, False)))

    def terminate(self, choose: Choose) -> list[fleet.Effect]:
        """TerminateInstanceInAutoScalingGroup."""
        id = self._one(choose)
        self.released.add(id)
        return self.group.terminate(id, choose((True, False)), self.now)[1] if id in self.group.instances else []

    def enter_standby(self, choose: Choose) -> list[fleet.Effect]:
        """EnterStandby."""
        return self.group.enter_standby([self._one(choose, "InService")], choose((True, False)), self.now)[1]

    def exit_standby(self, choose: Choose) -> list[fleet.Effect]:
        """ExitStandby."""
        return self.group.exit_standby([self._one(choose, "Standby")], self.now)[1]

    def detach(self, choose: Choose) -> list[fleet.Effect]:
        """DetachInstances."""
        return self.group.detach([self._one(choose, "InService", "Standby")], choose((True, False)), self.now)[1]

    def attach(self, choose: Choose) -> list[fleet.Effect]:
        """AttachInstances."""
        candidate = fleet.Candidate(f"i-{next(self.numbers)}", choose(SUBNETS), "t3.large", "ami-2")
        return self.group.attach([candidate], self.now)

    def put_hook(self, choose: Choose) -> None:
        """PutLifecycleHook."""
        self.group.put_hook(choose(HOOKS))

    def delete_hook(self, choose: Choose) -> list[fleet.Effect]:
        """DeleteLifecycleHook."""
        return self.group.delete_hook(choose(HOOKS).name, self.now)

    def heartbeat(self, choose: Choose) -> None:
        """RecordLifecycleActionHeartbeat."""
        waits = [(i.id, w) for i in self.group.instances.values() for w in i.waits]
        if waits:
            id, wait = choose(waits)
            self.group.heartbeat(wait.hook.name, self.now, instance_id=id, token=None)

    def complete(self, choose: Choose) -> list[fleet.Effect]:
        """CompleteLifecycleAction; a second time it is refused."""
        waits = [w for i in self.group.instances.values() for w in i.waits]
        if not waits:
            return []
        wait, result = choose(waits), choose(("CONTINUE", "ABANDON"))
        effects = self.group.complete(wait.hook.name, result, self.now, instance_id=None, token=wait.token)
        try:
            self.group.complete(wait.hook.name, result, self.now, instance_id=None, token=wait.token)
        except fleet.Refused:
            return effects
        raise AssertionError("an action was completed twice")

    def suspend(self, choose: Choose) -> None:
        """SuspendProcesses."""
        self.group.suspend([choose(fleet.PROCESSES)], self.now)

    def resume(self, choose: Choose) -> list[fleet.Effect]:
        """ResumeProcesses, all."""
        return self.group.resume([], self.now)

    def start_refresh(self, choose: Choose) -> None:
        """StartInstanceRefresh."""
        to = fleet.Template("lt-1", "workers", choose(("1", "2", "3")))
        self.group.start_refresh(choose(PREFERENCES), to, to, self.now)

    def cancel_refresh(self, choose: Choose) -> None:
        """CancelInstanceRefresh."""
        self.group.cancel_refresh(choose((True, False)), self.now)

    def roll_back_refresh(self, choose: Choose) -> None:
        """RollbackInstanceRefresh."""
        self.group.roll_back_refresh(self.now)


CHANGES: list[dict[str, Any]] = [
    {"terminate_hook_abandon": "retain"},
    {"terminate_hook_abandon": None},
    {"new_instances_protected": True},
    {"new_instances_protected": False},
    {"max_instance_lifetime": 86_400},
    {"max_instance_lifetime": None},
    {"min_healthy_percentage": 100, "max_healthy_percentage": 150},
    {"min_healthy_percentage": 50, "max_healthy_percentage": 100},
    {"min_healthy_percentage": None, "max_healthy_percentage": None},
    {"subnets": SUBNETS[:1]},
    {"subnets": SUBNETS},
    {"health_check_grace_period": 300},
    {"default_instance_warmup": 30},
    {"termination_policies": ("NewestInstance",)},
    {"termination_policies": ("OldestLaunchTemplate", "Default")},
    {"template": fleet.Template("lt-2", "others", "1")},
]
PREFERENCES = [
    fleet.Preferences(warmup=0),
    fleet.Preferences(warmup=60, min_healthy=100, auto_rollback=True),
    fleet.Preferences(warmup=30, min_healthy=50, max_healthy=125, protected="Refresh", standby="Terminate"),
    fleet.Preferences(warmup=0, min_healthy=0, checkpoints=(50, 100), checkpoint_delay=60, skip_matching=True, bake=30),
    fleet.Preferences(warmup=0, protected="Ignore", standby="Ignore", auto_rollback=True),
]
#: Names of methods; time and EC2 come up more often than any single call.
STEPS = ["answer"] * 12 + ["sleep"] * 5 + ["complete"] * 3 + ["heartbeat"] * 2 + ["set_desired"] * 2
STEPS += "resize change protect set_health lose terminate enter_standby exit_standby detach attach".split()
STEPS += "put_hook delete_hook".split()
STEPS += "suspend resume resume start_refresh start_refresh cancel_refresh roll_back_refresh".split()
