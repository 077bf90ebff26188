"""Thirty schedules again with real processes, sockets and signals, side by side on process instances."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

from tests.agent.fleet import GROUP, HOOK, ROOT, Fleet, eventually
from tests.chaos.ledger import Job, judge
from tests.chaos.real import HOOK_SECONDS, play

SCHEDULES = 15  # of each dispatch mode


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


class WithoutAgent(Fleet):
    """Instances as the runbook leaves them: a worker that is told the hook's name, and nothing that listens to the hook."""

    def _localcloud(self, *words: str) -> None:
        names = f"GH_WORKER_ID=$INSTANCE_ID EC2_INSTANCE_ID=$INSTANCE_ID AWS_ASG_NAME={GROUP} AWS_LIFECYCLE_HOOK_NAME={HOOK}"
        worker = f"{sys.executable} -m tests.chaos.stand_in --port 0 --ledger {self.folder / 'ledger.sqlite'} --mode {self.mode}"
        command = f"sh -c 'cd {ROOT} && {names} exec {worker}'"
        super()._localcloud(*(command if before == "--command" else word for before, word in zip(("", *words), words, strict=False)))

    mode = ""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "queue"])
def test_an_instance_without_an_agent_loses_its_job_as_its_model_does(mode: str, tmp_path: Path) -> None:
    """``runbook.RunbookMachine``: it takes jobs until the hook times out, then has 10 s from SIGTERM to SIGKILL."""
    fleet = WithoutAgent(tmp_path, mode=mode)
    fleet.mode = mode
    fleet.up()
    try:
        fleet.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
        (process,) = eventually(fleet.ledger.registered, 60)
        (instance,) = fleet.members()
        fleet.terminate(instance)
        began = time.time()
        eventually(lambda: fleet.members()[instance]["LifecycleState"] == "Terminating:Wait")
        fleet.ledger.put(Job("taken-while-terminating", 600), time.time())
        eventually(lambda: len(fleet.ledger.entries()) > 1)
        eventually(lambda: instance not in fleet.members(), 2 * HOOK_SECONDS)
        assert time.time() - began >= HOOK_SECONDS
        eventually(lambda: not Path(f"/proc/{process.partition('/')[2]}").exists(), 30)
        fleet.ledger.bury(process, "scale-in", time.time())
    finally:
        fleet.down()
    assert [entry.what for entry in fleet.ledger.entries()] == ["put", "take", "leave"]
    assert list(judge(fleet.ledger.entries(), time.time()).lost) == ["taken-while-terminating"]
    assert not any(call["status"] == 200 for call in fleet.calls("CompleteLifecycleAction"))
