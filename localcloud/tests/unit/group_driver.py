"""Drive a group of ``localcloud.fleet`` in tests: a clock, and an EC2 that does what the group asks."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from localcloud import fleet

START = 1_785_585_600.0  # 2026-08-01T12:00:00Z
SUBNETS = (fleet.Subnet("subnet-a", "zone-a"), fleet.Subnet("subnet-b", "zone-b"))
DRAIN = fleet.Hook("drain", fleet.TERMINATING, heartbeat_timeout=300)
BOOT = fleet.Hook("boot", fleet.LAUNCHING, heartbeat_timeout=600)


class GroupDriver:
    """A group, a clock, and an EC2 that at once does what the group asks, or fails to launch with `launch_error`."""

    def __init__(self, **settings: Any) -> None:
        sizes = {"min_size": 0, "max_size": 10, "desired": 0, **settings}
        counter = itertools.count(1)
        self.now = START
        self.numbers = itertools.count(1)
        self.launch_error = ""
        self.terminated: list[str] = []
        template = fleet.Template("lt-1", "workers", "1")
        self.group = fleet.Group(
            "workers",
            fleet.validated(fleet.Settings(template=template, subnets=SUBNETS, **sizes)),
            self.now,
            lambda: f"id-{next(counter)}",
        )
        self.do(self.group.start(self.now))

    def do(self, effects: list[fleet.Effect]) -> None:
        """Do what the group asks of EC2, and what it asks then."""
        pending = list(effects)
        while pending:
            effect = pending.pop(0)
            if isinstance(effect, fleet.Terminate):
                self.terminated.append(effect.instance_id)
                self.group.terminated(effect.instance_id, self.now)
            elif self.launch_error:
                self.group.launch_failed(effect.activity, self.launch_error, self.now)
            else:
                id = f"i-{next(self.numbers)}"
                pending += self.group.launched(effect.activity, id, effect.template, "t3.medium", "ami-1", self.now)

    def resize(self, *, min_size: int | None = None, max_size: int | None = None, desired: int | None = None) -> None:
        """UpdateAutoScalingGroup with sizes only."""
        settings = fleet.resized(self.group.settings, min_size=min_size, max_size=max_size, desired=desired)
        self.do(self.group.update(settings, self.now))

    def change(self, **settings: Any) -> None:
        """UpdateAutoScalingGroup with other settings."""
        self.do(self.group.update(replace(self.group.settings, **settings), self.now))

    def set_desired(self, desired: int) -> None:
        """SetDesiredCapacity."""
        self.do(self.group.set_desired(desired, self.now))

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.do(self.group.tick(self.now))

    def complete(self, hook: str, result: fleet.Result, id: str) -> None:
        """CompleteLifecycleAction by instance."""
        self.do(self.group.complete(hook, result, self.now, instance_id=id, token=None))

    def heartbeat(self, hook: str, id: str) -> None:
        """RecordLifecycleActionHeartbeat by instance."""
        self.group.heartbeat(hook, self.now, instance_id=id, token=None)

    def protect(self, *ids: str, protected: bool = True) -> None:
        """SetInstanceProtection."""
        self.do(self.group.protect(ids, protected, self.now))

    def states(self) -> dict[str, str]:
        """Every instance and its state."""
        return {i.id: i.state for i in self.group.instances.values()}

    def newest(self) -> fleet.Activity:
        """The newest scaling activity."""
        return list(self.group.activities.values())[-1]


def refused(code: str = "ValidationError", match: str = "") -> Any:
    """Expect an error with AWS's code."""
    return pytest.raises(fleet.Refused, match=f"^{code}: .*{match}")
