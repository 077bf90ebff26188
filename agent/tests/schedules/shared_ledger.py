"""The ledger as a file that processes share (SQLite): for stand-in workers that are real processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schedules.ledger import Entry, Job, What

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, seconds REAL, status TEXT, claim TEXT, beat REAL, place INTEGER);
CREATE TABLE IF NOT EXISTS entries (at REAL, what TEXT, job TEXT, worker TEXT, reason TEXT);
CREATE TABLE IF NOT EXISTS registry (worker TEXT PRIMARY KEY, status TEXT, instance TEXT, ip TEXT, job TEXT, beat REAL);
"""


class SharedLedger:
    """A ledger in a file. Every method is one transaction; any number of processes may call at once. Times are seconds since the epoch."""

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

    def put(self, job: Job, now: float) -> None:
        """Somebody submits a job."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO jobs SELECT ?, ?, 'pending', '', ?, 1 + coalesce(max(place), 0) FROM jobs",
                (job.id, job.seconds, now),
            )
            _enter(db, now, "put", job.id)

    def waiting(self) -> bool:
        with self._transaction() as db:
            return db.execute("SELECT 1 FROM jobs WHERE status = 'pending'").fetchone() is not None

    def take(self, worker: str, now: float) -> Job | None:
        with self._transaction() as db:
            row = db.execute("SELECT id, seconds FROM jobs WHERE status = 'pending' ORDER BY place LIMIT 1").fetchone()
            if row is None:
                return None
            db.execute("UPDATE jobs SET status = 'running', claim = ?, beat = ? WHERE id = ?", (worker, now, row[0]))
            _enter(db, now, "take", row[0], worker)
            return Job(*row)

    def finish(self, worker: str, job: str, now: float) -> None:
        with self._transaction() as db:
            db.execute("UPDATE jobs SET status = 'finished', claim = '' WHERE id = ?", (job,))
            _enter(db, now, "finish", job, worker)

    def release(self, worker: str, now: float) -> None:
        with self._transaction() as db:
            for (job,) in db.execute(
                "SELECT id FROM jobs WHERE status = 'running' AND claim = ?", (worker,)
            ).fetchall():
                _back(db, job)
                _enter(db, now, "release", job, worker)

    def leave(self, worker: str, job: str, reason: str, now: float) -> None:
        with self._transaction() as db:
            _enter(db, now, "leave", job, worker, reason)

    def recover(self, now: float, stale: float) -> None:
        with self._transaction() as db:
            for (job,) in db.execute(
                "SELECT id FROM jobs WHERE status = 'running' AND beat < ?", (now - stale,)
            ).fetchall():
                _back(db, job)
                _enter(db, now, "recover", job)

    def beat(self, worker: str, job: str | None, now: float) -> None:
        """The sign of life of a job under way (the real worker: every 10 s) and of its worker."""
        with self._transaction() as db:
            db.execute("UPDATE registry SET beat = ?, job = ? WHERE worker = ?", (now, job, worker))
            db.execute("UPDATE jobs SET beat = ? WHERE id = ? AND claim = ?", (now, job, worker))

    def register(self, worker: str, status: str, instance: str, ip: str, now: float) -> None:
        """The worker's line in gh_worker_registry: ``active``, ``draining`` or ``offline``."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO registry VALUES (?, ?, ?, ?, NULL, ?)", (worker, status, instance, ip, now)
            )

    def registered(self) -> dict[str, str]:
        """Workers and their status."""
        with self._transaction() as db:
            return dict(db.execute("SELECT worker, status FROM registry").fetchall())

    def entries(self) -> list[Entry]:
        """All lines, in order."""
        with self._transaction() as db:
            return [
                Entry(*row)
                for row in db.execute("SELECT at, what, job, worker, reason FROM entries ORDER BY rowid").fetchall()
            ]

    def bury(self, worker: str, reason: str, now: float) -> None:
        """A process was killed, which cannot write its own end: it leaves what it was inside of."""
        inside: dict[str, bool] = {}
        for entry in self.entries():
            if entry.worker == worker and entry.what in ("take", "finish", "leave"):
                inside[entry.job] = entry.what == "take"
        for job in [job for job, still in inside.items() if still]:
            self.leave(worker, job, reason, now)


def _enter(db: sqlite3.Connection, at: float, what: What, job: str, worker: str = "", reason: str = "") -> None:
    db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", (at, what, job, worker, reason))


def _back(db: sqlite3.Connection, job: str) -> None:
    db.execute(
        "UPDATE jobs SET status = 'pending', claim = '', place = (SELECT 1 + max(place) FROM jobs) WHERE id = ?", (job,)
    )
