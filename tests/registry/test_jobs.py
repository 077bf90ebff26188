"""What the jobs' table says of workers: what they ended, and what they have now."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet import postgres
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import WorkerJobs

from tests.registry.servers import DATABASE, PASSWORDS, Server


@pytest.fixture
def jobs(server: Server) -> Iterator[Server]:
    """The servers, with a table of jobs that the reader may read."""
    server.admin("CREATE TABLE gh_automation_jobs (id serial PRIMARY KEY, status text, worker_id text)")
    server.admin("GRANT SELECT ON gh_automation_jobs TO gh_reader")
    for worker, status in (
        *[("w-1", "completed")] * 3,
        ("w-1", "failed"),
        *[("w-1", "running")] * 2,
        ("w-2", "running"),
        ("w-2", "needs_human"),
        ("other", "failed"),
        (None, "pending"),
    ):
        server.admin("INSERT INTO gh_automation_jobs (worker_id, status) VALUES (%s, %s)", worker, status)
    yield server
    server.admin("DROP TABLE gh_automation_jobs")


def read(server: Server, *workers: str, table: str = "gh_worker_registry") -> dict[str, WorkerJobs]:
    parts = {"host": "localhost", "port": str(server.port), "dbname": DATABASE, "user": "gh_reader"}
    parts |= {"password": PASSWORDS["gh_reader"], "sslrootcert": str(server.authority)}
    return postgres.worker_jobs(postgres.parameters("", parts), table, workers, 5)


@pytest.mark.parametrize("table", ["gh_worker_registry", "public.gh_worker_registry"])
def test_the_jobs_of_these_workers_are_counted_and_a_worker_without_any_has_none(jobs: Server, table: str) -> None:
    found = read(jobs, "w-1", "w-2", "w-3", table=table)
    assert found == {"w-1": WorkerJobs(3, 1, 2), "w-2": WorkerJobs(running=1), "w-3": WorkerJobs()}
    assert read(jobs, table=table) == {}


def test_a_table_that_may_not_be_read_is_an_error_that_names_the_grant(jobs: Server) -> None:
    jobs.admin("REVOKE SELECT ON gh_automation_jobs FROM gh_reader")
    with pytest.raises(postgres.RegistryError, match="GRANT SELECT ON gh_automation_jobs"):
        read(jobs, "w-1")


def test_rows_that_a_policy_may_hide_are_not_taken_for_none(jobs: Server) -> None:
    jobs.admin("ALTER TABLE gh_automation_jobs ENABLE ROW LEVEL SECURITY")
    with pytest.raises(postgres.RegistryError, match="Row-level security of gh_automation_jobs may hide jobs"):
        read(jobs, "w-1")


def test_without_the_table_it_says_so(server: Server) -> None:
    with pytest.raises(postgres.RegistryError, match="gh_automation_jobs"):
        read(server, "w-1")
