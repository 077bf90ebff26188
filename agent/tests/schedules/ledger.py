"""The job ledger: who was inside which job when, and the verdict on it. Pure; times are seconds on one clock.

A job is lost if, when all is over, it is neither finished nor back in the queue; it is doubled if two worker processes were
inside it at once for longer than ``DOUBLED_BOUND_SECONDS``; it is interrupted if its process ended for a reason that no
drain can prevent (``EXCUSES``); it is cut if its process ended for any other reason without handing it back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

#: Reasons for which a process may end inside a job: no drain could have prevented them (issue 5, "It must show").
EXCUSES = frozenset({"zone lost", "worker crashed", "docker restarted", "rebooted", "spot", "hard limit"})
#: How long two processes may be inside one job. The worker hands its job back 30 s after a drain and is gone 30 s after
#: SIGTERM (``worker.Habits``); so they overlap for as long as SIGTERM comes later than the drain: one restart of the agent
#: by systemd (at most 10 s), its calls that time out (at most 5 s each, IMDS and worker), delivery of the signal, the exit.
DOUBLED_BOUND_SECONDS = 30.0

What = Literal["put", "take", "finish", "release", "recover", "leave"]


@dataclass(frozen=True)
class Job:
    """One job application. Seconds that it takes, a human's answer included."""

    id: str
    seconds: float


@dataclass(frozen=True)
class Entry:
    """One line of the ledger. ``worker`` is a process, empty for the queue's own acts; ``reason`` belongs to ``leave``."""

    at: float
    what: What
    job: str
    worker: str = ""
    reason: str = ""


class Ledger(Protocol):
    """What a worker process does to the queue's tables."""

    def waiting(self) -> bool:
        """Whether a job can be taken."""

    def take(self, worker: str, now: float) -> Job | None:
        """Claim the oldest job that waits."""

    def finish(self, worker: str, job: str, now: float) -> None:
        """The job is done, whoever holds its claim by now (the worker writes its row by id alone)."""

    def release(self, worker: str, now: float) -> None:
        """Every job that this process still claims is pending again, also while it goes on."""

    def leave(self, worker: str, job: str, reason: str, now: float) -> None:
        """The process is no longer inside the job, which it has not finished."""

    def recover(self, now: float, stale: float) -> None:
        """Claimed jobs without a sign of life for ``stale`` seconds are pending again."""


@dataclass
class Row:
    """A job's row: its claim, and since when its last process shows no sign of life."""

    job: Job
    status: Literal["pending", "running", "finished"] = "pending"
    claim: str = ""
    silent_since: float | None = None


@dataclass
class MemoryLedger:
    """The ledger of a virtual world."""

    entries: list[Entry] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    _queue: deque[str] = field(default_factory=deque)

    def put(self, job: Job, now: float) -> None:
        """Somebody submits a job."""
        self.rows[job.id] = Row(job)
        self._queue.append(job.id)
        self.entries.append(Entry(now, "put", job.id))

    def waiting(self) -> bool:
        return bool(self._queue)

    @property
    def queued(self) -> int:
        """How many jobs wait: all that VALET's scaler looks at."""
        return len(self._queue)

    def take(self, worker: str, now: float) -> Job | None:
        if not self._queue:
            return None
        row = self.rows[self._queue.popleft()]
        row.status, row.claim, row.silent_since = "running", worker, None
        self.entries.append(Entry(now, "take", row.job.id, worker))
        return row.job

    def finish(self, worker: str, job: str, now: float) -> None:
        row = self.rows[job]
        if row.status == "pending":
            self._queue.remove(job)
        row.status, row.claim = "finished", ""
        self.entries.append(Entry(now, "finish", job, worker))

    def release(self, worker: str, now: float) -> None:
        for row in self.rows.values():
            if row.status == "running" and row.claim == worker:
                self._back(row)
                self.entries.append(Entry(now, "release", row.job.id, worker))

    def leave(self, worker: str, job: str, reason: str, now: float) -> None:
        row = self.rows[job]
        if row.claim == worker:
            row.silent_since = now
        self.entries.append(Entry(now, "leave", job, worker, reason))

    def recover(self, now: float, stale: float) -> None:
        for row in self.rows.values():
            if row.status == "running" and row.silent_since is not None and now - row.silent_since > stale:
                self._back(row)
                self.entries.append(Entry(now, "recover", row.job.id))

    def _back(self, row: Row) -> None:
        row.status, row.claim, row.silent_since = "pending", "", None
        self._queue.append(row.job.id)


@dataclass(frozen=True)
class Verdict:
    """What became of the jobs: their ids, each with the reason where one belongs to it."""

    jobs: int = 0
    finished: int = 0
    lost: Mapping[str, str] = field(default_factory=dict)
    doubled: Mapping[str, float] = field(default_factory=dict)
    interrupted: Mapping[str, str] = field(default_factory=dict)
    cut: Mapping[str, str] = field(default_factory=dict)
    released: int = 0
    longest_overlap: float = 0.0


def judge(entries: Iterable[Entry], end: float, bound: float = DOUBLED_BOUND_SECONDS) -> Verdict:
    """The verdict on a ledger whose world was last looked at ``end``; ``bound`` is in the ledger's own seconds."""
    jobs: dict[str, list[Entry]] = {}
    for entry in entries:
        jobs.setdefault(entry.job, []).append(entry)
    lost: dict[str, str] = {}
    doubled: dict[str, float] = {}
    interrupted: dict[str, str] = {}
    cut: dict[str, str] = {}
    finished = released = 0
    longest = 0.0
    for job, lines in jobs.items():
        overlap = _overlap(lines, end)
        longest = max(longest, overlap)
        if overlap > bound:
            doubled[job] = overlap
        done = any(line.what == "finish" for line in lines)
        finished += done
        released += sum(line.what == "release" for line in lines)
        left = _left_unreleased(lines)
        for line in left:
            (interrupted if line.reason in EXCUSES else cut)[job] = line.reason
        if (
            not done
            and lines[-1].what == "leave"
            and left
            and lines[-1] == left[-1]
            and lines[-1].reason not in EXCUSES
        ):
            lost[job] = lines[-1].reason
    return Verdict(len(jobs), finished, lost, doubled, interrupted, cut, released, longest)


def _left_unreleased(lines: list[Entry]) -> list[Entry]:
    """Where a process left the job that it still claimed: neither finished nor handed back."""
    claim, left = "", []
    for line in lines:
        match line.what:
            case "take":
                claim = line.worker
            case "release" | "recover" | "finish":
                claim = ""
            case "leave" if line.worker == claim:
                left.append(line)
    return left


def _overlap(lines: list[Entry], end: float) -> float:
    """The longest time that two processes were inside the job at once."""
    inside: dict[str, float] = {}
    longest = 0.0
    for line in lines:
        if line.what == "take":
            inside[line.worker] = line.at
        elif line.what in ("finish", "leave") and line.worker in inside:
            since = inside.pop(line.worker)
            longest = max([longest, *(line.at - max(since, other) for other in inside.values())])
    starts = sorted(inside.values())
    return max([longest, *(end - start for start in starts[1:])])
