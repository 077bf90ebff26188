"""How many jobs are lost or done twice over many scale-ins, and how long launches and drains take.

The same load twice: with the agent, and with the runbook's own unit and script in its place.
"""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass, field

import pytest

from tests.e2e import runbook
from tests.e2e.first_day import FirstDay, until
from tests.seeds import new_seed
from tools.real_worker import measures

pytestmark = pytest.mark.slow

SEED = new_seed()
JOBS, ROUNDS, LARGEST = 200, 10, 4
#: Seconds of a job, and how many of ten are long: shorter than the drain's limit, longer than the 10 s that Compose
#: gives a container to stop.
SHORT, LONG, LONG_OF_TEN = (1.0, 4.0), (15.0, 25.0), 2
#: Generous: the aims are 15 s and 2 s, on a quiet machine.
LAUNCH_SECONDS, DRAIN_SECONDS = 60.0, 15.0


@dataclass
class Rounds:
    """What was seen over several scale-ins.

    Attributes:
        ordered: instances that were to go: when that was decided, in seconds since 1970.
        launches: seconds from the end of an instance's own boot to a worker in the registry.
    """

    jobs: list[str] = field(default_factory=list)
    ordered: dict[str, float] = field(default_factory=dict)
    launches: list[float] = field(default_factory=list)
    seconds: float = 0.0


def scale_in_and_out(day: FirstDay, rounds: int) -> Rounds:
    """Jobs for four workers, of which three go as soon as three are busy, so many times."""
    rng, seen, began = random.Random(SEED), Rounds(), time.monotonic()
    day.cloud.clear_trace()
    for number in range(rounds):
        before = set(day.states())
        day.scale(LARGEST)
        for instance in day.wait_for_workers(LARGEST, 240) - before:
            seen.launches.append(day.seconds_from_boot_to_registration(instance))
        lengths = [
            1000 * rng.uniform(*(LONG if rng.randrange(10) < LONG_OF_TEN else SHORT)) for _ in range(JOBS // ROUNDS)
        ]
        seen.jobs += day.database.enqueue(day.mode, *[f"sleep {length:.0f}" for length in lengths])
        until(lambda: len(day.database.busy()) >= LARGEST - 1, 60, "all workers but one are busy")
        seen.ordered |= _scale_in(day)
        until(lambda: len(day.states()) == 1, 180, "one is left")
        print(f"round {number + 1} of {rounds}: {time.monotonic() - began:.0f} s", flush=True)
    day.wait_for_jobs(seen.jobs, 180)
    seen.seconds = time.monotonic() - began
    return seen


def _scale_in(day: FirstDay) -> dict[str, float]:
    """To one instance; those that are to go, which busy ones are last, and when that was decided."""
    fleet = set(day.states())
    day.scale(1)

    def going() -> dict[str, float] | None:
        found = {instance: at for instance, at in day.going().items() if instance in fleet}
        return found if len(found) == LARGEST - 1 else None

    return dict(until(going, 120, "three are going"))


def test_two_hundred_jobs_over_thirty_scale_ins_are_each_done_once(site: FirstDay) -> None:
    day, seen = site, scale_in_and_out(site, ROUNDS)
    outcome = day.database.outcome(seen.jobs)
    completed = {instance: at for instance, (_, at) in day.completions().items() if instance in seen.ordered}
    idle = measures.seconds_after_idle(day.database.own, seen.ordered, completed)
    _print("agent", seen, outcome)
    print(f"last job's end to the hook's completion: {_spread(list(idle.values()))}")
    assert len(seen.ordered) == len(completed) == ROUNDS * (LARGEST - 1)
    assert (dict(outcome.lost), outcome.doubled, outcome.finished_twice) == ({}, 0, 0)
    assert statistics.median(seen.launches) < LAUNCH_SECONDS
    assert min(idle.values()) >= 0, "below zero, two clocks were compared"
    assert statistics.median(idle.values()) < DRAIN_SECONDS


def test_the_runbooks_own_unit_and_script_lose_jobs_under_the_same_load(site: FirstDay) -> None:
    runbook.install(site)
    site.scale(1)
    site.wait_for_workers(1, 240)
    seen = scale_in_and_out(site, ROUNDS)
    outcome = site.database.outcome(seen.jobs)
    _print("runbook", seen, outcome)
    assert outcome.lost, "so the load is one under which the agent's numbers mean something"


def _print(what: str, seen: Rounds, outcome: measures.Outcome) -> None:
    print(
        f"{what}, seed {SEED}: {outcome.jobs} jobs, {len(seen.ordered)} scale-ins in {seen.seconds:.0f} s, "
        f"{len(outcome.lost)} lost, {outcome.doubled} doubled, {outcome.put_back} put back; "
        f"own boot to registered: {_spread(seen.launches)}"
    )


def _spread(values: list[float]) -> str:
    return f"median {statistics.median(values):.1f} s, largest {max(values):.1f} s of {len(values)}"
