"""Thirty schedules with real processes, sockets and signals, and the runbook's own script beside its model."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from localcloud.testing import wait_until
from model.job_queue import Job, JobEvent, Mode
from model.worker import CLAIM_SECONDS
from processes.fleet import GROUP, HEARTBEAT_TIMEOUT, SECRET, VALUES, Fleet

from schedules import real_processes
from schedules.runbook import RunbookHost
from schedules.schedule import Event, Schedule
from schedules.simulated_fleet import RUNBOOK_HEARTBEAT_TIMEOUT, START
from schedules.simulation import Simulation

SCHEDULES = 15  # of each dispatch mode
LONG_SECONDS = 3600.0  # a job that takes longer than every hook here
TERMINATED_AT = 600.0  # seconds after a simulated fleet began


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "queue"])
def test_real_agents_lose_no_job_with_a_guard_and_complete_every_hook_once(mode: Mode, tmp_path: Path) -> None:
    seed = int(os.environ.get("GH_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"GH_CHAOS_SEED={seed}")
    result = real_processes.run(tmp_path, mode, SCHEDULES, seed)
    print(result)
    assert (result.verdict.lost, result.verdict.doubled, result.verdict.claimed_twice) == ({}, {}, {})
    assert set(result.verdict.cut_off.values()) <= {"worker crashed"}
    assert set(result.completions.values()) == {1}
    assert len(result.completions) == SCHEDULES
    assert result.faults["agent killed in its drain"] > 0
    assert set(result.results) == {"CONTINUE"} or result.verdict.cut_off


class RunbookFleet(Fleet):
    """Instances that boot by the runbook's own script. Each worker makes up its name, as nothing configures one."""

    program = "processes.runbook_instance"
    credentials_seconds = 0  # the script does not wait for them

    def create(self) -> None:
        super().create()
        dotenv = "".join(f"{key}={value}\n" for key, value in VALUES.items())  # which the script uses as `.env`
        self.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=dotenv)

    def launch_workers(self, count: int) -> dict[str, str]:
        """Launch so many instances with registered workers; return their ids by the process's name in the queue."""
        self.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=count)

        def registered() -> dict[str, str]:
            pids = {id: (self.folder / id / "worker.pid") for id in self.instances()}
            names = {f"worker-{pid.read_text()}/{pid.read_text()}": id for id, pid in pids.items() if pid.exists()}
            return (
                names
                if len(names) == count and {name.partition("/")[0] for name in names} <= self.jobs.registered().keys()
                else {}
            )

        return wait_until(registered, 60)

    def submit(self, job: str) -> str:
        """Submit a job and return the process that takes it."""
        self.jobs.submit(Job(job, LONG_SECONDS), time.time())
        return wait_until(
            lambda: [event.worker for event in self.jobs.events() if event.job == job and event.action == "take"]
        )[0]

    def record_death(self, process: str) -> None:
        """Wait until a process is gone, and record why its group terminated it, which it cannot do itself."""
        wait_until(lambda: not Path(f"/proc/{process.partition('/')[2]}").exists(), 3 * HEARTBEAT_TIMEOUT)
        activities = self.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
        assert any("user request" in activity["Cause"] for activity in activities)
        self.jobs.record_death(process, "terminated on request", time.time())


@dataclass(frozen=True)
class Loss:
    """How a job was lost.

    Attributes:
        late: whether it was taken after termination of its instance was requested.
        seconds: how long after the hook's timeout it ended.
    """

    actions: tuple[str, ...]
    reason: str
    late: bool
    seconds: float


def loss(events: Iterable[JobEvent], job: str, terminated: float, heartbeat_timeout: float) -> Loss:
    """Return the loss of a job, which must not be finished."""
    history = [event for event in events if event.job == job and event.worker]
    assert all(event.action != "finish" for event in history)
    (taken,) = (event.at for event in history if event.action == "take")
    (left,) = (event for event in history if event.action == "leave")
    return Loss(
        actions=tuple(event.action for event in history if event.worker == left.worker),
        reason=left.reason,
        late=taken > terminated,
        seconds=left.at - terminated - heartbeat_timeout,
    )


def simulated_loss(mode: Mode, submitted: float) -> Loss:
    """The same with `RunbookHost`: one instance, one job, and TerminateInstanceInAutoScalingGroup."""
    schedule = Schedule(
        seed=0,
        number=0,
        mode=mode,
        policy="wait_idle",
        claim_seconds=CLAIM_SECONDS,
        submitted="pending",
        max_size=1,
        scaler_interval=60.0,
        heartbeat_timeout=RUNBOOK_HEARTBEAT_TIMEOUT,
        drain_limit=2100,
        launch_hook=False,
        retains=False,
        jobs=((submitted, Job("job", LONG_SECONDS)),),
        events=(Event(TERMINATED_AT, "terminate"),),
        ends=TERMINATED_AT + 2 * RUNBOOK_HEARTBEAT_TIMEOUT,
    )
    simulation = Simulation(schedule, RunbookHost, with_agent=False)
    simulation.run()
    return loss(simulation.jobs.events, "job", START + TERMINATED_AT, RUNBOOK_HEARTBEAT_TIMEOUT)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "queue"])
def test_the_runbooks_own_script_loses_jobs_as_its_model_does(mode: Mode, tmp_path: Path) -> None:
    """A job under way at scale-in, and one that is taken while its instance waits for a hook that nothing completes."""
    fleet = RunbookFleet(tmp_path, mode=mode)
    fleet.up()
    try:
        fleet.launch_workers(1)
        busy = fleet.submit("under-way")  # with two workers, both might claim it
        instances = fleet.launch_workers(2)
        (idle,) = instances.keys() - {busy}
        terminated = time.time()
        for instance in instances.values():
            fleet.terminate(instance)
        assert fleet.submit("taken-late") == idle
        for process in (busy, idle):
            fleet.record_death(process)
        assert fleet.calls("CompleteLifecycleAction") == []
    finally:
        fleet.down()
    for job, submitted in (("under-way", TERMINATED_AT - 60), ("taken-late", TERMINATED_AT + 5)):
        real = loss(fleet.jobs.events(), job, terminated, HEARTBEAT_TIMEOUT)
        simulated = simulated_loss(mode, submitted)
        print(f"{mode}: {job}: {real}, simulated {simulated}")
        assert (real.actions, real.reason, real.late) == (simulated.actions, simulated.reason, simulated.late)
        assert real.seconds == pytest.approx(simulated.seconds, abs=5)
