"""A PostgreSQL with as much of the worker's tables as the evaluation reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.real_worker.database import Database, Server
from tools.real_worker.processes import RunFolder

JOBS_TABLE = """
CREATE TABLE gh_automation_jobs (
    id uuid PRIMARY KEY,
    status text NOT NULL DEFAULT 'pending',
    worker_id text,
    metadata jsonb,
    created_at timestamptz DEFAULT now()
);
"""


@pytest.fixture(scope="session")
def run_folder() -> Iterator[RunFolder]:
    """The session's servers."""
    folder = RunFolder()
    yield folder
    folder.close()
    assert not folder.path.exists()


@pytest.fixture(scope="session")
def running(run_folder: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with the tables."""
    migration = tmp_path_factory.mktemp("migrations") / "001.sql"
    migration.write_text(JOBS_TABLE)
    return Server(run_folder, [migration]).create("evaluated")


@pytest.fixture
def database(running: Database) -> Database:
    """The same, empty."""
    running.query("TRUNCATE gh_automation_jobs, real_worker.runs, real_worker.changes")
    return running
