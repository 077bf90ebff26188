"""Changes in place of container instances, while jobs run: renewals, releases, a pause."""

from __future__ import annotations

import pytest

from tests.e2e.first_day import FirstDay
from tests.e2e.test_chaos import Load, prepared

pytestmark = pytest.mark.slow

INSTANCES, ROUNDS = 2, 3
JOB_SECONDS, JOBS = (3.0, 8.0), 16


def play(day: FirstDay, playbook: str, options: str = "") -> str:
    """What a playbook prints that has to succeed."""
    done = day.shell(f"ansible-playbook playbooks/{playbook}.yml -i staging {options}")
    print(f"{playbook} {options}: {done.seconds:.0f} s", flush=True)
    assert done.code == 0, done.output
    return done.output


def loaded(day: FirstDay, name: str) -> Load:
    """So many jobs that each worker is busy, and jobs wait."""
    load = Load(day, name)
    load.submit(JOBS, *JOB_SECONDS)
    load.busy(INSTANCES)
    return load


def test_renewals_and_releases_lose_no_job(site: FirstDay) -> None:
    day = site
    prepared(day, "in place")
    for number in range(ROUNDS):
        day.put_secret({"OPENAI_API_KEY": f"rotated-{number}"})
        load = loaded(day, f"renewal {number}")
        play(day, "renew")
        load.settle()
        for instance in day.in_service():
            assert f"rotated-{number}" in day.run(instance, "cat /opt/ghosthands/.env")

        before = day.worker_images()
        day.push_worker_image(f"release-{number}")
        load = loaded(day, f"release {number}")
        play(day, "release", f"-e fleet_worker_image=:release-{number}")
        load.settle()
        (after,) = day.worker_images()
        assert after not in before
    day.scale(INSTANCES + 1)
    day.wait_for_workers(INSTANCES + 1, 240)
    assert day.worker_images() == {after}, "new instances agree"


def test_a_paused_fleet_takes_no_job_until_it_is_resumed(site: FirstDay) -> None:
    day = site
    prepared(day, "pause")
    load = loaded(day, "pause")
    play(day, "pause")
    waiting = day.database.waiting()
    assert waiting > 0
    assert not day.database.busy()
    day.scale(INSTANCES + 1)
    load.submit(2, *JOB_SECONDS)
    assert day.database.waiting() == waiting + 2
    assert len(day.states()) == INSTANCES
    play(day, "resume")
    load.settle()
