"""`watch` without a valid agent.conf: what it finds out, and that it waits where it cannot."""

from __future__ import annotations

from typing import Any

import pytest
from ghosthands_agent.ports import Unavailable
from ghosthands_agent.unconfigured import LAUNCHING, NO_HOOK, TERMINATING, find_settings
from unit.simulated_instance import INSTANCE_ID, SimulatedInstance

HOOKS = [
    {"LifecycleHookName": "end", "LifecycleTransition": TERMINATING, "HeartbeatTimeout": 300},
    {"LifecycleHookName": "start", "LifecycleTransition": LAUNCHING, "HeartbeatTimeout": 900},
]


class Account:
    """Answers the two calls, and refuses any other."""

    def __init__(self, *, in_group: bool = True, hooks: list[dict[str, Any]] = HOOKS, failures: int = 0) -> None:
        self.in_group, self.hooks, self.failures, self.calls = in_group, hooks, failures, 0

    def call(self, service: str, operation: str, **parameters: Any) -> Any:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise Unavailable(f"{service}:{operation}", "Throttling")
        if (operation, parameters) == ("describe_auto_scaling_instances", {"InstanceIds": [INSTANCE_ID]}):
            return {"AutoScalingInstances": [{"AutoScalingGroupName": "g"}] if self.in_group else []}
        assert (operation, parameters) == ("describe_lifecycle_hooks", {"AutoScalingGroupName": "g"})
        return {"LifecycleHooks": self.hooks}


def test_group_and_hooks_are_found_by_the_instances_id() -> None:
    instance, account = SimulatedInstance(), Account(failures=3)
    found = instance.run(find_settings(instance.ports(), lambda: "eu-west-1", lambda region: account.call), 600)
    assert (found.region, found.group, found.termination_hook, found.heartbeat_timeout_seconds) == (
        *("eu-west-1", "g", "end"),
        300,
    )
    assert (found.launch_hook, found.launch_hook_timeout_seconds) == ("start", 900)
    assert len(instance.steps("group_unknown")) == 1, "an error is logged once"


def test_a_group_without_hooks_has_none() -> None:
    instance = SimulatedInstance()
    found = instance.run(find_settings(instance.ports(), lambda: "r", lambda _: Account(hooks=[]).call), 600)
    assert (found.termination_hook, found.launch_hook) == (NO_HOOK, None)


@pytest.mark.parametrize(("target", "in_group", "calls"), [(None, True, 0), ("InService", False, 5)])
def test_outside_a_group_it_waits(target: str | None, in_group: bool, calls: int) -> None:
    instance, account = SimulatedInstance(target=target), Account(in_group=in_group)
    instance.follow(find_settings(instance.ports(), lambda: "r", lambda _: account.call), 600)
    assert (account.calls == 0) == (calls == 0)
