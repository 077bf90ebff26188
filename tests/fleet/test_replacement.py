"""Instances made by hand are replaced while jobs run: the playbook, real processes, a real PostgreSQL."""

from __future__ import annotations

import json
import os
import random
import shlex
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from localcloud.testing import repeatedly, wait_until
from model.file_job_queue import FileJobQueue
from model.job_queue import Job
from model.verdict import judge

from tests.fleet import handmade
from tests.fleet.cloud import ROOT, PlaybookCloud
from tests.fleet.fleet import GROUP
from tests.registry.servers import DATABASE, PASSWORDS, Server

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
TABLES = (
    "CREATE TABLE gh_automation_jobs (id uuid PRIMARY KEY, status text, worker_id text)",
    "CREATE SCHEMA pgboss",
    "CREATE TABLE pgboss.job (id int PRIMARY KEY, name text, state text, data jsonb, started_on timestamptz)",
    "GRANT USAGE ON SCHEMA pgboss TO gh_reader",
    "GRANT SELECT ON gh_automation_jobs, pgboss.job TO gh_reader",
)


class HandMade:
    """A fleet made by hand whose instances are processes, its queue, and the database that shows it."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.folder, self.mode = folder, mode
        self.jobs = FileJobQueue(folder / "jobs")
        self.server = Server()
        for statement in TABLES:
            self.server.admin(statement)
        for kind, guard in (("old", []), ("new", ["--guard"])):
            (folder / kind).mkdir()
            queue = ["--queue", str(folder / "jobs"), "--mode", mode]
            worker = {"worker": [sys.executable, "-m", "model.worker_process", *queue, *guard]}
            (folder / kind / "worker.json").write_text(json.dumps({**worker, "cwd": str(ROOT / "agent/tests")}))
        (folder / "old/agent.conf").write_text("")
        self.programs = folder / "programs here"
        self._program(self.programs / "ssh", SSH)
        self._program(folder / "tools/curl", CURL)
        command = shlex.join(["sh", "-c", f"cd {shlex.quote(str(ROOT))} && exec {self._machine}"])
        paths = [str(ROOT / place) for place in ("", "agent/tests", "agent/src", "localcloud/src", "collections")]
        self.cloud = PlaybookCloud.start_process(
            folder / "cloud",
            environment={"PYTHONPATH": os.pathsep.join(paths)},
            instances="process",
            command=command,
        )

    @property
    def _machine(self) -> str:
        return shlex.join([sys.executable, "-m", "tests.fleet.machine", str(self.folder)])

    def _program(self, path: Path, text: str) -> None:
        path.parent.mkdir(exist_ok=True)
        text = text.replace("@OLD@", str(self.folder / "old")).replace("@TOOLS@", str(self.folder / "tools"))
        path.write_text(text)
        path.chmod(0o755)

    def close(self) -> None:
        self.cloud.stop()
        self.server.close()

    @property
    def variables(self) -> dict[str, Any]:
        dsn = psycopg.conninfo.make_conninfo(
            host="localhost",
            port=self.server.port,
            dbname=DATABASE,
            user="gh_reader",
            password=PASSWORDS["gh_reader"],
            sslrootcert=str(self.server.authority),
        )
        return {"fleet_registry_dsn": dsn, "fleet_host_checks": "ssh"}

    # --- the database ---------------------------------------------------------------------------------------------

    def mirror(self) -> None:
        """Show the queue as it is at one moment, in one transaction."""
        queue = self.jobs.copy()
        names = self.server._superuser_dsn(DATABASE)
        with psycopg.connect(names) as connection, connection.cursor() as cursor:
            working = {row.worker: row.job.id for row in queue.rows.values() if row.inside}
            cursor.executemany(
                "INSERT INTO gh_worker_registry (worker_id, status, ec2_instance_id, current_job_id) "
                "VALUES (%s, %s, %s, %s) ON CONFLICT (worker_id) DO UPDATE "
                "SET status = excluded.status, current_job_id = excluded.current_job_id, last_heartbeat = now()",
                [(id, status, id, working.get(id)) for id, (status, _since) in queue.registry.items()],
            )
            cursor.executemany(
                "INSERT INTO gh_automation_jobs VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE "
                "SET status = excluded.status, worker_id = excluded.worker_id",
                [(row.job.id, row.status, row.worker or None) for row in queue.rows.values()],
            )
            cursor.executemany(
                "INSERT INTO pgboss.job VALUES (%s, 'gh_apply_job', %s, %s, now()) ON CONFLICT (id) DO UPDATE "
                "SET state = excluded.state, started_on = now()",
                [(n, e.state, json.dumps({"ghJobId": e.job})) for n, e in enumerate(queue.entries)],
            )

    # --- the load ---------------------------------------------------------------------------------------------------

    def submit(self, number: int, dice: random.Random) -> None:
        for _job in range(number):
            job = Job(str(uuid.UUID(int=dice.getrandbits(128))), dice.uniform(0.3, 2.0))
            self.jobs.submit(job, time.time(), "queued")
            time.sleep(dice.expovariate(1 / 1.5))

    def unfinished(self) -> list[str]:
        return [row.job.id for row in self.jobs.copy().rows.values() if row.status != "completed"]


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
    seed = random.SystemRandom().randrange(10_000)
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
