"""The queue of jobs, with a record of everything that workers did to it. Times are seconds on one clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, Protocol

Action = Literal["submit", "take", "finish", "release", "recover", "leave"]


@dataclass(frozen=True)
class Job:
    """One job application.

    Attributes:
        seconds: how long it takes, the wait for a human's answer included.
    """

    id: str
    seconds: float


@dataclass(frozen=True)
class JobEvent:
    """Something that was done to a job.

    Attributes:
        worker: the worker process; empty for what the queue itself did.
        reason: why a worker process left the job; empty for other actions.
    """

    at: float
    action: Action
    job: str
    worker: str = ""
    reason: str = ""


class JobQueue(Protocol):
    """What a worker process does to the queue's tables."""

    def has_waiting_jobs(self) -> bool:
        """Whether a job can be taken."""

    def take(self, worker: str, now: float) -> Job | None:
        """Claim the job that has waited longest."""

    def finish(self, worker: str, job: str, now: float) -> None:
        """Record that the job is done. Works without a claim, as the worker updates its row by id alone."""

    def release(self, worker: str, now: float) -> None:
        """Make every job that this process still claims pending again, even while it goes on with it."""

    def leave(self, worker: str, job: str, reason: str, now: float) -> None:
        """Record that the process no longer works on the job, which it has not finished."""

    def recover(self, now: float, stale_seconds: float) -> None:
        """Make claimed jobs pending again that have had no heartbeat for that long."""


@dataclass
class Row:
    """A job's row in the database.

    Attributes:
        claim: the worker process that claims it.
        silent_since: when the process that claims it stopped sending heartbeats; None while it sends them.
    """

    job: Job
    status: Literal["pending", "running", "finished"] = "pending"
    claim: str = ""
    silent_since: float | None = None


@dataclass
class MemoryJobQueue:
    """The queue of a simulated fleet."""

    events: list[JobEvent] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    _pending: deque[str] = field(default_factory=deque)

    def submit(self, job: Job, now: float) -> None:
        """Add a job."""
        self.rows[job.id] = Row(job)
        self._pending.append(job.id)
        self.events.append(JobEvent(now, "submit", job.id))

    def has_waiting_jobs(self) -> bool:
        return bool(self._pending)

    @property
    def length(self) -> int:
        """How many jobs wait. VALET's scaler uses nothing else."""
        return len(self._pending)

    def take(self, worker: str, now: float) -> Job | None:
        if not self._pending:
            return None
        row = self.rows[self._pending.popleft()]
        row.status, row.claim, row.silent_since = "running", worker, None
        self.events.append(JobEvent(now, "take", row.job.id, worker))
        return row.job

    def finish(self, worker: str, job: str, now: float) -> None:
        row = self.rows[job]
        if row.status == "pending":
            self._pending.remove(job)
        row.status, row.claim = "finished", ""
        self.events.append(JobEvent(now, "finish", job, worker))

    def release(self, worker: str, now: float) -> None:
        for row in self.rows.values():
            if row.status == "running" and row.claim == worker:
                self._requeue(row)
                self.events.append(JobEvent(now, "release", row.job.id, worker))

    def leave(self, worker: str, job: str, reason: str, now: float) -> None:
        row = self.rows[job]
        if row.claim == worker:
            row.silent_since = now
        self.events.append(JobEvent(now, "leave", job, worker, reason))

    def recover(self, now: float, stale_seconds: float) -> None:
        for row in self.rows.values():
            if row.status == "running" and row.silent_since is not None and now - row.silent_since > stale_seconds:
                self._requeue(row)
                self.events.append(JobEvent(now, "recover", row.job.id))

    def _requeue(self, row: Row) -> None:
        row.status, row.claim, row.silent_since = "pending", "", None
        self._pending.append(row.job.id)
