"""Drains of workers of both dispatch modes: real processes and signals, the policy of playbooks/iam.yml enforced."""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections.abc import Iterator, Mapping

import pytest
from localcloud.testing import wait_until
from model.job_queue import Job
from model.verdict import judge
from processes.fleet import Fleet

KILLS = 5  # of each agent


@pytest.fixture(scope="module", params=["queue", "legacy", "queue with a guard"])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet of workers of either dispatch mode."""
    mode = request.param.partition(" ")[0]
    made = Fleet(tmp_path_factory.mktemp(mode), mode=mode, guard=mode != request.param)
    made.up()
    yield made
    made.down()


def submit(fleet: Fleet, jobs: Mapping[str, float]) -> dict[str, str]:
    """Submit jobs of so many seconds and return, by job, the instance whose worker took it."""
    for job, seconds in jobs.items():
        fleet.jobs.submit(Job(job, seconds), time.time())

    def all_taken() -> dict[str, str]:
        taken = {event.job: event.worker.partition("/")[0] for event in fleet.jobs.events() if event.action == "take"}
        return {job: taken[job] for job in jobs} if taken.keys() >= jobs.keys() else {}

    return wait_until(all_taken, 30)


def finished(fleet: Fleet, name: str) -> float:
    """Wait until a job is finished and return when that was."""
    found = wait_until(
        lambda: [event.at for event in fleet.jobs.events() if event.job == name and event.action == "finish"], 60
    )
    return float(found[0])


def assert_no_job_was_lost(fleet: Fleet) -> None:
    verdict = judge(fleet.jobs.copy(), time.time(), fleet.dispatch_mode)
    assert verdict.fates == {"finished": verdict.jobs}, verdict
    assert not verdict.doubled, verdict


#: What the agent itself may add. It is half a second on a quiet machine; an unwanted wait takes longer than this.
AGENT_SECONDS = 3.0


def agent_seconds(fleet: Fleet, what: str, took: dict[str, float]) -> float:
    """Return and print the median of what the agent adds to the time that the worker takes to exit."""
    share = statistics.median(seconds - fleet.worker_exit_seconds(instance) for instance, seconds in took.items())
    median = statistics.median(took.values())
    print(f"\n{what} -> CONTINUE: median {median:.2f} s, of which the agent {share:.2f} s")
    return share


def test_the_hook_of_an_idle_instance_is_completed_soon_after_its_worker_exits(fleet: Fleet) -> None:
    took = {}
    for instance in fleet.launch(3):
        began = time.time()
        fleet.terminate(instance)
        completion = fleet.completion(instance)
        assert completion.result == "CONTINUE"
        took[instance] = completion.at - began
    assert agent_seconds(fleet, "idle, Terminating:Wait", took) <= AGENT_SECONDS


def test_a_busy_instance_is_protected_and_its_hook_completed_soon_after_its_job(fleet: Fleet) -> None:
    alone = fleet.dispatch_mode == "legacy" and not fleet.guard  # such workers may claim one job twice
    instances = fleet.launch(1 if alone else 4)
    busy = submit(fleet, {f"job-{number}": 9.0 for number in range(1 if alone else 3)})
    for instance in instances:
        fleet.wait_for_protection(instance, instance in busy.values())
    for instance in busy.values():
        fleet.terminate(instance)
    took = {instance: fleet.completion(instance).at - finished(fleet, job) for job, instance in busy.items()}
    assert min(took.values()) > 0
    assert all(fleet.completion(instance).result == "CONTINUE" for instance in busy.values())
    assert agent_seconds(fleet, "busy, end of the job", took) <= AGENT_SECONDS
    assert_no_job_was_lost(fleet)


def test_agents_killed_at_random_moments_finish_the_drain(fleet: Fleet) -> None:
    rng = random.Random(5)
    fleet.launch(4)
    jobs = submit(fleet, {f"long-{number}": rng.uniform(4, 10) for number in range(4)})
    leaving = list(fleet.instances())
    for instance in leaving:
        fleet.terminate(instance)
    for victim in rng.sample(leaving * KILLS, len(leaving) * KILLS):
        time.sleep(rng.uniform(0.1, 0.8))
        with contextlib.suppress(ProcessLookupError):  # between two processes
            if not fleet.completions(victim):
                fleet.kill_watch(victim)
    for instance in leaving:
        fleet.completion(instance, 120)
    for job in jobs:
        finished(fleet, job)
    # Without a guard, an agent that was away when its worker exited cannot exclude that a job was lost.
    expected = {"CONTINUE"} if fleet.guard else {"CONTINUE", "ABANDON"}
    for instance in leaving:
        (completion,) = fleet.completions(instance)
        assert completion.result in expected
    assert_no_job_was_lost(fleet)


def test_every_call_that_the_agent_made_was_allowed(fleet: Fleet) -> None:
    assert fleet.calls("SetInstanceProtection")
    assert fleet.calls("RecordLifecycleActionHeartbeat")
    assert fleet.denied_calls() == []
