"""The workers' database: a temporary PostgreSQL, with a pooler in front of it that instances reach."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

from tests.registry.servers import DATABASE, PASSWORDS, Server
from tools.real_worker import database as real_worker
from tools.real_worker import measures

HERE = Path(__file__).parent
RECORDING = HERE.parents[1] / "tools/real_worker/recording.sql"
GRANTS = """
GRANT USAGE ON SCHEMA real_worker TO gh_worker;
GRANT ALL ON ALL TABLES IN SCHEMA public, real_worker TO gh_worker;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public, real_worker TO gh_worker;
"""


class WorkerDatabase(Server):
    """With the tables of worker and queue, and what tools/real_worker records of jobs."""

    pool_size = 20

    def __init__(self) -> None:
        super().__init__()
        self.own = real_worker.Database(self._url("postgres", self.port))
        for text in ((HERE / "worker/schema.sql").read_text(), RECORDING.read_text(), GRANTS):
            self.own.query(text)

    def _url(self, user: str, port: int, host: str = "127.0.0.1") -> str:
        return f"postgresql://{user}:{quote(PASSWORDS[user], safe='')}@{host}:{port}/{DATABASE}"

    def url_for_workers(self, gateway: str) -> str:
        """Through the pooler, by the VPC's gateway."""
        return f"{self._url('gh_worker', self.pooler_port, gateway)}?sslmode=require"

    @property
    def url_for_operator(self) -> str:
        """The reader's, for verify.yml."""
        return f"{self._url('gh_reader', self.port, 'localhost')}?sslmode=verify-full&sslrootcert={self.authority}"

    def enqueue(self, mode: str, *descriptions: str) -> list[str]:
        """Submit jobs as VALET does (`insert` of agent/tests/guard/stand_in/database.ts); their ids."""
        ids = []
        for description in descriptions:
            job = str(uuid.uuid4())
            status = "queued" if mode == "queue" else "pending"
            row = "INSERT INTO gh_automation_jobs (id, status, task_description) VALUES (%s, %s, %s)"
            self.own.query(row, job, status, description)
            if mode == "queue":
                data = json.dumps({"ghJobId": job, "jobType": "apply"})
                entry = "INSERT INTO pgboss_job VALUES (%s, 'gh_apply_job', %s, 'created', 3, 0, %s, 0, 14400)"
                self.own.query(entry, str(uuid.uuid4()), data, f"task of {job}")
            ids.append(job)
        return ids

    def waiting(self) -> int:
        """Jobs that nobody has begun: all that VALET's scaler counts."""
        statement = "SELECT count(*) FROM gh_automation_jobs WHERE status IN ('pending', 'queued')"
        return int(self.own.query(statement)[0][0])

    def unfinished(self, jobs: Collection[str]) -> dict[str, str]:
        """Those that are not completed, with their status."""
        return {job: status for job, status in measures.statuses(self.own, jobs).items() if status != "completed"}

    def workers(self) -> dict[str, str]:
        """Workers that are active in the registry and live, by their heartbeat every 30 s: worker id -> instance."""
        live = "status = 'active' AND last_heartbeat > now() - interval '45 s'"
        return dict(self.own.query(f"SELECT worker_id, ec2_instance_id FROM gh_worker_registry WHERE {live}"))

    def busy(self) -> dict[str, str]:
        """The job that each worker is inside now."""
        return measures.inside(self.own)

    def outcome(self, jobs: Collection[str]) -> measures.Outcome:
        """What became of jobs."""
        return measures.outcome(self.own, jobs)
