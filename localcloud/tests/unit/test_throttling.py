"""Request rates: the buckets in virtual time, and what callers of the API see of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from localcloud.strictness import Strictness
from localcloud.testing import Cloud
from localcloud.throttling import Bucket, Limit, Throttle, ec2_bucket
from unit.resources import refused

ONCE = Config(retries={"total_max_attempts": 1})


def test_a_bucket_gives_its_size_at_once_and_then_its_rate() -> None:
    bucket = Bucket(Limit(5, 2), now=100)
    assert [bucket.take(100) for _ in range(6)] == [True] * 5 + [False]
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert not bucket.take(100.5)
    assert sum(bucket.take(110 + n / 100) for n in range(100)) == 5 + 1  # full again, and one more within the second


def test_a_bucket_never_holds_more_than_its_size_and_time_that_runs_back_adds_nothing() -> None:
    bucket = Bucket(Limit(3, 1), now=0)
    assert sum(bucket.take(1000) for _ in range(10)) == 3
    assert not bucket.take(500)
    assert bucket.take(1001)


@pytest.mark.parametrize(("size", "per_second"), [(0, 1), (1, 0), (5, -1)])
def test_a_bucket_that_could_admit_nothing_is_refused(size: float, per_second: float) -> None:
    with pytest.raises(ValueError, match="a bucket holds at least 1 token"):
        Limit(size, per_second)


def test_a_limit_is_written_as_size_and_rate() -> None:
    assert str(Limit.parse("50/2.5")) == "50/2.5"
    with pytest.raises(ValueError, match="not SIZE/PER_SECOND"):
        Limit.parse("50")


def test_every_call_of_auto_scaling_takes_from_one_bucket_of_its_account_and_region() -> None:
    throttle = Throttle(auto_scaling=Limit(2, 1))
    call = ("autoscaling", "DescribeAutoScalingGroups", ())
    assert throttle.admits(*call, "1", "here", 0)
    assert throttle.admits("autoscaling", "SetInstanceProtection", (), "1", "here", 0)
    assert not throttle.admits("autoscaling", "RecordLifecycleActionHeartbeat", (), "1", "here", 0)
    assert throttle.admits(*call, "1", "there", 0)
    assert throttle.admits(*call, "2", "here", 0)
    assert throttle.admits("iam", "GetRole", (), "1", "here", 0)


def test_each_action_of_ec2_has_the_bucket_of_its_category() -> None:
    assert ec2_bucket("DescribeVpcs", ())[1] == Limit(100, 20)
    assert ec2_bucket("DescribeInstances", ["Filter.1.Name"])[1] == Limit(100, 20)
    assert ec2_bucket("DescribeInstances", ["InstanceId.1"])[1] == Limit(50, 10)
    assert ec2_bucket("CreateLaunchTemplate", ())[1] == Limit(50, 5)
    assert ec2_bucket("RunInstances", ())[1] == Limit(5, 2)
    throttle = Throttle()
    launches = [throttle.admits("ec2", "RunInstances", (), "1", "here", 0) for _ in range(6)]
    assert launches == [True] * 5 + [False]
    assert throttle.admits("ec2", "DescribeVpcs", (), "1", "here", 0)


@pytest.fixture(scope="module")
def strict() -> Iterator[Cloud]:
    """A cloud on which three calls of Auto Scaling are too many."""
    with Cloud.start_thread(strictness=Strictness(auto_scaling_limit=Limit(2, 0.001))) as cloud:
        yield cloud


def until_throttled(call: Any, most: int = 200) -> int:
    """How many calls there were before one was throttled."""
    for number in itertools.count():
        try:
            call()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("Throttling", "RequestLimitExceeded"):
                return number
            raise
        assert number < most, "nothing was throttled"
    return most


def test_a_call_too_many_has_the_error_of_its_service(strict: Cloud) -> None:
    strict.reset()
    ec2, autoscaling = (strict.client(service, config=ONCE) for service in ("ec2", "autoscaling"))
    assert until_throttled(autoscaling.describe_account_limits) == 2
    with refused("Throttling", "Rate exceeded"):
        autoscaling.describe_auto_scaling_groups()
    strict.clear_trace()
    assert until_throttled(lambda: ec2.delete_key_pair(KeyName="none")) >= 50
    assert strict.calls()[-1]["error"] == "RequestLimitExceeded"
    assert strict.calls()[-1]["status"] == 503


def test_the_clients_of_a_test_look_on_from_outside(strict: Cloud) -> None:
    strict.reset()
    for _ in range(10):
        strict.group("none")
    assert until_throttled(strict.client("autoscaling", config=ONCE).describe_account_limits) == 2
    assert strict.group("none") == {}


def test_a_retrying_client_gets_through(strict: Cloud) -> None:
    strict.reset()
    strict.set_speed(100_000)  # the bucket fills in the cloud's own time
    try:
        patient = strict.client("autoscaling", config=Config(retries={"mode": "standard", "total_max_attempts": 10}))
        for _ in range(10):
            patient.describe_account_limits()
    finally:
        strict.set_speed(1)


def test_throttling_can_be_switched_off() -> None:
    with Cloud.start_thread(strictness=Strictness(throttling=False, auto_scaling_limit=Limit(1, 0.001))) as cloud:
        assert cloud.status()["strictness"]["throttling"] is False
        autoscaling = cloud.client("autoscaling", config=ONCE)
        for _ in range(5):
            autoscaling.describe_account_limits()
