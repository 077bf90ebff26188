"""The job queue as a file that processes share (SQLite), with the workers' registry."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.job_queue import Action, Job, JobEvent

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs
    (id TEXT PRIMARY KEY, seconds REAL, status TEXT, claim TEXT, heartbeat REAL, place INTEGER);
CREATE TABLE IF NOT EXISTS events (at REAL, action TEXT, job TEXT, worker TEXT, reason TEXT);
CREATE TABLE IF NOT EXISTS registry
    (worker TEXT PRIMARY KEY, status TEXT, instance TEXT, ip TEXT, job TEXT, heartbeat REAL);
"""


class FileJobQueue:
    """A job queue in a file; see `JobQueue`. Times are seconds since 1970.

    Every method is one transaction, and any number of processes may call at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._transaction() as db:
            for statement in SCHEMA.strip().split(";\n"):
                db.execute(statement)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()  # without COMMIT: as if it had not been

    def submit(self, job: Job, now: float) -> None:
        """Add a job."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO jobs SELECT ?, ?, 'pending', '', ?, 1 + coalesce(max(place), 0) FROM jobs",
                (job.id, job.seconds, now),
            )
            _record(db, now, "submit", job.id)

    def has_waiting_jobs(self) -> bool:
        with self._transaction() as db:
            return db.execute("SELECT 1 FROM jobs WHERE status = 'pending'").fetchone() is not None

    def take(self, worker: str, now: float) -> Job | None:
        with self._transaction() as db:
            row = db.execute("SELECT id, seconds FROM jobs WHERE status = 'pending' ORDER BY place LIMIT 1").fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE jobs SET status = 'running', claim = ?, heartbeat = ? WHERE id = ?", (worker, now, row[0])
            )
            _record(db, now, "take", row[0], worker)
            return Job(*row)

    def finish(self, worker: str, job: str, now: float) -> None:
        with self._transaction() as db:
            db.execute("UPDATE jobs SET status = 'finished', claim = '' WHERE id = ?", (job,))
            _record(db, now, "finish", job, worker)

    def release(self, worker: str, now: float) -> None:
        with self._transaction() as db:
            for (job,) in db.execute(
                "SELECT id FROM jobs WHERE status = 'running' AND claim = ?", (worker,)
            ).fetchall():
                _requeue(db, job)
                _record(db, now, "release", job, worker)

    def leave(self, worker: str, job: str, reason: str, now: float) -> None:
        with self._transaction() as db:
            _record(db, now, "leave", job, worker, reason)

    def recover(self, now: float, stale_seconds: float) -> None:
        with self._transaction() as db:
            for (job,) in db.execute(
                "SELECT id FROM jobs WHERE status = 'running' AND heartbeat < ?", (now - stale_seconds,)
            ).fetchall():
                _requeue(db, job)
                _record(db, now, "recover", job)

    def heartbeat(self, worker: str, job: str | None, now: float) -> None:
        """Record the heartbeat of a running job (the real worker: every 10 s) and of its worker."""
        with self._transaction() as db:
            db.execute("UPDATE registry SET heartbeat = ?, job = ? WHERE worker = ?", (now, job, worker))
            db.execute("UPDATE jobs SET heartbeat = ? WHERE id = ? AND claim = ?", (now, job, worker))

    def register(self, worker: str, status: str, instance: str, ip: str, now: float) -> None:
        """Write the worker's row in gh_worker_registry: `active`, `draining` or `offline`."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO registry VALUES (?, ?, ?, ?, NULL, ?)", (worker, status, instance, ip, now)
            )

    def registered(self) -> dict[str, str]:
        """Return the workers and their status."""
        with self._transaction() as db:
            return dict(db.execute("SELECT worker, status FROM registry").fetchall())

    def events(self) -> list[JobEvent]:
        """Return all events, in order."""
        with self._transaction() as db:
            return [
                JobEvent(*row)
                for row in db.execute("SELECT at, action, job, worker, reason FROM events ORDER BY rowid").fetchall()
            ]

    def record_death(self, worker: str, reason: str, now: float) -> None:
        """Record that a killed process has left its job, which it cannot do itself."""
        working: dict[str, bool] = {}
        for event in self.events():
            if event.worker == worker and event.action in ("take", "finish", "leave"):
                working[event.job] = event.action == "take"
        for job in [job for job, still in working.items() if still]:
            self.leave(worker, job, reason, now)


def _record(db: sqlite3.Connection, at: float, action: Action, job: str, worker: str = "", reason: str = "") -> None:
    db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", (at, action, job, worker, reason))


def _requeue(db: sqlite3.Connection, job: str) -> None:
    db.execute(
        "UPDATE jobs SET status = 'pending', claim = '', place = (SELECT 1 + max(place) FROM jobs) WHERE id = ?", (job,)
    )
