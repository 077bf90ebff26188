"""The worker that the fleet runs, as a pure model: values and a clock in, its acts on the ledger out.

It follows the worker's public source (WeKruit/GHOST-HANDS, packages/ghosthands/src/workers: main.ts, JobPoller.ts,
PgBossConsumer.ts, JobExecutor.ts), dangerous parts included:

- legacy dispatch: it looks for jobs every 5 s and at once after a job. Drain and SIGTERM both stop that, wait up to 30 s, then
  put its job back to pending **while it still runs**. After SIGTERM the process then exits 0.
- queue dispatch (pg-boss): it looks every 2 s and at once after a job. Drain sets a flag and nothing else: it goes on taking
  jobs. SIGTERM gives a running job 10 s, then the process exits 0; as retryLimit is 0 and the row is not written, **nobody
  hands the job back**.
- either: a second signal hands the job back and exits 1; a killed process hands nothing back. A legacy worker that starts
  puts claimed jobs without a sign of life for 120 s back to pending; pg-boss does nothing of the kind.
- ``drains_itself``: not today's worker but the one that the policies ``http`` and ``sigterm`` are for: drain stops pickup, drain
  and SIGTERM wait for the job's end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from schedules.ledger import Job, Ledger

Mode = Literal["legacy", "queue"]


@dataclass(frozen=True)
class Habits:
    """A worker's ways. Times are seconds."""

    mode: Mode = "legacy"
    drains_itself: bool = False
    legacy_poll: float = 5.0
    queue_poll: float = 2.0
    legacy_patience: float = 30.0
    queue_patience: float = 10.0
    stale: float = 120.0
    farewell: float = 0.3  # deregistering, completing the hook, closing connections

    def faster(self, pace: float) -> Habits:
        """The same ways, ``pace`` times as fast: for runs with real processes."""
        times = ("legacy_poll", "queue_poll", "legacy_patience", "queue_patience", "stale", "farewell")
        return replace(self, **{name: getattr(self, name) / pace for name in times})

    @property
    def poll(self) -> float:
        """Seconds from one look at the queue to the next."""
        return self.legacy_poll if self.mode == "legacy" else self.queue_poll

    @property
    def patience(self) -> float:
        """Seconds that a running job is given at SIGTERM (legacy: also at a drain)."""
        if self.drains_itself:
            return math.inf
        return self.legacy_patience if self.mode == "legacy" else self.queue_patience


class Worker:
    """One worker process.

    Attributes:
        job: what it is inside of.
        exit_code: None while it lives.
        deregistered: whether it has written itself ``offline``.
        wants_completion: it is at the point of SIGTERM's way where it completes the hook; whoever drives it does that once.
    """

    def __init__(self, id: str, habits: Habits, ledger: Ledger, now: float) -> None:
        self.id = id
        self.habits = habits
        self.started_at = now
        self.job: Job | None = None
        self.draining = False
        self.shutting_down = False
        self.deregistered = False
        self.wants_completion = False
        self.exit_code: int | None = None
        self._ledger = ledger
        self._takes_jobs = True
        self._job_ends = math.inf
        self._release_at = math.inf  # a drain's patience, at whose end the job is handed back
        self._stop_at = math.inf  # the same of SIGTERM
        self._exit_at = math.inf
        self._reason = ""
        if habits.mode == "legacy":
            ledger.recover(now, habits.stale)
        self._take(now)

    @property
    def active_jobs(self) -> int:
        """``active_jobs`` of ``/worker/status``."""
        return int(self.job is not None)

    @property
    def is_draining(self) -> bool:
        """``is_draining`` of ``/worker/status``."""
        return self.draining or self.shutting_down

    @property
    def health(self) -> int:
        """What ``/worker/health`` answers: 200 only when idle and ready."""
        return 503 if self.job or self.is_draining else 200

    def due(self, now: float) -> float:
        """When it will act next of itself; infinity: not before something is done to it, or a job is put."""
        if self.exit_code is not None:
            return math.inf
        due = min(self._job_ends, self._release_at, self._stop_at, self._exit_at)
        if self.job is None and self._takes_jobs and self._ledger.waiting():
            polls = math.floor((now - self.started_at) / self.habits.poll) + 1
            due = min(due, self.started_at + polls * self.habits.poll)
        return due

    def advance(self, now: float) -> None:
        """Do what is due at ``now`` (the time that ``due`` named, or a little later)."""
        if self.exit_code is not None:
            return
        if self._job_ends <= now:
            self._finish(now)
        if self._release_at <= now:
            self._release_at = math.inf
            self._ledger.release(self.id, now)
        if self._stop_at <= now:
            self._part(now)
        if self._exit_at <= now:
            self._exit(0, self._reason, now)
        elif self.job is None:
            self._take(now)

    def drain(self, now: float) -> None:
        """``POST /worker/drain``: one-way, once."""
        if self.draining:
            return
        self.draining = True
        if self.habits.drains_itself or self.habits.mode == "legacy":
            self._takes_jobs = False
        if self.job and self.habits.mode == "legacy":
            self._release_at = now + self.habits.patience

    def signal(self, now: float, reason: str = "stopped") -> None:
        """SIGTERM; the second one hands the job back and ends it. ``reason``: why, should a job be left by it."""
        if self.exit_code is not None:
            return
        if self.shutting_down:
            self._ledger.release(self.id, now)
            self._exit(1, reason, now)
            return
        self.shutting_down, self._reason = True, reason
        self._takes_jobs = False
        self._stop_at = now + self.habits.patience
        if self.job is None:
            self._part(now)

    def kill(self, now: float, reason: str) -> None:
        """SIGKILL, a crash, or the end of the machine."""
        if self.exit_code is None:
            self._exit(137, reason, now)

    def _take(self, now: float) -> None:
        if self._takes_jobs and (job := self._ledger.take(self.id, now)):
            self.job = job
            self._job_ends = now + job.seconds

    def _finish(self, now: float) -> None:
        if self.job:
            self._ledger.finish(self.id, self.job.id, now)
        self.job, self._job_ends, self._release_at = None, math.inf, math.inf
        if self.shutting_down and self._exit_at == math.inf:
            self._part(now)

    def _part(self, now: float) -> None:
        """The end of SIGTERM's patience: hand back (legacy only), deregister, complete the hook, exit."""
        if self.habits.mode == "legacy":
            self._ledger.release(self.id, now)
        self._stop_at = math.inf
        self.deregistered = True
        self.wants_completion = True
        self._exit_at = now + self.habits.farewell

    def _exit(self, code: int, reason: str, now: float) -> None:
        self.exit_code = code
        if self.job:
            self._ledger.leave(self.id, self.job.id, reason, now)
            self.job = None
