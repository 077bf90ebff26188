"""Instances made by hand are replaced while jobs run: the playbook, real processes, a real PostgreSQL."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from localcloud.testing import repeatedly, wait_until
from model.job_queue import Job
from model.verdict import judge

from tests.fleet import handmade
from tests.fleet.fleet import GROUP
from tests.fleet.process_fleet import ProcessFleet
from tests.seeds import new_seed

JOBS = 40
SSH = """#!/bin/sh
for word; do case $word in HostKeyAlias=*) instance=${word#*=};; esac; command=$word; done
export OWN="@OLD@/$instance" XDG_RUNTIME_DIR="@OLD@/$instance"
PATH="$OWN/bin:@TOOLS@:$PATH" exec sh -c "${command#sudo -n }"
"""
CURL = """#!/bin/sh
port=$(sed 's/.*"port": \\([0-9]*\\).*/\\1/' "$OWN/instance.json")
exec /usr/bin/curl -sS -m 5 "http://127.0.0.1:$port/worker/status"
"""


class HandMade(ProcessFleet):
    """A fleet made by hand, and what its operator's programs see of its instances."""

    def __init__(self, folder: Path, mode: str) -> None:
        super().__init__(folder, mode)
        self.kind("old")
        self.programs = folder / "programs here"
        self._program(self.programs / "ssh", SSH)
        self._program(folder / "tools/curl", CURL)

    def _program(self, path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        text = text.replace("@OLD@", str(self.folder / "old")).replace("@TOOLS@", str(self.folder / "tools"))
        path.write_text(text)
        path.chmod(0o755)

    @property
    def variables(self) -> dict[str, Any]:
        return {**super().variables, "fleet_host_checks": "ssh"}

    def submit(self, number: int, dice: random.Random) -> None:
        for _job in range(number):
            job = Job(str(uuid.UUID(int=dice.getrandbits(128))), dice.uniform(0.3, 2.0))
            self.jobs.submit(job, time.time(), "queued")
            time.sleep(dice.expovariate(1 / 1.5))


@pytest.fixture
def by_hand(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[HandMade]:
    """Two instances with the runbook's user data, adopted."""
    made = HandMade(tmp_path, request.param)
    try:
        handmade.build(made.cloud, instances=2)
        wait_until(lambda: len(made.jobs.registered()) == 2, 60)
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("by_hand", ["queue", pytest.param("legacy", marks=pytest.mark.slow)], indirect=True)
def test_instances_made_by_hand_are_replaced_while_jobs_run(by_hand: HandMade) -> None:
    seed = new_seed()
    print(f"seed {seed}")
    cloud, old = by_hand.cloud, set(by_hand.cloud.lifecycle_states(GROUP))
    site = cloud.play("site.yml", fleet_adopt=GROUP, fleet_image=handmade.GOLDEN)
    assert site.returncode == 0, site
    assert set(cloud.lifecycle_states(GROUP)) == old
    load = threading.Thread(target=by_hand.submit, args=(JOBS, random.Random(seed)))
    with repeatedly(by_hand.mirror, every=0.1):
        load.start()
        run = cloud.play("playbooks/replace_unmanaged.yml", programs=by_hand.programs, **by_hand.variables)
        load.join()
        assert run.returncode == 0, run
        wait_until(lambda: not by_hand.unfinished(), 120)
    assert not old & cloud.lifecycle_states(GROUP).keys()
    assert len(cloud.lifecycle_states(GROUP)) == cloud.group()["DesiredCapacity"] == 2
    verdict = judge(by_hand.jobs.copy(), time.time(), "queue" if by_hand.mode == "queue" else "legacy")
    assert (verdict.jobs, dict(verdict.lost), dict(verdict.cut_off)) == (JOBS, {}, {}), run
    # Legacy workers claim jobs of each other, whether or not anything is replaced (docs/worker.md).
    assert by_hand.mode == "legacy" or dict(verdict.doubled) == {}, run
    completed = [c for c in cloud.calls("CompleteLifecycleAction") if c["parameters"]["InstanceId"] in old]
    assert {c["parameters"]["LifecycleActionResult"] for c in completed} == {"CONTINUE"}
    assert cloud.group()["InstanceLifecyclePolicy"]["RetentionTriggers"]["TerminateHookAbandon"] == "retain"
    cloud.clear_trace()
    again = cloud.play("playbooks/replace_unmanaged.yml", **by_hand.variables)
    assert (again.returncode, again.changed, cloud.writes()) == (0, 0, []), again
