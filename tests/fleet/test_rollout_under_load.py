"""Rollouts and rollbacks while every worker is busy and VALET scales: real agents and processes, a real PostgreSQL."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from localcloud.testing import wait_until

from tests.fleet.cloud import ROOT, Run
from tests.fleet.load import Load, Numbers, report
from tests.fleet.process_fleet import SHORT, ProcessFleet
from tests.seeds import new_seed

#: `make fleet`: what it promises are seconds, which a machine that runs other tests beside it does not keep.
pytestmark = pytest.mark.slow

BAKE_SECONDS = 6.0
OPTIONS: dict[str, Any] = {**SHORT, "fleet_rollout_bake_minutes": BAKE_SECONDS / 60}
#: A rollout takes at most as long as the longest job, its bake, and this.
OWN_SECONDS = 120.0
#: What is wrong with an image -> what the message has to say.
REASONS = {
    "does not boot": r"Rolled back: \S+ did not come into service within 45 s",
    "boots and never registers": r"Rolled back: \S+ did not come into service within 45 s",
    "fails its first job": r"Rolled back: canary-job: the worker of \S+ failed its first",
    "crashes after a while": r"Rolled back: canary-crash: the worker of \S+ died during",
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessFleet]:
    """Three busy instances, built by site.yml."""
    made = ProcessFleet(tmp_path_factory.mktemp("fleet"))
    try:
        made.build(made.image("first"))
        yield made
    finally:
        made.close()


def play(fleet: ProcessFleet, playbook: str, **variables: Any) -> Run:
    return fleet.cloud.play(f"playbooks/{playbook}.yml", **{**OPTIONS, **fleet.variables, **variables})


def pinned(fleet: ProcessFleet) -> str:
    return str(fleet.cloud.group()["LaunchTemplate"]["Version"])


def image_of(fleet: ProcessFleet, version: str) -> str:
    template = fleet.cloud.group()["LaunchTemplate"]["LaunchTemplateId"]
    found = fleet.cloud.client("ec2").describe_launch_template_versions(LaunchTemplateId=template, Versions=[version])
    return str(found["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"])


def launched(fleet: ProcessFleet, image: str) -> int:
    """How many instances of an image were ever launched."""
    filters = [{"Name": "image-id", "Values": [image]}]
    found = fleet.cloud.client("ec2").describe_instances(Filters=filters)["Reservations"]
    return sum(len(reservation["Instances"]) for reservation in found)


def roll(fleet: ProcessFleet, load: Load, playbook: str, **variables: Any) -> Numbers:
    """Roll out or back, and hold what is promised of it. Returns its numbers."""
    before, began = pinned(fleet), time.time()
    run = play(fleet, playbook, **variables)
    numbers = load.numbers(began, time.time())
    print(playbook, numbers, flush=True)
    assert run.returncode == 0, run
    assert pinned(fleet) != before
    assert set(fleet.in_service().values()) == {pinned(fleet)}, run
    assert numbers.below == 0, numbers
    assert numbers.seconds <= numbers.longest_job + BAKE_SECONDS + OWN_SECONDS, numbers
    load.forget_finished()
    return numbers


def assert_no_job_was_lost(load: Load) -> None:
    verdict = load.verdict()
    assert report(verdict) == {"jobs": verdict.jobs, "lost": {}, "doubled": {}, "crashed": {}, "failed": 0}
    assert verdict.fates == {"finished": verdict.jobs}


def test_a_rollout_and_a_rollback_under_load_lose_no_job(fleet: ProcessFleet) -> None:
    first, new = image_of(fleet, pinned(fleet)), fleet.image("second")
    with Load(fleet, new_seed()) as load:
        roll(fleet, load, "rollout", fleet_image=new)
        assert image_of(fleet, pinned(fleet)) == new
        roll(fleet, load, "rollback")
        assert image_of(fleet, pinned(fleet)) == first
    assert_no_job_was_lost(load)


@pytest.mark.slow
def test_twenty_rollouts_and_rollbacks_under_load_lose_no_job(fleet: ProcessFleet) -> None:
    images = [fleet.image(f"image {n}") for n in range(10)]
    done: list[Numbers] = []
    with Load(fleet, new_seed()) as load:
        for image in images:
            done.append(roll(fleet, load, "rollout", fleet_image=image))
            done.append(roll(fleet, load, "rollback"))
    print(
        f"{len(done)} rollouts and rollbacks: {report(load.verdict())}, VALET resized {load.resized} times; "
        f"longest {max(d.seconds for d in done):.0f} s, at most {max(d.seconds - d.longest_job for d in done):.0f} s "
        f"more than its longest job; {max(d.missing for d in done)} instances missing at most"
    )
    assert_no_job_was_lost(load)


@pytest.mark.slow
def test_a_controller_that_is_killed_again_and_again_ends_right(fleet: ProcessFleet) -> None:
    seed = new_seed()
    dice, new, killed = random.Random(f"kills {seed}"), fleet.image("after kills"), 0
    with Load(fleet, seed) as load:
        while True:
            command = fleet.cloud.command_line(
                "playbooks/rollout.yml", **{**OPTIONS, **fleet.variables, "fleet_image": new}
            )
            run = subprocess.Popen(
                command,
                cwd=ROOT,
                env=fleet.cloud.playbook_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                said, _ = run.communicate(timeout=dice.uniform(3, 30) if killed < 12 else 300)
                break
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
                run.communicate()
                killed += 1
        print(f"killed {killed} times", flush=True)
        assert run.returncode == 0, said
        assert (killed > 0, image_of(fleet, pinned(fleet))) == (True, new), said
        assert set(fleet.in_service().values()) == {pinned(fleet)}, said
        assert not [tag for tag in fleet.cloud.group()["Tags"] if tag["Key"] == "ghosthands:rollout"]
    assert_no_job_was_lost(load)


@pytest.mark.parametrize(
    "fault",
    [fault if fault == "fails its first job" else pytest.param(fault, marks=pytest.mark.slow) for fault in REASONS],
)
def test_a_bad_image_costs_one_canary_and_is_rolled_back(fault: str, fleet: ProcessFleet) -> None:
    reason, before, bad = REASONS[fault], pinned(fleet), fleet.image(fault, fault)
    bake = 20.0 if fault == "crashes after a while" else BAKE_SECONDS
    with Load(fleet, new_seed(), scaling=0) as load:
        run = play(fleet, "rollout", fleet_image=bad, fleet_rollout_bake_minutes=bake / 60)
        assert run.returncode != 0, run
        assert pinned(fleet) == before
        wait_until(lambda: set(fleet.in_service().values()) == {before}, 60)
        assert launched(fleet, bad) == 1, run
        assert re.search(reason, run.message), run
    verdict = load.verdict()
    print(fault, report(verdict), run.message, sep="\n")
    assert (dict(verdict.lost), dict(verdict.doubled)) == ({}, {})
    # What the canary itself did to its jobs, until the database was read, every ten seconds.
    assert len(verdict.gaps) + verdict.fates.get("failed", 0) <= 12
