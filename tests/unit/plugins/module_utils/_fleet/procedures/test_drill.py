# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill on a group whose clock moves only when the drill sleeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, GroupInstance
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.drill import (
    CHOOSE_SECONDS,
    EVERY_SECONDS,
    RETRY_SECONDS,
    Drill,
    Limits,
    Refused,
    production,
)

LIMITS = Limits(launch=900, drain=2220, hook=300)
Instance = tuple[str, bool, bool]
"""state, whether it is healthy, whether it is protected"""
IDLE: Instance = ("InService", True, False)
BUSY: Instance = ("InService", True, True)


class Fleet:
    """A group of two idle instances: a launch takes 4 s and a boot 30, an order 2 s, a drain 10 and the end 20."""

    name = "gh-asg"

    def __init__(self) -> None:
        self.now = 1000.0
        self.group = Group("gh-asg", "arn:g", 1, 10, 2)
        self.instances = {"i-1": IDLE, "i-2": IDLE}
        self.hook_exists = True
        self.launches = True
        self.new_instance = IDLE
        self.chosen = "i-1"
        self.drain = 10.0
        self.after_drain = "Terminating:Proceed"
        self.failed: dict[str, str] = {}
        self.written: list[Any] = []
        self.logged: list[str] = []
        self._due: list[tuple[float, Callable[[], None]]] = []

    # --- a GroupClient ----------------------------------------------------------------------------------------------

    def read(self) -> Group:
        instances = tuple(
            GroupInstance(i, state, "Healthy" if healthy else "Unhealthy", "us-east-1a", "t3.medium", "1", protected)
            for i, (state, healthy, protected) in sorted(self.instances.items())
        )
        return replace(self.group, instances=instances)

    def has_hook(self) -> bool:
        return self.hook_exists

    def failed_launches(self) -> Mapping[str, str]:
        return dict(self.failed)

    def set_desired_capacity(self, desired: int) -> None:
        self.written.append(desired)
        before = self.group.desired_capacity
        self.set(desired_capacity=desired)
        if desired > before and self.launches:
            self.at(4, lambda: self.put("i-new", ("Pending", True, False)))
            self.at(34, lambda: self.put("i-new", self.new_instance))
        if desired < before and self.chosen:
            self._ends(self.chosen)

    def terminate(self, instance: str, decrement: bool) -> None:
        assert decrement
        self.written.append(instance)
        self.set(desired_capacity=self.group.desired_capacity - 1)
        self._ends(instance)

    def cli_command(self, words: str) -> str:
        return f"aws autoscaling {words}"

    # --- what happens to it -------------------------------------------------------------------------------------------

    def _ends(self, instance: str) -> None:
        self.at(2, lambda: self.put(instance, ("Terminating:Wait", True, False)))
        self.at(2 + self.drain, lambda: self.put(instance, (self.after_drain, True, False)))
        if self.after_drain != "Terminating:Retained":
            self.at(22 + self.drain, lambda: self.put(instance, None))

    def set(self, **values: Any) -> None:
        self.group = replace(self.group, **values)

    def put(self, name: str, instance: Instance | None) -> None:
        self.instances.pop(name, None)
        if instance:
            self.instances[name] = instance

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """In so many seconds."""
        self._due.append((self.now + seconds, action))

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for entry in sorted((e for e in self._due if e[0] <= self.now), key=lambda e: e[0]):
            self._due.remove(entry)
            entry[1]()

    # --- the drill ----------------------------------------------------------------------------------------------------

    def prepared(self, kind: str = "scale_in", **more: Any) -> Drill:
        return Drill(kind, self, LIMITS, lambda: self.now, self.sleep, self.logged.append, **more)

    def drill(self, kind: str = "scale_in", **more: Any) -> Finding:
        return self.prepared(kind, **more).run()


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_scale_in_is_timed_step_by_step_and_leaves_desired_capacity_as_it_was(fleet: Fleet) -> None:
    found = fleet.drill()
    assert (found.ok, found.id, found.section) == (True, "drill", 11)
    assert found.detail == (
        "scale_in: launched in 4.0 s, in service in 30.0 s, terminating in 2.0 s, drained in 10.0 s, gone in 20.0 s; "
        "desired capacity is 2 as before"
    )
    assert found.evidence == {
        "kind": "scale_in",
        "launched": "i-new",
        "ended": "i-1",
        "seconds": {"launch": 4, "boot": 30, "wait": 2, "drain": 10, "gone": 20},
        "stands": "desired capacity is 2 as before",
    }
    assert fleet.written == [3, 2]
    assert fleet.group.desired_capacity == 2


def test_each_step_is_logged(fleet: Fleet) -> None:
    fleet.drill()
    assert [line.partition(" (")[0] for line in fleet.logged] == [
        "desired capacity 2 -> 3",
        "waiting for the new instance",
        "i-new is Pending",
        "i-new is in service",
        "desired capacity 3 -> 2",
        "waiting for Auto Scaling to choose an instance",
        "i-1 is Terminating:Wait",
        "i-1 is Terminating:Proceed",
        "i-1 is gone",
        "desired capacity is 2 as before",
    ]


def test_terminate_ends_an_idle_instance_that_has_served_and_writes_desired_capacity_once(fleet: Fleet) -> None:
    fleet.instances = {"i-1": BUSY, "i-2": IDLE}
    found = fleet.drill("terminate")
    assert found.ok
    assert fleet.written == [3, "i-2"]
    assert fleet.group.desired_capacity == 2


def test_terminate_spares_instances_that_the_registry_calls_busy(fleet: Fleet) -> None:
    fleet.drill("terminate", busy=["i-1"])
    assert fleet.written == [3, "i-2"]


def test_terminate_takes_the_new_one_where_all_others_became_busy(fleet: Fleet) -> None:
    fleet.at(10, lambda: fleet.instances.update({"i-1": BUSY, "i-2": BUSY}))
    assert fleet.drill("terminate").evidence["ended"] == "i-new"


def test_where_all_became_busy_none_is_terminated_and_desired_capacity_is_restored(fleet: Fleet) -> None:
    fleet.new_instance = BUSY
    fleet.at(20, lambda: fleet.instances.update({"i-1": BUSY, "i-2": BUSY}))
    found = fleet.drill("terminate")
    assert (found.ok, found.severity) == (False, "warning")
    assert "every instance became busy meanwhile: none was terminated" in found.detail
    assert fleet.written == [3, 2]


REFUSALS: dict[str, tuple[Callable[[Fleet], None], str, str]] = {
    "no hook": (lambda f: setattr(f, "hook_exists", False), "scale_in", "has no termination hook"),
    "no room": (
        lambda f: f.set(max_size=2),
        "scale_in",
        "may have 2 instances and wants 2: a drill needs room for one more",
    ),
    "launch suspended": (
        lambda f: f.set(suspended_processes=frozenset({"Launch", "AZRebalance"})),
        "scale_in",
        "--scaling-processes Launch",
    ),
    "one is booting": (
        lambda f: f.put("i-2", ("Pending", True, False)),
        "scale_in",
        "not stable: i-2 is Pending",
    ),
    "one is draining": (
        lambda f: f.put("i-3", ("Terminating:Wait", True, False)),
        "scale_in",
        "i-3 is Terminating:Wait",
    ),
    "one is missing": (lambda f: f.put("i-2", None), "scale_in", "not stable: 1 of 2 in service"),
    "all busy": (
        lambda f: f.instances.update({"i-1": BUSY, "i-2": BUSY}),
        "terminate",
        "Every instance of gh-asg is busy or protected",
    ),
    "one unhealthy, one busy": (
        lambda f: f.instances.update({"i-1": ("InService", False, False), "i-2": BUSY}),
        "terminate",
        "Every instance of gh-asg is busy or protected",
    ),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_a_drill_that_could_not_go_well_is_refused_before_anything_is_written(why: str, fleet: Fleet) -> None:
    change, kind, message = REFUSALS[why]
    change(fleet)
    with pytest.raises(Refused, match=message):
        fleet.drill(kind)
    assert fleet.written == []


def test_a_group_with_retained_and_standby_instances_is_stable(fleet: Fleet) -> None:
    fleet.put("i-8", ("Terminating:Retained", True, False))
    fleet.put("i-9", ("Standby", True, False))
    assert fleet.drill().ok


def test_an_instance_whose_drain_is_given_up_is_an_error_with_the_command_that_ends_it(fleet: Fleet) -> None:
    fleet.after_drain, fleet.drain = "Terminating:Retained", 300
    found = fleet.drill()
    assert (found.ok, found.severity) == (False, "error")
    assert "i-1 was retained after 5 min" in found.detail
    command = "`aws autoscaling terminate-instance-in-auto-scaling-group --instance-id i-1 --no-should-decrement"
    assert command in str(found.remedy)
    assert found.evidence["seconds"]["drain"] == 300
    assert fleet.group.desired_capacity == 2


def test_the_hook_of_an_idle_instance_that_waited_for_the_whole_timeout_was_not_completed(fleet: Fleet) -> None:
    fleet.drain = 300
    found = fleet.drill()
    assert not found.ok
    assert "the hook's whole timeout: nobody completed the hook" in found.detail


def test_a_drain_without_an_end_is_left_to_itself_when_the_limit_is_over(fleet: Fleet) -> None:
    fleet.drain = 10_000
    found = fleet.drill()
    assert not found.ok
    assert "i-1 was still draining after 37 min" in found.detail


def test_a_launch_that_fails_is_given_another_zones_time_and_then_up_with_its_cause(fleet: Fleet) -> None:
    fleet.launches, fleet.failed = False, {"old": "an older failure"}
    fleet.at(3, lambda: fleet.failed.update(new="The image id '[ami-1]' does not exist."))
    found = fleet.drill()
    assert not found.ok
    assert "the launch failed, the image is gone: The image id '[ami-1]' does not exist." in found.detail
    assert str(found.remedy) == "Set fleet_image to newest (image-exists)."
    assert found.detail.endswith("desired capacity was set back to 2, so one instance is drained by the hook")
    assert fleet.now - 1000 <= 3 + RETRY_SECONDS + 2 * EVERY_SECONDS
    assert fleet.written == [3, 2]


def test_a_launch_that_fails_in_one_zone_and_works_in_another_is_no_failure(fleet: Fleet) -> None:
    fleet.at(3, lambda: fleet.failed.update(new="We currently do not have sufficient t3.medium capacity"))
    fleet.at(5, fleet.failed.clear)
    assert fleet.drill().ok


def test_an_instance_that_never_serves_is_waited_for_as_long_as_a_boot_may_take(fleet: Fleet) -> None:
    fleet.launches = False
    found = fleet.drill()
    assert "no new instance came into service within 15 min" in found.detail
    assert fleet.now - 1000 == LIMITS.launch
    assert fleet.written == [3, 2]


def test_where_all_are_protected_none_terminates_and_the_drill_fails(fleet: Fleet) -> None:
    fleet.chosen, fleet.new_instance = "", BUSY
    fleet.at(20, lambda: fleet.instances.update({"i-1": BUSY, "i-2": BUSY}))
    found = fleet.drill()
    assert "no instance began to terminate within 5 min (3 of 3 protected from scale-in)" in found.detail
    assert found.evidence["seconds"]["wait"] == CHOOSE_SECONDS


@pytest.mark.parametrize("number", [1, 4, 7])
def test_what_somebody_else_writes_while_the_new_one_boots_stays(number: int, fleet: Fleet) -> None:
    fleet.at(10, lambda: fleet.set(desired_capacity=number))
    found = fleet.drill()
    assert (found.ok, found.severity) == (False, "warning")
    assert f"somebody else set desired capacity to {number} meanwhile (3 expected)" in found.detail
    assert found.detail.endswith(f"desired capacity is {number}, which somebody else wrote (2 before), and was left")
    assert fleet.written == [3]


def test_what_somebody_else_writes_right_before_we_would_is_not_written_over(fleet: Fleet) -> None:
    fleet.at(34, lambda: fleet.set(desired_capacity=6))
    assert "to 6 meanwhile" in fleet.drill().detail
    assert fleet.written == [3]


def test_what_somebody_else_writes_during_the_drain_stays_and_the_drain_is_followed(fleet: Fleet) -> None:
    fleet.at(40, lambda: fleet.set(desired_capacity=5))
    found = fleet.drill()
    assert found.ok
    assert found.evidence["seconds"]["drain"] == 10
    assert found.detail.endswith("desired capacity is 5, which somebody else wrote (2 before), and was left")
    assert fleet.written == [3, 2]


def test_an_answer_that_lags_behind_a_write_is_nobodys_write(fleet: Fleet) -> None:
    fresh = fleet.read

    def read() -> Group:
        now = fresh()
        return replace(now, desired_capacity=2) if 1000 < fleet.now < 1004 else now

    fleet.read = read  # type: ignore[method-assign]
    assert fleet.drill().ok


@pytest.mark.parametrize("second", range(0, 70, 3))
def test_an_interrupt_at_any_second_leaves_desired_capacity_as_it_was(second: int, fleet: Fleet) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    fleet.at(second, interrupt)
    drill = fleet.prepared("scale_in")
    try:
        drill.run()
    except KeyboardInterrupt:
        assert fleet.logged[-1] == drill.left
    else:
        assert second > 66
    assert fleet.group.desired_capacity == 2


def test_an_interrupt_while_the_order_is_on_its_way_is_tidied_up_as_well(fleet: Fleet) -> None:
    written = fleet.set_desired_capacity

    def set_desired_capacity(desired: int) -> None:
        written(desired)
        if desired == 3:
            raise KeyboardInterrupt

    fleet.set_desired_capacity = set_desired_capacity  # type: ignore[method-assign]
    drill = fleet.prepared()
    with pytest.raises(KeyboardInterrupt):
        drill.run()
    assert fleet.group.desired_capacity == 2
    assert drill.left == "desired capacity was set back to 2, so one instance is drained by the hook"


def test_nothing_may_interrupt_the_tidying_up(fleet: Fleet) -> None:
    seen: list[int] = []
    fleet.launches = False
    fleet.drill(ignore_interrupts=lambda: seen.append(fleet.group.desired_capacity))
    assert seen == [3]
    assert fleet.group.desired_capacity == 2


def test_where_aws_stops_answering_the_finding_has_the_command_that_restores_desired_capacity(fleet: Fleet) -> None:
    def gone() -> Group:
        raise AwsError("No AWS credentials found.")

    fleet.at(10, lambda: setattr(fleet, "read", gone))
    found = fleet.drill()
    assert not found.ok
    assert "scale_in: No AWS credentials found." in found.detail
    assert "it was 2: `aws autoscaling set-desired-capacity --desired-capacity 2`" in found.detail


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        *(
            ("production", True),
            ("prod", True),
            ("gh-worker-prod", True),
            ("GH_PROD_2", True),
            ("eu-production-1", True),
        ),
        *(("staging", False), ("gh-worker-asg", False), ("products", False), ("reproduction", False), ("", False)),
    ],
)
def test_production_is_known_by_its_name(name: str, is_it: bool) -> None:
    assert production(["local", name]) == (name if is_it else "")
