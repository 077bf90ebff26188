"""The worker that the fleet runs, as a pure model: the time goes in, actions on its database come out.

It does what the worker's public source does (WeKruit/GHOST-HANDS), its dangerous parts included, and with a guard what
the guard changes in it. docs/worker.md, "The model and its sources", names the source of each [word in brackets].
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from model.job_queue import Job, MemoryJobQueue, Mode

RAW = "/raw-"  # in the names of processes that deploy-server has started
DATABASE_DOWN = "database down"
PUT_BACK_FAILED = 70  # the guard's exit code: the job may be lost
CLAIM_SECONDS, RUNNING_SECONDS = 0.009, 2.0  # as measured beside the real worker
#: The worker's times that `WorkerOptions.sped_up` leaves alone: the computer's own.
OWN_SECONDS = ("claim_seconds",)


@dataclass(frozen=True)
class Guard:
    """What the guard changes; each attribute is a promise of it, and a test breaks it.

    Attributes:
        attached: what it reports to the agent.
        works: whether it changes anything.
        stops_pickup: drain and the first SIGTERM end the pickup of jobs at once.
        waits: they wait for the job without a limit.
        counts_pickup: while it drains, `active_jobs` is 1 also while a pickup is under way, whose job is put back too.
        delay_seconds: after that time a job that was put back is available to others, ...
        exit_seconds: ... and its process has ended.
        resends: a job that was put back is sent to pg-boss again.
        puts_back_reviews: one in `awaiting_review` too, which a person may have submitted.
        exclusive: a row is claimed by one worker only.
        exit_code_tells: the exit code says whether a job could not be put back.
    """

    attached: bool = True
    works: bool = True
    stops_pickup: bool = True
    waits: bool = True
    counts_pickup: bool = True
    delay_seconds: float = 5.0
    exit_seconds: float = 0.4
    resends: bool = True
    puts_back_reviews: bool = False
    exclusive: bool = True
    exit_code_tells: bool = True


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker behaves.

    Attributes:
        guard: what a guard in its process changes, if there is one.
        drains_itself: not today's worker: drain and SIGTERM wait for the end of the job, and a forced release works.
        fails_jobs: it reports every job as failed.
        claim_seconds: how long taking a job lasts at most; at least a fifth of that. 0 is for tests with exact times.
        running_seconds: legacy: after that time at most a claimed row is `running`. 0: the same.
        release_seconds, queue_exit_seconds: how long a running job is given after drain or SIGTERM; after SIGTERM.
        exit_seconds: how long deregistering, completing the hook and closing connections take.
        retry_seconds: for how long the guard tries to put a job back.
    """

    mode: Mode = "legacy"
    guard: Guard | None = None
    drains_itself: bool = False
    fails_jobs: bool = False
    legacy_poll_seconds: float = 5.0
    queue_poll_seconds: float = 2.0
    claim_seconds: float = 0.0
    running_seconds: float = 0.0
    legacy_release_seconds: float = 30.0
    queue_exit_seconds: float = 10.0
    heartbeat_seconds: float = 10.0
    stale_seconds: float = 120.0
    exit_seconds: float = 0.3
    retry_seconds: float = 10.0

    def sped_up(self, factor: float) -> WorkerOptions:
        """The same with its times divided by `factor`, for runs with real processes."""
        times = [name for name in self.__dataclass_fields__ if name.endswith("_seconds") and name not in OWN_SECONDS]
        return replace(self, **{name: getattr(self, name) / factor for name in times})

    @property
    def poll_seconds(self) -> float:
        """The time between two polls for jobs."""
        return self.legacy_poll_seconds if self.mode == "legacy" else self.queue_poll_seconds

    @property
    def works(self) -> Guard | None:
        """What a guard really changes."""
        return self.guard if self.guard and self.guard.works else Guard() if self.drains_itself else None

    @property
    def grace_seconds(self) -> float:
        """How long a running job is given after SIGTERM (legacy: also after a drain)."""
        if self.works and self.works.waits:
            return math.inf
        return self.legacy_release_seconds if self.mode == "legacy" else self.queue_exit_seconds


class Worker:
    """One worker process.

    Args:
        process: its name; what is before a slash is its worker id, which all processes of an instance share.
        port_is_taken: another process listens on its port: it ends after its first pickup [port].

    Attributes:
        job: the job that it works on.
        active: whether a job is counted [count]: legacy: from the claim's answer on; queue: from the fetch's.
        draining: whether `POST /worker/drain` was called.
        shutting_down: whether it has received SIGTERM.
        exit_code: None while it runs.
        wall_began: when it began, by its system's wall clock.
        deregistered: whether it has set itself to `offline` in the registry.
        completes_hook: it is about to complete the hook [hook]; the caller does that and resets this.
        ignores_sigterm: for a process that hangs.
        port_is_taken: see above.
    """

    def __init__(
        self, process: str, options: WorkerOptions, queue: MemoryJobQueue, now: float, *, port_is_taken: bool = False
    ) -> None:
        self.process = process
        self.id = process.partition("/")[0]
        self.options = options
        self.started_at = now
        self.job: Job | None = None
        self.active = False
        self.draining = False
        self.shutting_down = False
        self.deregistered = False
        self.completes_hook = False
        self.ignores_sigterm = False
        self.exit_code: int | None = None
        self.wall_began = now
        self.port_is_taken = port_is_taken
        self._queue = queue
        self._random = random.Random(process)
        self._takes_jobs = True
        self._picked: Job | None = None
        self._entered_at = 0.0
        self._reason = ""
        self._due: dict[Callable[[float], None], float] = {}
        if options.mode == "legacy":
            queue.recover(process, now, options.stale_seconds)
        queue.register(self.id, "active")
        self._pick_up(now)

    # --- what the agent sees ------------------------------------------------------------------------------------------

    @property
    def active_jobs(self) -> int:
        """`active_jobs` of `/worker/status`."""
        guard = self.options.works
        if guard and guard.counts_pickup:
            return int(self.active or (self.is_draining and self._picks_up))
        return int(self.active)

    @property
    def is_draining(self) -> bool:
        """`is_draining` of `/worker/status`."""
        return self.draining or self.shutting_down

    def status(self, instance: str) -> dict[str, Any]:
        """`GET /worker/status`, as far as anybody reads it."""
        body = {
            "worker_id": self.id,
            "ec2_instance_id": instance,
            "active_jobs": self.active_jobs,
            "max_concurrent": 1,
            "is_running": not self.shutting_down,
            "is_draining": self.is_draining,
            "dispatch_mode": self.options.mode,
        }
        if guard := self.options.guard:
            row = self._queue.rows.get(self.job.id) if self.job else None
            body["drain_guard"] = {
                "version": 1,
                "attached": guard.attached,
                "problems": [] if guard.attached else ["The worker's JobPoller has no method tryPickup."],
                "job": self.job.id if self.job else None,
                "job_status": row.status if row else None,
            }
        return body

    def status_key(self) -> object:
        """What distinguishes its statuses."""
        row = self._queue.rows[self.job.id].status if self.job else ""
        return self.process, self.active_jobs, self.shutting_down, self.draining, self.job and self.job.id, row

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def _picks_up(self) -> bool:
        due = self._due
        return bool(due) and (self._answered in due or self._claim_row in due)

    @property
    def _ends(self) -> bool:
        """Whether it shuts down and has not finished that."""
        return self._exit_at_once in self._due

    def next_action_at(self, now: float) -> float:
        """When it next acts by itself; infinity if not before something is done to it or a job is submitted."""
        if self.exit_code is not None:
            return math.inf
        due = min(self._due.values(), default=math.inf)
        if not self.active and self._takes_jobs and not self._picks_up:
            available = self._queue.available_at(self.options.mode, exclusive=self._is_exclusive)
            if available < math.inf:
                polls = math.floor((max(now, available) - self.started_at) / self.options.poll_seconds) + 1
                due = min(due, self.started_at + polls * self.options.poll_seconds)
        return min(due, self._notices_at)

    @property
    def _notices_at(self) -> float:
        """At which heartbeat it notices that another process has begun its job."""
        at = self._queue.taken_over.get(self.process, math.inf)
        if at == math.inf:
            return at
        beats = math.floor((at - self._entered_at) / self.options.heartbeat_seconds) + 1
        return self._entered_at + beats * self.options.heartbeat_seconds

    def advance(self, now: float) -> None:
        """Do what is due at `now` (the time that `next_action_at` named, or a little later)."""
        while self.exit_code is None and self._due:
            step, due = min(self._due.items(), key=lambda item: item[1])
            if due > now:
                break
            del self._due[step]
            step(due)
        if self.exit_code is not None:
            return
        if self._notices_at <= now:
            self._give_up(now)
        if not self.active and not self._picks_up:
            self._pick_up(now)

    # --- picking up a job ---------------------------------------------------------------------------------------------

    @property
    def _is_exclusive(self) -> bool:
        guard = self.options.works
        return guard is not None and guard.exclusive

    def _pick_up(self, now: float) -> None:
        """Poll for a job, also at once after one [pickup]: 2 to 9 ms in which it is not counted yet."""
        if not self._takes_jobs or self._queue.available_at(self.options.mode, exclusive=self._is_exclusive) > now:
            self._after_first_pickup(now)
            return
        seconds = self._random.uniform(0.2, 1.0) * self.options.claim_seconds
        self._due[self._take] = now + seconds / 2
        self._due[self._answered] = now + seconds
        if seconds == 0:
            self.advance(now)

    def _take(self, now: float) -> None:
        """The database hands out a job, of which the worker does not know yet."""
        if self.options.mode == "legacy":
            self._picked = self._queue.claim(self.id, self.process, now, exclusive=self._is_exclusive)
        else:
            self._picked = self._queue.fetch(self.process, now)

    def _answered(self, now: float) -> None:
        """The answer has come: from now on a job is counted."""
        if self._picked is None:
            self._is_idle(now)
            self._after_first_pickup(now)
            return
        self.active = True
        if self.options.mode == "legacy":
            self._enter(now)
            self._after(self._random.uniform(0.005, 1.0) * self.options.running_seconds, self._run, now)
        else:
            self._after(self.options.claim_seconds / 2, self._claim_row, now)
        self._after_first_pickup(now)

    def _claim_row(self, now: float) -> None:
        """queue: the row is claimed after the job is counted."""
        assert self._picked
        if self._queue.claim_fetched(self.id, self.process, self._picked.id, now):
            self._enter(now)
        else:
            self._picked = None
            self._is_idle(now)

    def _enter(self, now: float) -> None:
        assert self._picked
        job = self.job = self._picked
        self._picked, self._entered_at = None, now
        self._queue.enter(self.process, job.id, now)
        if job.paused:
            self._due[self._pause], self._due[self._resume] = (now + at for at in job.paused)
        self._due[self._finish] = now + job.seconds
        if self.draining and not self.options.works and self.options.mode == "legacy":
            self._due.setdefault(self._release_running, now + self.options.grace_seconds)

    def _run(self, now: float) -> None:
        if self.job:
            self._queue.write(self.job.id, "running", now)

    def _pause(self, now: float) -> None:
        if self.job:
            self._queue.write(self.job.id, "paused", now)

    def _resume(self, now: float) -> None:
        if self.job:
            self._queue.resume(self.job.id)

    def _after_first_pickup(self, now: float) -> None:
        if self.port_is_taken:
            self._exit(PUT_BACK_FAILED if self.options.works and self.job else 1, "port taken", now)

    # --- the end of a job ---------------------------------------------------------------------------------------------

    def _finish(self, now: float) -> None:
        assert self.job
        if self.job.review:
            self._queue.write(self.job.id, "awaiting_review", now)
            return  # for ever [review]
        end = self._queue.fail if self.options.fails_jobs else self._queue.finish
        end(self.process, self.job.id, now)
        self._is_idle(now)

    def _give_up(self, now: float) -> None:
        """The row has another process's execution_attempt_id: this one stops its browser."""
        if self.job:
            self._queue.leave(self.process, self.job.id, "another process has begun it", now)
            self._is_idle(now)

    def _is_idle(self, now: float) -> None:
        self.job, self.active = None, False
        for step in (self._finish, self._run, self._pause, self._resume, self._release_running):
            self._due.pop(step, None)
        if self.shutting_down and not self._ends:
            self._shut_down(now)

    # --- the end of the process ---------------------------------------------------------------------------------------

    def drain(self, now: float) -> None:
        """`POST /worker/drain` [drain]: one-way, once. queue: it goes on taking jobs."""
        if self.draining or self.exit_code is not None:
            return
        self.draining = True
        self._queue.drain(self.id, self.process, now)
        guard = self.options.works
        if guard:
            self._takes_jobs &= not guard.stops_pickup
        elif self.options.mode == "legacy":
            self._takes_jobs = False
        releases = self.options.mode == "legacy" and not (guard and guard.waits)
        if self.active and releases:
            self._due[self._release_running] = now + self.options.grace_seconds

    def sigterm(self, now: float, reason: str = "stopped") -> None:
        """SIGTERM [first signal]; the second one releases the job and ends the process.

        Args:
            reason: why, if it leaves a job because of this.
        """
        if self.exit_code is not None or self.ignores_sigterm:
            return
        if self.shutting_down:
            self._reason = reason
            self._force(now)
            return
        self.shutting_down, self._reason = True, reason
        guard = self.options.works
        self._takes_jobs &= guard is not None and not guard.stops_pickup
        if self.options.grace_seconds < math.inf:
            self._due[self._shut_down] = now + self.options.grace_seconds
        if not self.active and not self._picks_up:
            self._shut_down(now)

    def kill(self, now: float, reason: str) -> None:
        """SIGKILL, a crash, or the end of the machine."""
        if self.exit_code is None:
            self._exit(137, reason, now)

    def _force(self, now: float) -> None:
        """A second SIGTERM [second signal]: release and exit 1, a moment later."""
        guard = self.options.works
        if guard is None:
            if self._due.pop(self._take, None) is not None and self.options.mode == "legacy":
                self._take(now)  # it comes before the release on the same connection
            if now < self._queue.down_until:
                self._reason = DATABASE_DOWN  # it is only logged
            else:
                self._queue.release(self.id, self.process, self.options.mode, now)
            self._after(0.3 * self.options.exit_seconds, self._exit_forced, now)
            return
        if self._put_back in self._due or self._exit_forced in self._due:
            return
        self._due[self._give_back_up] = now + self.options.retry_seconds
        self._put_back(now)

    def _put_back(self, now: float) -> None:
        guard = self.options.works
        assert guard
        if now < self._queue.down_until:
            self._after(0.5, self._put_back, now)
            return
        self._due.pop(self._give_back_up, None)
        if guard.counts_pickup:
            for step in (self._take, self._answered, self._claim_row):
                self._due.pop(step, None)
        if self.active or guard.counts_pickup:
            self._queue.put_back(
                self.process, now, guard.delay_seconds, resend=guard.resends, review_as_well=guard.puts_back_reviews
            )
        self._after(guard.exit_seconds, self._exit_forced, now)

    def _give_back_up(self, now: float) -> None:
        guard = self.options.works
        self._exit(PUT_BACK_FAILED if guard and guard.exit_code_tells else 1, DATABASE_DOWN, now)

    def _release_running(self, now: float) -> None:
        """legacy: 30 s after a drain the job is released while it still runs."""
        self._queue.release(self.id, self.process, self.options.mode, now)

    def _shut_down(self, now: float) -> None:
        """Release the job (legacy only), deregister, complete the hook, exit."""
        if self.options.mode == "legacy":
            self._queue.release(self.id, self.process, self.options.mode, now)
        self._due.pop(self._shut_down, None)
        self.deregistered = True
        self.completes_hook = True
        self._queue.register(self.id, "offline")
        self._after(self.options.exit_seconds, self._exit_at_once, now)

    def _exit_at_once(self, now: float) -> None:
        self._exit(0, self._reason, now)

    def _exit_forced(self, now: float) -> None:
        self._exit(1, self._reason, now)

    def _exit(self, code: int, reason: str, now: float) -> None:
        self.exit_code = code
        self._due.clear()
        if not self.deregistered:
            self._queue.silent(self.id, now)
        job = self.job or self._picked
        if job:
            self._queue.leave(self.process, job.id, reason, now)
        self.job, self._picked, self.active = None, None, False

    def _after(self, seconds: float, step: Callable[[float], None], now: float) -> None:
        self._due[step] = now + seconds
