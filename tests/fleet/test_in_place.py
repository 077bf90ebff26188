"""Changes in place, with real agents, workers that are always busy, and VALET scaling: no job is lost or doubled."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcloud.testing import wait_until

from tests.fleet.cloud import WORKER_SECRET, Run
from tests.fleet.fleet import GROUP, REPOSITORY, SECRET
from tests.fleet.load import Load, report
from tests.fleet.process_fleet import GOLDEN, SHORT, ProcessFleet

#: How many renewals and releases; `ROUNDS=30` is what was measured once.
ROUNDS = int(os.environ.get("ROUNDS", "2"))


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[ProcessFleet]:
    """A fleet of three real agents, in service."""
    fleet = ProcessFleet(tmp_path)
    try:
        fleet.build(GOLDEN)
        yield fleet
    finally:
        fleet.close()


def play(fleet: ProcessFleet, name: str, *more: str, **variables: object) -> Run:
    """Run a playbook that has to succeed."""
    options = {**SHORT, **fleet.variables, **variables}
    run = fleet.cloud.play(f"playbooks/{name}.yml", *more, **options)
    assert run.returncode == 0, run
    return run


def rotate(fleet: ProcessFleet, number: int) -> None:
    """Change a value of the secret."""
    secret = WORKER_SECRET | {"GH_SERVICE_SECRET": f"rotated-{number}"}
    fleet.cloud.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=json.dumps(secret))


def environments(fleet: ProcessFleet) -> dict[str, str]:
    """The `.env` of each instance in service."""
    return {id: next(fleet.folder.glob(f"*/{id}/root/opt/ghosthands/.env")).read_text() for id in fleet.in_service()}


@pytest.mark.slow
def test_renewals_and_releases_under_load_lose_and_double_nothing(busy: ProcessFleet) -> None:
    with Load(busy, seed=16) as load:
        for number in range(ROUNDS):
            rotate(busy, number)
            play(busy, "renew", fleet_command_batch=2)
            assert all(f"rotated-{number}" in text for text in environments(busy).values())
            busy.cloud.push_image(REPOSITORY, f"v{number}")
            play(busy, "release", fleet_worker_image=f":v{number}", fleet_command_batch=2)
            load.forget_finished()
    verdict = load.verdict()
    print(report(verdict), f"VALET scaled {load.resized} times")
    assert not verdict.lost
    assert not verdict.doubled


@pytest.mark.slow
def test_a_pause_ends_all_work_and_launches_nothing_and_a_resume_brings_all_of_it_back(busy: ProcessFleet) -> None:
    with Load(busy, seed=17, scaling=0) as load:
        play(busy, "pause")
        assert not [row for row in busy.jobs.copy().rows.values() if row.inside], "every job has ended"
        ids = set(busy.in_service())
        busy.cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=5)
        before = sum(row.status == "completed" for row in busy.jobs.copy().rows.values())
        wait_until(lambda: load.samples[-1].desired == 5, 10)
        assert set(busy.in_service()) == ids
        assert sum(row.status == "completed" for row in busy.jobs.copy().rows.values()) == before
        play(busy, "resume")
        wait_until(lambda: load.samples[-1].serving == 5, 60)
    verdict = load.verdict()
    assert not verdict.lost
    assert not verdict.doubled
