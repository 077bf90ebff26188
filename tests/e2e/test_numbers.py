"""How many jobs are lost or done twice over many scale-ins, and how long launches and drains take."""

from __future__ import annotations

import random
import statistics
import time

import pytest

from tests.e2e.first_day import FirstDay, until
from tools.real_worker import measures

pytestmark = pytest.mark.slow

JOBS, ROUNDS, LARGEST = 200, 10, 4
#: Generous: the aims are 15 s and 2 s, on a quiet machine.
LAUNCH_SECONDS, DRAIN_SECONDS = 60.0, 15.0


def test_two_hundred_jobs_over_thirty_scale_ins_are_each_done_once(site: FirstDay) -> None:
    seed = random.SystemRandom().randrange(10_000)
    rng = random.Random(seed)
    day, jobs, ordered, launches = site, list[str](), dict[str, float](), list[float]()
    began = time.monotonic()
    day.cloud.clear_trace()
    for _ in range(ROUNDS):
        day.scale(LARGEST)
        before = set(day.states())
        for instance in day.wait_for_workers(LARGEST, 240) - before:
            launches.append(day.seconds_from_boot_to_registration(instance))
        lengths = [1000 * rng.uniform(1, 6) for _ in range(JOBS // ROUNDS)]
        jobs += day.database.enqueue(day.mode, *[f"sleep {length:.0f}" for length in lengths])
        until(lambda: len(day.database.busy()) == LARGEST, 60, "every worker is busy")
        day.scale(1)
        going = until(lambda: found if len(found := day.going()) == LARGEST - 1 else None, 120, "three are going")
        ordered |= going
        until(lambda: len(day.states()) == 1, 180, "one is left")
    day.wait_for_jobs(jobs, 120)
    outcome = day.database.outcome(jobs)
    completed = {instance: at for instance, (result, at) in day.completions().items() if instance in ordered}
    idle = measures.seconds_after_idle(day.database.own, ordered, completed)
    print(
        f"seed {seed}: {outcome.jobs} jobs, {len(completed)} scale-ins in {time.monotonic() - began:.0f} s, "
        f"{len(outcome.lost)} lost, {outcome.doubled} doubled, {outcome.put_back} put back; "
        f"end of cloud-init to registered: {_spread(launches)}; "
        f"last job's end to the hook's completion: {_spread(list(idle.values()))}"
    )
    assert len(ordered) == len(completed) == ROUNDS * (LARGEST - 1)
    assert (dict(outcome.lost), outcome.doubled, outcome.finished_twice) == ({}, 0, 0)
    assert statistics.median(launches) < LAUNCH_SECONDS
    assert statistics.median(idle.values()) < DRAIN_SECONDS


def _spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.1f} s, largest {max(values):.1f} s of {len(values)}"
