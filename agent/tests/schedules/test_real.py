"""Thirty schedules again with real processes, sockets and signals, side by side on process instances; and the runbook's own script beside its model."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from localcloud.testing import wait_until
from processes.fleet import GROUP, SECRET, VALUES, Fleet

from schedules.cloud import RUNBOOK_TIMEOUT, START
from schedules.ledger import Entry, Job, judge
from schedules.real import HOOK_SECONDS, play
from schedules.runbook import RunbookMachine
from schedules.schedule import Happening, Schedule
from schedules.worker import Mode
from schedules.world import World

SCHEDULES = 15  # of each dispatch mode
LONG_SECONDS = 3600.0  # a job that outlasts every hook here
TERMINATED_AT = 600.0  # seconds after a modelled fleet began


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "queue"])
def test_real_agents_lose_no_job_and_complete_every_hook_once(mode: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("GH_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"GH_CHAOS_SEED={seed}")
    real = play(tmp_path, mode, SCHEDULES, seed)
    print(real)
    assert (real.verdict.lost, real.verdict.doubled, real.verdict.cut) == ({}, {}, {})
    assert set(real.completions.values()) == {1}
    assert len(real.completions) == SCHEDULES
    assert real.strikes["agent killed in its drain"] > 0
    assert all(result == "CONTINUE" for result in real.results) or real.verdict.interrupted


class RunbookFleet(Fleet):
    """Instances that boot by the runbook's own script; each worker makes up its name, as nobody gives it one."""

    machine = ("schedules.runbook_host",)

    def up(self) -> None:
        super().up()
        dotenv = "".join(
            f"{key}={value}\n" for key, value in VALUES.items()
        )  # which the script takes for the `.env` itself
        self.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=dotenv)

    def workers(self, count: int) -> dict[str, str]:
        """So many instances with registered workers: the ids by the process's name in the ledger."""
        self.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=count)

        def registered() -> dict[str, str]:
            pids = {id: (self.folder / id / "worker.pid") for id in self.instances()}
            names = {f"worker-{pid.read_text()}/{pid.read_text()}": id for id, pid in pids.items() if pid.exists()}
            return names if len(names) == count and names.keys() <= self.ledger.registered().keys() else {}

        return wait_until(registered, 60)

    def submit(self, job: str) -> str:
        """The process that takes it."""
        self.ledger.put(Job(job, LONG_SECONDS), time.time())
        return wait_until(
            lambda: [entry.worker for entry in self.ledger.entries() if entry.job == job and entry.what == "take"]
        )[0]

    def bury(self, process: str) -> None:
        """Wait until it is gone, and write what it cannot write: why its group ended it."""
        wait_until(lambda: not Path(f"/proc/{process.partition('/')[2]}").exists(), 3 * HOOK_SECONDS)
        activities = self.client("autoscaling").describe_scaling_activities(AutoScalingGroupName=GROUP)["Activities"]
        assert sum("user request" in activity["Cause"] for activity in activities) > 0
        self.ledger.bury(process, "terminated on request", time.time())


@dataclass(frozen=True)
class Loss:
    """How a job was lost: what happened to it, why, whether it was taken after its instance was told to end, and how long after the hook's end it ended."""

    acts: tuple[str, ...]
    reason: str
    late: bool
    seconds: float


def loss(entries: Iterable[Entry], job: str, terminated: float, hook_seconds: float) -> Loss:
    """The loss of a job. Raises KeyError if it was not lost."""
    lines = [entry for entry in entries if entry.job == job]
    (taken,) = (entry.at for entry in lines if entry.what == "take")
    reason = judge(lines, lines[-1].at).lost[job]
    return Loss(
        tuple(line.what for line in lines), reason, taken > terminated, lines[-1].at - terminated - hook_seconds
    )


def modelled(mode: Mode, submitted: float) -> Loss:
    """The same under `RunbookMachine`: one instance, one job, and TerminateInstanceInAutoScalingGroup."""
    schedule = Schedule(
        seed=0,
        number=0,
        mode=mode,
        policy="wait_idle",
        max_size=1,
        scaler_interval=60.0,
        heartbeat_timeout=RUNBOOK_TIMEOUT,
        drain_limit=2100,
        launch_hook=False,
        retains=False,
        jobs=((submitted, Job("job", LONG_SECONDS)),),
        happenings=(Happening(TERMINATED_AT, "terminate"),),
        ends=TERMINATED_AT + 2 * RUNBOOK_TIMEOUT,
    )
    world = World(schedule, RunbookMachine, kit=False)
    world.run()
    return loss(world.ledger.entries, "job", START + TERMINATED_AT, RUNBOOK_TIMEOUT)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "queue"])
def test_the_runbooks_own_script_loses_jobs_as_its_model_does(mode: Mode, tmp_path: Path) -> None:
    """A job under way at scale-in, and one that is taken while its instance waits for a hook that nobody completes."""
    fleet = RunbookFleet(tmp_path, mode=mode)
    fleet.up()
    try:
        instances = fleet.workers(2)
        busy = fleet.submit("under-way")
        (idle,) = instances.keys() - {busy}
        terminated = time.time()
        for instance in instances.values():
            fleet.terminate(instance)
        assert fleet.submit("taken-late") == idle
        for process in (busy, idle):
            fleet.bury(process)
        assert fleet.successful_calls("CompleteLifecycleAction") == []
    finally:
        fleet.down()
    for job, submitted in (("under-way", TERMINATED_AT - 60), ("taken-late", TERMINATED_AT + 5)):
        real, model = loss(fleet.ledger.entries(), job, terminated, HOOK_SECONDS), modelled(mode, submitted)
        print(f"{mode}: {job}: {real}, the model {model}")
        assert (real.acts, real.reason, real.late) == (model.acts, model.reason, model.late)
        assert real.seconds == pytest.approx(model.seconds, abs=5)
