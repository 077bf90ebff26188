"""The agent as it runs on an instance: real processes and signals, the policy of playbooks/iam.yml enforced."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcloud.testing import repeatedly, wait_until
from model.job_queue import Job
from model.verdict import judge
from processes import instance as instance_program
from processes.fleet import CANARY, Fleet

REST_SECONDS = 15.0
KILLS = 5


@pytest.fixture(scope="module", params=["queue", "legacy"])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet of workers of either dispatch mode."""
    made = Fleet(tmp_path_factory.mktemp(request.param), mode=request.param)
    made.up()
    yield made
    made.down()


def submit(fleet: Fleet, name: str, seconds: float) -> str:
    """Submit a job and return the instance whose worker took it."""
    fleet.jobs.submit(Job(name, seconds), time.time())
    taken = wait_until(
        lambda: [event for event in fleet.jobs.events() if event.job == name and event.action == "take"], 30
    )
    return str(taken[0].worker).partition("/")[0]


def finished(fleet: Fleet, name: str) -> float:
    """Wait until a job is finished and return when that was."""
    found = wait_until(
        lambda: [event.at for event in fleet.jobs.events() if event.job == name and event.action == "finish"], 60
    )
    return float(found[0])


def assert_no_job_was_lost(fleet: Fleet) -> None:
    verdict = judge(fleet.jobs.events(), time.time())
    assert not verdict.lost, verdict
    assert not verdict.doubled, verdict
    assert not verdict.interrupted, verdict


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    for instance in fleet.launch(5):
        began = time.time()
        fleet.terminate(instance)
        completion = fleet.completion(instance)
        assert completion.result == "CONTINUE"
        took[instance] = completion.at - began
    assert agent_seconds(fleet, "idle, Terminating:Wait", took) <= AGENT_SECONDS


def test_a_busy_instance_is_protected_and_its_hook_completed_soon_after_its_job(fleet: Fleet) -> None:
    fleet.launch(1)
    took = {}
    for number in range(3):
        busy = submit(fleet, f"job-{number}", 6.0)
        fleet.wait_for_protection(busy, True)
        fleet.terminate(busy)
        completion = fleet.completion(busy)
        assert completion.result == "CONTINUE"
        took[busy] = completion.at - finished(fleet, f"job-{number}")
        fleet.launch(1)
    assert min(took.values()) > 0
    assert agent_seconds(fleet, "busy, last job's end", took) <= AGENT_SECONDS
    assert_no_job_was_lost(fleet)
    for instance in fleet.instances():
        fleet.wait_for_protection(instance, False)


def test_an_idle_agent_uses_little_memory_and_processor_time(fleet: Fleet) -> None:
    (instance,) = fleet.launch(1)
    fleet.wait_for_log(instance, "event=scale_in_protection")  # botocore is in memory by then
    pid = fleet.watch_pid(instance)
    before, began = cpu_seconds(pid), time.monotonic()
    time.sleep(REST_SECONDS)
    share = (cpu_seconds(pid) - before) / (time.monotonic() - began)
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    print(f"at rest: {resident:.1f} MB resident, {100 * share:.2f} % of a core")
    assert resident < 60
    assert share < 0.005


def test_agents_killed_at_random_moments_finish_the_drain(fleet: Fleet) -> None:
    chance = random.Random(5)
    fleet.launch(4)
    for number in range(4):
        submit(fleet, f"long-{number}", chance.uniform(4, 10))
    leaving = list(fleet.instances())
    for instance in leaving:
        fleet.terminate(instance)
    for victim in chance.sample(leaving * KILLS, len(leaving) * KILLS):
        time.sleep(chance.uniform(0.1, 0.8))
        with contextlib.suppress(ProcessLookupError):  # between two lives
            if not fleet.completions(victim):
                fleet.kill_watch(victim)
    for instance in leaving:
        fleet.completion(instance, 120)
    for number in range(4):
        finished(fleet, f"long-{number}")
    for instance in leaving:
        assert [completion.result for completion in fleet.completions(instance)] == ["CONTINUE"]
    assert_no_job_was_lost(fleet)


def test_sigterm_ends_watch_without_a_completion(fleet: Fleet) -> None:
    (instance,) = fleet.launch(1)
    pid = fleet.watch_pid(instance)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: fleet.watch_pid(instance) != pid)
    assert fleet.completions(instance) == []
    assert "Traceback" not in fleet.log(instance)
    assert "event=fault" not in fleet.log(instance)


def test_an_instance_drained_by_an_operator_stays_in_service(fleet: Fleet) -> None:
    (instance,) = fleet.launch(1)
    own = fleet.folder / instance
    drain = subprocess.run(
        [*instance_program.agent_command(own), "drain"],
        env=instance_program.environment(own),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert drain.returncode == 0, drain.stderr
    assert "event=drained" in drain.stderr
    assert fleet.completions(instance) == []
    assert fleet.instances()[instance]["LifecycleState"] == "InService"
    fleet.terminate(instance)
    assert fleet.completion(instance).result == "CONTINUE"


def test_no_value_of_the_secret_is_anywhere_but_in_the_env(fleet: Fleet) -> None:
    seen: set[str] = set()

    def look_at_all_arguments() -> None:
        seen.update(str(path) for path in Path("/proc").glob("[0-9]*/cmdline") if CANARY.encode() in read(path))

    with repeatedly(look_at_all_arguments, every=0.02):
        (instance,) = fleet.launch(1)
        own = fleet.folder / instance
        env = own / "root/opt/ghosthands/.env"
        watching = read(Path(f"/proc/{fleet.watch_pid(instance)}/environ"))
        fleet.terminate(instance)
        fleet.completion(instance)
    assert seen == set()
    assert CANARY in env.read_text()
    assert env.stat().st_mode & 0o777 == 0o600
    files = [path for path in own.rglob("*") if path.is_file() and path != env]
    assert len(files) > 5
    assert [str(path) for path in files if CANARY.encode() in path.read_bytes()] == []
    assert watching
    assert CANARY.encode() not in watching


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # the process has ended


def test_every_call_that_the_agent_made_was_allowed(fleet: Fleet) -> None:
    assert fleet.calls("SetInstanceProtection")
    assert fleet.calls("RecordLifecycleActionHeartbeat")
    assert fleet.denied_calls() == []
