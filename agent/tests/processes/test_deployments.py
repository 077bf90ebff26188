"""deploy-server replaces the worker by a container without compose's labels: drains and boots on such hosts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from localcloud.testing import wait_until
from model.job_queue import Job
from model.verdict import judge
from processes.fleet import RAW_WORKER, Fleet
from processes.instance import agent_command, environment

COMPOSES = "ghosthands-worker-1"
BOOT_SECONDS = "60"  # BOOT_TIMEOUT_SECONDS, 30 of which are for somebody else's worker


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet of workers in queue mode."""
    made = Fleet(tmp_path_factory.mktemp("deployments"), conf={"BOOT_TIMEOUT_SECONDS": BOOT_SECONDS})
    made.up()
    yield made
    made.down()


@pytest.fixture
def instance(fleet: Fleet) -> Iterator[str]:
    """One more instance; the only one."""
    (launched,) = fleet.launch()
    yield launched
    if not fleet.completions(launched):
        fleet.terminate(launched)
        fleet.completion(launched, 120)


def port(fleet: Fleet, instance: str) -> int:
    return int(json.loads((fleet.folder / instance / "instance.json").read_text())["port"])


def answers(fleet: Fleet, instance: str) -> bool:
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port(fleet, instance))) == 0


def submit(fleet: Fleet, instance: str, job: str, seconds: float) -> None:
    """Submit a job and wait until the worker there has taken it."""
    fleet.jobs.submit(Job(job, seconds), time.time())
    wait_until(lambda: [e for e in fleet.jobs.events() if (e.job, e.action) == (job, "take")], 30)
    fleet.wait_for_protection(instance, True)


def finished(fleet: Fleet, job: str) -> bool:
    return any((event.job, event.action) == (job, "finish") for event in fleet.jobs.events())


def assert_drained(fleet: Fleet, instance: str) -> None:
    """Its hook was completed once, as clean, and nothing answers or will start again."""
    assert fleet.completion(instance, 120).result == "CONTINUE"
    assert not answers(fleet, instance)
    assert not {"running", "restarting"} & set(fleet.containers(instance).values())
    verdict = judge(fleet.jobs.copy(), time.time(), fleet.dispatch_mode)
    assert verdict.fates == ({"finished": verdict.jobs} if verdict.jobs else {}), verdict


def boot_again(fleet: Fleet, instance: str) -> None:
    own = fleet.folder / instance
    with (own / "boot.log").open("a") as log:
        subprocess.run([*agent_command(own), "boot"], env=environment(own), stderr=log, check=True)


def test_a_worker_that_deploy_server_started_finishes_its_job_before_the_hook_is_completed(
    fleet: Fleet, instance: str
) -> None:
    fleet.deploy(instance)
    wait_until(lambda: answers(fleet, instance), 30)
    submit(fleet, instance, "on-a-raw-worker", 8.0)
    fleet.terminate(instance)
    assert_drained(fleet, instance)
    assert finished(fleet, "on-a-raw-worker")
    assert fleet.containers(instance) == {RAW_WORKER: "exited"}


def test_a_deployment_in_the_middle_of_a_drain_is_drained_too(fleet: Fleet, instance: str) -> None:
    """Its worker replaces one that the agent has seen idle, before the agent signals that one."""
    agent = fleet.watch_pid(instance)
    os.kill(agent, signal.SIGSTOP)
    try:
        fleet.terminate(instance)
        fleet.deploy(instance)
        wait_until(lambda: answers(fleet, instance), 30)
        assert fleet.completions(instance) == []
    finally:
        os.kill(agent, signal.SIGCONT)
    assert_drained(fleet, instance)
    assert fleet.containers(instance) == {RAW_WORKER: "exited"}


@pytest.mark.parametrize("steps", [("stop",), ("stop", "create")])
def test_a_deployment_that_is_half_done_leaves_nothing_to_drain(
    fleet: Fleet, instance: str, steps: tuple[str, ...]
) -> None:
    fleet.deploy(instance, steps=steps)
    fleet.terminate(instance)
    assert_drained(fleet, instance)
    assert fleet.containers(instance) == ({RAW_WORKER: "created"} if "create" in steps else {})


def test_of_two_workers_neither_is_left(fleet: Fleet, instance: str) -> None:
    """The second has no port: it ends, and docker starts it again and again."""
    fleet.deploy(instance, steps=("create", "start"))
    wait_until(lambda: fleet.containers(instance)[RAW_WORKER] == "restarting", 30)
    fleet.terminate(instance)
    assert_drained(fleet, instance)
    assert fleet.containers(instance) == {COMPOSES: "exited", RAW_WORKER: "exited"}


def test_boot_removes_the_second_worker_and_leaves_a_busy_one_alone(fleet: Fleet, instance: str) -> None:
    fleet.deploy(instance, steps=("create", "start"))
    wait_until(lambda: fleet.containers(instance)[RAW_WORKER] == "restarting", 30)
    fleet.docker(instance, "compose", "up", "-d")
    submit(fleet, instance, "beside-a-second-worker", 8.0)
    boot_again(fleet, instance)
    assert fleet.containers(instance) == {COMPOSES: "running"}
    wait_until(lambda: finished(fleet, "beside-a-second-worker"), 60)


def test_boot_replaces_what_deploy_server_started_when_its_job_has_ended(fleet: Fleet, instance: str) -> None:
    fleet.deploy(instance)
    wait_until(lambda: answers(fleet, instance), 30)
    submit(fleet, instance, "while-boot-waits", 20.0)
    boot_again(fleet, instance)
    assert finished(fleet, "while-boot-waits")
    assert fleet.containers(instance) == {COMPOSES: "running"}
    assert "foreign_worker_busy" in fleet.log(instance)
    wait_until(lambda: answers(fleet, instance), 30)


def test_a_worker_that_runs_in_no_container_is_never_taken_for_drained(fleet: Fleet, instance: str) -> None:
    """Nothing can signal it; while it answers, a drain is not clean."""
    fleet.deploy(instance, steps=("stop",))
    worker = json.loads((fleet.folder / "worker.json").read_text())
    started = subprocess.Popen(
        [*worker["worker"], "--port", str(port(fleet, instance))],
        cwd=worker["cwd"],
        env={**environment(fleet.folder / instance), "EC2_INSTANCE_ID": instance, "GH_WORKER_ID": instance},
    )
    try:
        wait_until(lambda: answers(fleet, instance), 30)
        fleet.terminate(instance)
        assert fleet.completion(instance, 120).result == "ABANDON"
        assert "clean=false" in fleet.log(instance)
        assert started.poll() in (None, -signal.SIGKILL)  # the end of the instance, which may have come by now
    finally:
        started.kill()
        started.wait()
