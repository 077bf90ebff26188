"""Faults, time and events on demand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from localcloud.testing import Cloud, wait_until
from unit.resources import described, make_group, refused


@pytest.fixture
def faults(cloud: Cloud) -> Iterator[Callable[..., Any]]:
    """Sets faults that last until the end of the test."""
    yield cloud.set_faults
    cloud.set_faults()


def test_throttling_refuses_the_named_operation_and_no_other(
    cloud: Cloud, ec2: Any, faults: Callable[..., Any]
) -> None:
    autoscaling = make_group(cloud)
    faults(
        {"operation": "ec2:DescribeVpcs", "kind": "throttle"},
        {"operation": "autoscaling:*", "kind": "throttle", "times": 1},
    )
    with refused("RequestLimitExceeded", "Request limit exceeded"):
        ec2.describe_vpcs()
    ec2.describe_subnets()
    with refused("Throttling", "Rate exceeded"):
        described(autoscaling)
    described(autoscaling)
    assert [f["struck"] for f in cloud.faults()] == [1, 1]


def test_an_error_of_the_5xx_range_comes_before_the_call_takes_effect(
    cloud: Cloud, ec2: Any, faults: Callable[..., Any]
) -> None:
    autoscaling = make_group(cloud)
    faults({"operation": "autoscaling:SetDesiredCapacity", "kind": "error", "status": 500})
    with refused("InternalFailure"):
        autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=1)
    assert described(autoscaling)["DesiredCapacity"] == 0


def test_a_call_whose_answer_is_lost_has_taken_effect(cloud: Cloud, faults: Callable[..., Any]) -> None:
    autoscaling = make_group(cloud)
    faults({"operation": "autoscaling:SetDesiredCapacity", "kind": "lost"})
    with pytest.raises(ConnectionClosedError):
        autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=1)
    assert described(autoscaling)["DesiredCapacity"] == 1


def test_latency_delays_the_named_operation(cloud: Cloud, ec2: Any, faults: Callable[..., Any]) -> None:
    faults({"operation": "ec2:DescribeVpcs", "kind": "latency", "milliseconds": 300})
    began = time.monotonic()
    ec2.describe_vpcs()
    assert time.monotonic() - began >= 0.3


def test_a_rate_affects_the_same_calls_with_the_same_seed(cloud: Cloud, ec2: Any, faults: Callable[..., Any]) -> None:
    def struck() -> list[bool]:
        faults({"operation": "ec2:*", "kind": "throttle", "rate": 0.5}, seed=7)
        hits = []
        for _ in range(20):
            try:
                ec2.describe_vpcs()
                hits.append(False)
            except ec2.exceptions.ClientError:
                hits.append(True)
        return hits

    first = struck()
    assert 3 < sum(first) < 17
    assert struck() == first


@pytest.mark.parametrize(
    "wrong", [{"kind": "flood"}, {"rate": 2}, {"status": 404}, {"speed": 1}, {"times": 0}], ids=str
)
def test_a_wrong_fault_is_refused_and_the_old_ones_stay(
    cloud: Cloud, faults: Callable[..., Any], wrong: dict[str, Any]
) -> None:
    faults({"operation": "ec2:DescribeHosts"})
    with pytest.raises(ValueError, match="faults: "):
        faults(wrong)
    assert [f["operation"] for f in cloud.faults()] == ["ec2:DescribeHosts"]


def test_with_a_higher_speed_hooks_time_out_without_any_call(cloud: Cloud) -> None:
    autoscaling = make_group(cloud, DesiredCapacity=1)
    hook = {
        "LifecycleHookName": "drain",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": 300,
    }
    autoscaling.put_lifecycle_hook(AutoScalingGroupName="fleet", **hook)
    autoscaling.set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=0)
    try:
        cloud.set_speed(1000)
        wait_until(lambda: cloud.status()["groups"]["fleet"]["instances"] == {}, timeout=10)
    finally:
        cloud.set_speed(1)
    with pytest.raises(ValueError, match="speed"):
        cloud.set_speed(0)


def test_events_list_every_transition_once_in_order(cloud: Cloud) -> None:
    make_group(cloud, DesiredCapacity=1)
    events = cloud.events()
    assert [(e["group"], e["before"], e["after"]) for e in events] == [
        ("fleet", "", "Pending"),
        ("fleet", "Pending", "InService"),
    ]
    cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName="fleet", DesiredCapacity=0)
    later = cloud.events(events[-1]["number"])
    assert [e["after"] for e in later] == ["Terminating", "Terminating:Proceed", "Terminated", ""]
