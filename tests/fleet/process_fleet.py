"""A fleet whose instances are processes: real agents, modelled workers with one job queue, and VALET's database."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
from localcloud.testing import wait_until
from model.file_job_queue import FileJobQueue

from tests.fleet.cloud import ROOT, PlaybookCloud
from tests.fleet.fleet import GROUP
from tests.registry.servers import DATABASE, PASSWORDS, Server

GOLDEN = "ami-010ca1c10d000a001"
TABLES = (
    "CREATE TABLE gh_automation_jobs (id uuid PRIMARY KEY, status text, worker_id text)",
    "CREATE SCHEMA pgboss",
    "CREATE TABLE pgboss.job (id int PRIMARY KEY, name text, state text, data jsonb, started_on timestamptz)",
    "GRANT USAGE ON SCHEMA pgboss TO gh_reader",
    "GRANT SELECT ON gh_automation_jobs, pgboss.job TO gh_reader",
)
#: What is wrong with an image -> options of its modelled worker, or Python's; empty: it does not boot. A worker that
#: crashes does so some time after it has begun to take jobs.
BAD: dict[str, list[str]] = {
    "does not boot": [],
    "boots and never registers": ["-c", "import signal; signal.pause()"],
    "fails its first job": ["--guard", "--fails-jobs"],
    "crashes after a while": ["--guard", "--crashes-after", "12"],
}
#: AWS's shortest times and small ones, so that a test waits for jobs and not for timers.
SHORT: dict[str, Any] = {
    "fleet_desired_capacity": 3,
    "fleet_warmup_seconds": 2,
    "fleet_launch_hook_timeout": 60,
    "fleet_termination_hook_timeout": 60,
    "fleet_protection_linger_seconds": 2,
    "fleet_boot_timeout_seconds": 60,
}


class ProcessFleet:
    """The fleet of inventories/local on a cloud of its own.

    Args:
        mode: the workers' dispatch mode.
        speed: how many times as fast as the real worker's the workers' own times pass.
    """

    def __init__(self, folder: Path, mode: str = "queue", speed: float = 1.0) -> None:
        self.folder, self.mode, self._speed = folder, mode, speed
        self.jobs = FileJobQueue(folder / "jobs")
        self.server = Server()
        for statement in TABLES:
            self.server.admin(statement)
        self.kind("new", "--guard")
        command = shlex.join(["sh", "-c", f"cd {shlex.quote(str(ROOT))} && exec {self.machine}"])
        paths = [str(ROOT / place) for place in ("", "agent/tests", "agent/src", "localcloud/src", "collections")]
        self.cloud = PlaybookCloud.start_process(
            folder / "cloud",
            environment={"PYTHONPATH": os.pathsep.join(paths)},
            instances="process",
            command=command,
        )

    @property
    def machine(self) -> str:
        """The command that is an instance."""
        return shlex.join([sys.executable, "-m", "tests.fleet.machine", str(self.folder)])

    def kind(self, name: str, *options: str) -> None:
        """Say what instances of a kind run: "new", "old" or an image's id; `options` are the modelled worker's."""
        (self.folder / name).mkdir(exist_ok=True)
        model = ["-m", "model.worker_process", "--queue", str(self.folder / "jobs"), "--mode", self.mode]
        model += ["--speed", str(self._speed)]
        words = list(options) if options[:1] == ("-c",) else [*model, *options]
        worker = {"worker": [sys.executable, *words], "cwd": str(ROOT / "agent/tests")}
        (self.folder / name / "worker.json").write_text(json.dumps(worker))

    def image(self, name: str, bad: str = "") -> str:
        """Make an image with the agent; one of `BAD` has that fault. Returns its id."""
        ec2 = self.cloud.client("ec2")
        (golden,) = ec2.describe_images(ImageIds=[GOLDEN])["Images"]
        id = str(ec2.copy_image(SourceImageId=GOLDEN, SourceRegion="us-east-1", Name=name)["ImageId"])
        ec2.create_tags(Resources=[id], Tags=[*golden["Tags"], {"Key": "Name", "Value": name}])
        if bad:
            (self.folder / id).mkdir()
            if options := BAD[bad]:
                self.kind(id, *options)
        wait_until(lambda: ec2.describe_images(ImageIds=[id])["Images"][0]["State"] == "available")
        return id

    def build(self, image: str, **variables: Any) -> None:
        """Run site.yml with short waits, and wait for the workers. Raises AssertionError with the run's output."""
        self.cloud.prepare()
        made = self.cloud.play("site.yml", **{**SHORT, "fleet_image": image, **variables})
        assert made.returncode == 0, made
        wait_until(lambda: len(self.in_service()) == self.cloud.group(GROUP)["DesiredCapacity"], 120)
        self.cloud.clear_trace()

    def close(self) -> None:
        """End everything."""
        self.cloud.stop()
        self.server.close()

    @property
    def variables(self) -> dict[str, Any]:
        """What the playbooks need to read the database."""
        dsn = psycopg.conninfo.make_conninfo(
            host="localhost",
            port=self.server.port,
            dbname=DATABASE,
            user="gh_reader",
            password=PASSWORDS["gh_reader"],
            sslrootcert=str(self.server.authority),
        )
        return {"fleet_registry_dsn": dsn}

    def in_service(self) -> dict[str, str]:
        """The template version of each instance in service, by id."""
        return {
            i["InstanceId"]: str(i["LaunchTemplate"]["Version"])
            for i in self.cloud.group(GROUP).get("Instances", [])
            if i["LifecycleState"] == "InService"
        }

    # --- the database ---------------------------------------------------------------------------------------------

    def mirror(self) -> None:
        """Show the queue as it is at one moment, in one transaction.

        As in upstream's database, nobody counts jobs_completed and jobs_failed of the registry.
        """
        queue, now = self.jobs.copy(), time.time()
        names = self.server._superuser_dsn(DATABASE)
        with psycopg.connect(names) as connection, connection.cursor() as cursor:
            working = {row.worker: row.job.id for row in queue.rows.values() if row.inside}
            cursor.executemany(
                "INSERT INTO gh_worker_registry (worker_id, status, ec2_instance_id, current_job_id) "
                "VALUES (%s, %s, %s, %s) ON CONFLICT (worker_id) DO UPDATE "
                "SET status = excluded.status, current_job_id = excluded.current_job_id, "
                "last_heartbeat = CASE WHEN %s THEN now() ELSE gh_worker_registry.last_heartbeat END",
                [
                    (id, status, id, working.get(id), since > now and status != "offline")
                    for id, (status, since) in queue.registry.items()
                ],
            )
            cursor.executemany(
                "INSERT INTO gh_automation_jobs VALUES (%s, %s, %s) ON CONFLICT (id) DO UPDATE "
                "SET status = excluded.status, worker_id = excluded.worker_id",
                [(row.job.id, row.status, row.worker or None) for row in queue.rows.values()],
            )
            cursor.execute("DELETE FROM pgboss.job")
            cursor.executemany(
                "INSERT INTO pgboss.job VALUES (%s, 'gh_apply_job', %s, %s, now())",
                [(n, e.state, json.dumps({"ghJobId": e.job})) for n, e in enumerate(queue.entries)],
            )

    def unfinished(self) -> list[str]:
        """Jobs that are not done."""
        return [row.job.id for row in self.jobs.copy().rows.values() if row.status != "completed"]
