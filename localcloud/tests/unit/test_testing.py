"""The harness: several clouds in one process, its trace, and its waiting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError
from localcloud.strictness import Strictness
from localcloud.testing import Cloud, repeatedly, wait_until
from unit.resources import make_group, refused


@pytest.fixture
def other() -> Iterator[Cloud]:
    """A second cloud in this process."""
    with Cloud.start_thread(strictness=Strictness.off()) as cloud:
        yield cloud


def test_two_clouds_in_one_process_share_nothing(cloud: Cloud, other: Cloud) -> None:
    make_group(cloud, "first", DesiredCapacity=2)
    make_group(other, "second", DesiredCapacity=1)
    cloud.client("iam").create_user(UserName="first")
    assert list(cloud.status()["groups"]) == ["first"]
    assert list(other.status()["groups"]) == ["second"]
    assert other.client("iam").list_users()["Users"] == []
    assert {event["group"] for event in other.events()} == {"second"}

    other.set_speed(1000)
    other.set_latency(1)
    other.set_faults({"operation": "ec2:DescribeVpcs", "kind": "throttle"})
    other.enforce_iam()
    assert cloud.client("ec2").describe_vpcs()["Vpcs"]
    with refused("RequestLimitExceeded"):
        other.client("ec2").describe_vpcs()
    assert {name: cloud.status()[name] for name in ("speed", "latency_ms", "enforce_iam")} == {
        "speed": 1,
        "latency_ms": 0,
        "enforce_iam": False,
    }

    other.snapshot()
    other.reset()
    assert other.status()["groups"] == {}
    assert list(cloud.lifecycle_states("first").values()) == ["InService"] * 2
    other.restore()
    assert list(other.lifecycle_states("second").values()) == ["InService"]


def test_calls_and_writes_begin_where_the_trace_was_cleared(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="one")
    cloud.clear_trace()
    iam.list_users()
    with pytest.raises(ClientError):
        iam.create_user(UserName="one")
    assert [(call["action"], call["error"]) for call in cloud.calls()] == [
        ("ListUsers", None),
        ("CreateUser", "EntityAlreadyExists"),
    ]
    assert cloud.calls("ListUsers") == cloud.calls()[:1]
    assert cloud.writes() == ["CreateUser"]


def test_without_a_group_there_are_no_instances(cloud: Cloud) -> None:
    assert (cloud.group("missing"), cloud.lifecycle_states("missing")) == ({}, {})


def test_a_process_that_does_not_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="--instances process needs --command"):
        Cloud.start_process(instances="process")


def test_a_condition_that_does_not_become_true_is_an_error() -> None:
    with pytest.raises(TimeoutError):
        wait_until(lambda: False, timeout=0.01)


def test_an_error_in_the_background_is_raised_at_the_end() -> None:
    calls = []

    def action() -> None:
        calls.append(1)
        raise LookupError("in the background")

    with pytest.raises(LookupError, match="in the background"), repeatedly(action, every=0.001):
        wait_until(lambda: calls)
