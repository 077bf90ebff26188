"""The worker that the fleet runs, as a pure model: the time goes in, actions on the job queue come out.

It follows the worker's public source (WeKruit/GHOST-HANDS, packages/ghosthands/src/workers: main.ts, JobPoller.ts,
PgBossConsumer.ts, JobExecutor.ts), its dangerous parts included:

- legacy dispatch: it polls for jobs every 5 s and at once after a job. Drain and SIGTERM both stop that, wait up to
  30 s, then release its job **while it still runs**. After SIGTERM the process then exits 0.
- queue dispatch (pg-boss): it polls every 2 s and at once after a job. Drain sets a flag and nothing else: it goes on
  taking jobs. SIGTERM gives a running job 10 s, then the process exits 0; as retryLimit is 0 and the row is not
  written, **nobody releases the job**.
- both: a second SIGTERM releases the job and exits 1; a killed process releases nothing. When a legacy worker starts,
  it makes claimed jobs without a heartbeat for 120 s pending again; pg-boss does nothing like that.
- `drains_itself`: not today's worker but the one that the policies `http` and `sigterm` are for: drain stops taking
  jobs, drain and SIGTERM wait for the end of the job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from model.job_queue import Job, JobQueue

Mode = Literal["legacy", "queue"]


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker behaves.

    Attributes:
        drains_itself: whether drain and SIGTERM wait for the end of the job.
        legacy_release_seconds, queue_exit_seconds: how long a running job is given after SIGTERM.
        stale_seconds: a legacy worker recovers jobs without a heartbeat for so long.
        exit_seconds: how long deregistering, completing the hook and closing connections take.
    """

    mode: Mode = "legacy"
    drains_itself: bool = False
    legacy_poll_seconds: float = 5.0
    queue_poll_seconds: float = 2.0
    legacy_release_seconds: float = 30.0
    queue_exit_seconds: float = 10.0
    stale_seconds: float = 120.0
    exit_seconds: float = 0.3

    def sped_up(self, factor: float) -> WorkerOptions:
        """The same with all times divided by `factor`, for runs with real processes."""
        times = [name for name in self.__dataclass_fields__ if name.endswith("_seconds")]
        return replace(self, **{name: getattr(self, name) / factor for name in times})

    @property
    def poll_seconds(self) -> float:
        """The time between two polls of the queue."""
        return self.legacy_poll_seconds if self.mode == "legacy" else self.queue_poll_seconds

    @property
    def grace_seconds(self) -> float:
        """How long a running job is given after SIGTERM (legacy: also after a drain)."""
        if self.drains_itself:
            return math.inf
        return self.legacy_release_seconds if self.mode == "legacy" else self.queue_exit_seconds


class Worker:
    """One worker process.

    Attributes:
        job: the job that it works on.
        draining: whether `POST /worker/drain` was called.
        shutting_down: whether it has received SIGTERM.
        exit_code: None while it runs.
        deregistered: whether it has set itself to `offline` in the registry.
        completes_hook: it is about to complete the hook; the caller does that and resets this.
        ignores_sigterm: for a process that hangs.
    """

    def __init__(self, id: str, options: WorkerOptions, queue: JobQueue, now: float) -> None:
        self.id = id
        self.options = options
        self.started_at = now
        self.job: Job | None = None
        self.draining = False
        self.shutting_down = False
        self.deregistered = False
        self.completes_hook = False
        self.ignores_sigterm = False
        self.exit_code: int | None = None
        self._queue = queue
        self._takes_jobs = True
        self._job_ends_at = math.inf
        self._release_at = math.inf  # after a drain
        self._shut_down_at = math.inf  # after SIGTERM
        self._exit_at = math.inf
        self._reason = ""
        if options.mode == "legacy":
            queue.recover(now, options.stale_seconds)
        self._take(now)

    @property
    def active_jobs(self) -> int:
        """`active_jobs` of `/worker/status`."""
        return int(self.job is not None)

    @property
    def is_draining(self) -> bool:
        """`is_draining` of `/worker/status`."""
        return self.draining or self.shutting_down

    def next_action_at(self, now: float) -> float:
        """When it next acts by itself; infinity if not before something is done to it or a job is submitted."""
        if self.exit_code is not None:
            return math.inf
        due = min(self._job_ends_at, self._release_at, self._shut_down_at, self._exit_at)
        if self.job is None and self._takes_jobs and self._queue.has_waiting_jobs():
            polls = math.floor((now - self.started_at) / self.options.poll_seconds) + 1
            due = min(due, self.started_at + polls * self.options.poll_seconds)
        return due

    def advance(self, now: float) -> None:
        """Do what is due at `now` (the time that `next_action_at` named, or a little later)."""
        if self.exit_code is not None:
            return
        if self._job_ends_at <= now:
            self._finish(now)
        if self._release_at <= now:
            self._release_at = math.inf
            self._queue.release(self.id, now)
        if self._shut_down_at <= now:
            self._shut_down(now)
        if self._exit_at <= now:
            self._exit(0, self._reason, now)
        elif self.job is None:
            self._take(now)

    def drain(self, now: float) -> None:
        """`POST /worker/drain`: one-way, once."""
        if self.draining:
            return
        self.draining = True
        if self.options.drains_itself or self.options.mode == "legacy":
            self._takes_jobs = False
        if self.job and self.options.mode == "legacy":
            self._release_at = now + self.options.grace_seconds

    def sigterm(self, now: float, reason: str = "stopped") -> None:
        """SIGTERM; the second one releases the job and ends the process.

        Args:
            reason: why, if it leaves a job because of this.
        """
        if self.exit_code is not None or self.ignores_sigterm:
            return
        if self.shutting_down:
            self._queue.release(self.id, now)
            self._exit(1, reason, now)
            return
        self.shutting_down, self._reason = True, reason
        self._takes_jobs = False
        self._shut_down_at = now + self.options.grace_seconds
        if self.job is None:
            self._shut_down(now)

    def kill(self, now: float, reason: str) -> None:
        """SIGKILL, a crash, or the end of the machine."""
        if self.exit_code is None:
            self._exit(137, reason, now)

    def _take(self, now: float) -> None:
        if self._takes_jobs and (job := self._queue.take(self.id, now)):
            self.job = job
            self._job_ends_at = now + job.seconds

    def _finish(self, now: float) -> None:
        if self.job:
            self._queue.finish(self.id, self.job.id, now)
        self.job, self._job_ends_at, self._release_at = None, math.inf, math.inf
        if self.shutting_down and self._exit_at == math.inf:
            self._shut_down(now)

    def _shut_down(self, now: float) -> None:
        """Release the job (legacy only), deregister, complete the hook, exit."""
        if self.options.mode == "legacy":
            self._queue.release(self.id, now)
        self._shut_down_at = math.inf
        self.deregistered = True
        self.completes_hook = True
        self._exit_at = now + self.options.exit_seconds

    def _exit(self, code: int, reason: str, now: float) -> None:
        self.exit_code = code
        if self.job:
            self._queue.leave(self.id, self.job.id, reason, now)
            self.job = None
