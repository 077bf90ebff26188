"""Instances whose boot fails: real processes on localcloud, with the worker's policy enforced."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from localcloud.testing import wait_until
from processes.fleet import GROUP, SECRET, VALUES, Fleet

DESIRED = 3
RECOVERY_SECONDS = 60.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("failing"), guard=True)
    fleet.up()
    yield fleet
    fleet.down()


def test_a_secret_without_a_key_launches_nothing_more_and_is_read_again_until_it_has_it(fleet: Fleet) -> None:
    secrets = fleet.client("secretsmanager")
    secrets.put_secret_value(SecretId=SECRET, SecretString=json.dumps({**VALUES, "DATABASE_URL": ""}))
    instances = fleet.launch(DESIRED, wait=False)
    for instance in instances:
        fleet.wait_for_log(instance, "event=boot_failed", "DATABASE_URL", "failures=3")
        fleet.wait_for_log(instance, 'status="3 of 3 launches in the last hour; next replacement at ')
    secrets.put_secret_value(SecretId=SECRET, SecretString=json.dumps({**VALUES, "JOB_DISPATCH_MODE": "queue"}))
    fixed = time.monotonic()
    wait_until(lambda: all("event=boot_completed" in fleet.log(instance) for instance in instances), RECOVERY_SECONDS)
    assert time.monotonic() - fixed < RECOVERY_SECONDS
    activities = fleet.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
    assert len([each for each in activities if each["Description"].startswith("Launching")]) == DESIRED
    assert (fleet.calls("SetInstanceHealth"), fleet.denied_calls()) == ([], [])
    assert sorted(fleet.instances()) == instances
