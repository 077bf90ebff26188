"""Rollouts and rollbacks of container instances of really baked images, by the operator's policies, while jobs run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.e2e.first_day import GROUP, FirstDay
from tests.e2e.test_chaos import Load, prepared

pytestmark = pytest.mark.slow

INSTANCES = 2
#: Of a job: so long that each rollout meets running ones. The whole load lasts about as long as a rollout.
JOB_SECONDS, JOBS = (4.0, 10.0), 40
#: What a rollout may take beyond its longest job.
OWN_SECONDS = 120.0


@contextmanager
def watched(day: FirstDay) -> Iterator[list[int]]:
    """How many instances were in service, at each look."""
    stopped, seen = threading.Event(), list[int]()

    def look() -> None:
        while not stopped.wait(0.5):
            with suppress(Exception):
                seen.append(len(day.in_service()))

    thread = threading.Thread(target=look, name="watch", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stopped.set()
        thread.join()


def pinned(day: FirstDay) -> str:
    groups = day.cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])
    return str(groups["AutoScalingGroups"][0]["LaunchTemplate"]["Version"])


def images(day: FirstDay) -> set[str]:
    """The AMIs of the instances in service."""
    found = day.cloud.client("ec2").describe_instances(InstanceIds=day.in_service())["Reservations"]
    return {str(instance["ImageId"]) for reservation in found for instance in reservation["Instances"]}


def roll(day: FirstDay, playbook: str, options: str = "") -> None:
    """Roll out or back under load, and hold what is promised of it."""
    load, before = Load(day, f"{playbook} {options}".strip()), pinned(day)
    load.submit(JOBS, *JOB_SECONDS)
    load.busy(INSTANCES)
    began = time.monotonic()
    with watched(day) as in_service:
        done = day.shell(
            f"ansible-playbook playbooks/{playbook}.yml -i staging -e fleet_rollout_bake_minutes=0.1 {options}"
        )
    seconds = time.monotonic() - began
    print(f"{load.name}: {seconds:.0f} s, at least {min(in_service)} in service", flush=True)
    assert done.code == 0, done.output
    assert pinned(day) != before, done.output
    assert min(in_service) >= INSTANCES, in_service
    assert seconds <= JOB_SECONDS[1] + OWN_SECONDS, done.output
    load.settle(240)


def test_rollouts_and_rollbacks_of_images_and_workers_lose_no_job(site: FirstDay) -> None:
    day = site
    prepared(day, "rollout")
    (old,), (old_worker,) = images(day), day.worker_images()

    day.step("Golden image")
    roll(day, "rollout")
    (new,) = images(day)
    assert new != old
    roll(day, "rollback")
    assert images(day) == {old}

    day.push_worker_image("v2")
    roll(day, "rollout", f"-e fleet_image={old} -e fleet_worker_image=:v2")
    (new_worker,) = day.worker_images()
    assert new_worker != old_worker
    assert images(day) == {old}
    roll(day, "rollback")
    assert day.worker_images() == {old_worker}
