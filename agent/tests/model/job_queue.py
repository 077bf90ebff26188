"""The jobs' rows and their entries in pg-boss, with a record of what workers did. Times are seconds on one clock.

They do what the statements of the worker and of VALET do; docs/worker.md, "The model and its sources", names the source
of each [word in brackets]. A row is claimed by `worker_id`, which all processes on an instance share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["legacy", "queue"]
Branch = Literal["staging", "main"]
Status = Literal[
    "pending", "queued", "running", "paused", "awaiting_review", "completed", "cancelled", "needs_human", "failed"
]
#: `take`: a process begins to work on a job. `release`: it is put back, and somebody will send or find it. `strand`:
#: its row is put back, but pg-boss never sends it again. `leave`: a process ends with it.
Action = Literal[
    "submit", "take", "finish", "review", "release", "strand", "recover", "leave", "take over", "fail", "requeue"
]
STALE_SECONDS = 120.0
SWEEP_SECONDS = 300.0  # VALET spares younger jobs
REVIEW_INTERRUPTED = "its review was interrupted"
WORKER_FAILED = "the worker reported a failure"
TAKEN_FOR_CRASHED = "taken for crashed while it waited"


@dataclass(frozen=True)
class Job:
    """One job application.

    Attributes:
        seconds: how long it takes, the wait for a person's answer included.
        paused: from when and until when it waits for a person's answer, in seconds of its work.
        review: it ends in `awaiting_review`, which lasts for ever.
        first_step: when its first step is completed.
    """

    id: str
    seconds: float
    paused: tuple[float, float] | None = None
    review: bool = False
    first_step: float = 20.0


@dataclass(frozen=True)
class JobEvent:
    """Something that was done to a job.

    Attributes:
        worker: the worker process; empty for what VALET did.
        reason: why a process left the job, or why its row was changed.
    """

    at: float
    action: Action
    job: str
    worker: str = ""
    reason: str = ""


@dataclass
class Row:
    """A job's row in gh_automation_jobs.

    Attributes:
        worker: `worker_id`.
        process: the process that claimed it last, which the real row does not say.
        heartbeat: when it was last sent; never: -inf. While a process sends it: inf.
        available_at: `scheduled_at`.
        inside: since when which processes work on it; the last one's execution_attempt_id is in the row.
        reason: why nobody works on it although it is not finished.
        worked: for how long a process worked on it that then left it.
        double_claims: how often it could be claimed although another process had claimed it.
        shown_failed: VALET has shown it as failed to its user, whatever became of it.
    """

    job: Job
    status: Status
    worker: str = ""
    process: str = ""
    heartbeat: float = -math.inf
    started_at: float = math.inf
    available_at: float = -math.inf
    inside: dict[str, float] = field(default_factory=dict)
    worked: float = 0.0
    reason: str = ""
    double_claims: int = 0
    shown_failed: bool = False


@dataclass
class Entry:
    """A job's entry in pg-boss [entry]: one that failed is never sent again."""

    job: str
    state: Literal["created", "active", "completed", "failed"] = "created"
    start_after: float = -math.inf
    process: str = ""


class MemoryJobQueue:
    """The database of a simulated fleet.

    Attributes:
        taken_over: since when another process works on a process's job, which that one sees at its next heartbeat.
        down_until: until then no job can be put back.
        drained: when which process was asked to drain.
        registry: gh_worker_registry [registry]: status and, if nobody sends heartbeats, since when.
    """

    def __init__(self, branch: Branch = "staging") -> None:
        self.branch = branch
        self.events: list[JobEvent] = []
        self.rows: dict[str, Row] = {}
        self.entries: list[Entry] = []
        self.taken_over: dict[str, float] = {}
        self.down_until = -math.inf
        self.drained: dict[str, float] = {}
        self.registry: dict[str, tuple[str, float]] = {}

    # --- VALET --------------------------------------------------------------------------------------------------------

    def submit(self, job: Job, now: float, status: Literal["pending", "queued"] = "pending") -> None:
        """Insert a row and send it to pg-boss. GhostHands' own API writes `pending`, VALET `queued` [submitted]."""
        self.rows[job.id] = Row(job, status)
        self.entries.append(Entry(job.id))
        self._record(now, "submit", job.id)

    @property
    def length(self) -> int:
        """How many jobs wait. VALET's scaler uses nothing else."""
        return sum(row.status in ("pending", "queued") and not row.worker for row in self.rows.values())

    def available_at(self, mode: Mode, *, exclusive: bool = False) -> float:
        """From when on a worker of that mode finds a job; infinity: there is none."""
        if mode == "queue":
            return min((entry.start_after for entry in self.entries if entry.state == "created"), default=math.inf)
        waiting = (row for row in self.rows.values() if row.status in ("pending", "queued"))
        return min((max(row.available_at, _free_at(row, exclusive)) for row in waiting), default=math.inf)

    def sweep(self, worker: str, now: float) -> None:
        """Deregister an instance that VALET does not see in the group, unless its worker is draining [sweep]."""
        if self.registry.get(worker, ("", 0))[0] != "active":
            return
        for row in self.rows.values():
            if row.worker != worker:
                continue
            if row.status in ("queued", "pending"):
                row.status, row.worker = "queued", ""
                row.double_claims += bool(row.inside)
                self._record(now, "requeue", row.job.id, reason="VALET's sweep")
            elif row.status == "running" and row.started_at < now - SWEEP_SECONDS:
                row.status, row.shown_failed, row.reason = "failed", True, row.reason or "VALET's sweep"
                self._record(now, "fail", row.job.id, reason="VALET's sweep")
        self.registry[worker] = ("offline", math.inf)

    # --- the worker's registry ----------------------------------------------------------------------------------------

    def register(self, worker: str, status: Literal["active", "draining", "offline"]) -> None:
        """Write the worker's row, whose heartbeats go on."""
        self.registry[worker] = (status, math.inf)

    def drain(self, worker: str, process: str, now: float) -> None:
        """The process was asked to drain."""
        self.drained.setdefault(process, now)
        self.register(worker, "draining")

    def silent(self, worker: str, now: float) -> None:
        """The worker's heartbeats end without a word."""
        if worker in self.registry:
            self.registry[worker] = (self.registry[worker][0], now)

    def forget_silent(self, now: float) -> None:
        """What every worker's heartbeat does: mark those offline that were silent for 5 minutes."""
        for worker, (status, since) in self.registry.items():
            if status == "active" and now - since > SWEEP_SECONDS:
                self.registry[worker] = ("offline", math.inf)

    # --- taking a job -------------------------------------------------------------------------------------------------

    def claim(self, worker: str, process: str, now: float, *, exclusive: bool) -> Job | None:
        """legacy: claim the oldest row that waits, also one that another worker has claimed, until it runs [claim]."""
        for row in self.rows.values():
            if row.status in ("pending", "queued") and max(row.available_at, _free_at(row, exclusive)) <= now:
                row.double_claims += bool(row.inside and row.worker)
                row.status, row.worker, row.process, row.heartbeat = "queued", worker, process, now
                return row.job
        return None

    def fetch(self, process: str, now: float) -> Job | None:
        """queue: pg-boss hands out the oldest entry; its row is not touched."""
        for entry in self.entries:
            if entry.state == "created" and entry.start_after <= now:
                entry.state, entry.process = "active", process
                return self.rows[entry.job].job
        return None

    def claim_fetched(self, worker: str, process: str, job: str, now: float) -> bool:
        """queue: claim the row of a fetched entry; on branch staging only if it waits [condition]."""
        row = self.rows[job]
        if self.branch == "staging" and row.status not in ("pending", "queued"):
            self._end_entry(process, "completed")
            return False
        row.double_claims += bool(row.inside and row.worker)
        row.status, row.worker, row.process, row.started_at = "running", worker, process, now
        return True

    def enter(self, process: str, job: str, now: float) -> None:
        """A process begins to work on a job and writes its execution_attempt_id into the row [attempt]."""
        row = self.rows[job]
        self.taken_over |= dict.fromkeys(row.inside, now)
        row.inside[process] = now
        row.heartbeat, row.reason = math.inf, ""
        self._record(now, "take", job, process)

    # --- working on it: rows are updated by id alone [by id] ----------------------------------------------------------

    def write(self, job: str, status: Status, now: float) -> None:
        """Write the row's status: `running` (legacy, up to 2 s after the claim), `paused`, `awaiting_review`."""
        row = self.rows[job]
        row.status = status
        if status == "running":
            row.started_at = now
        if status == "awaiting_review":
            self._record(now, "review", job, row.process)

    def resume(self, job: str) -> None:
        """A person has answered: the API resumes a paused job [pause], and no other."""
        if self.rows[job].status == "paused":
            self.rows[job].status = "running"

    def finish(self, process: str, job: str, now: float) -> None:
        """Record that the job is done."""
        row = self.rows[job]
        row.status, row.reason = "completed", ""
        self._end_entry(process, "completed")
        self._outside(process, row, now)
        self._record(now, "finish", job, process)

    def fail(self, process: str, job: str, now: float) -> None:
        """Record that the worker tried the job and failed; with retryLimit 0 nobody sends it again."""
        row = self.rows[job]
        row.status, row.reason = "failed", WORKER_FAILED
        self._end_entry(process, "failed")
        self._outside(process, row, now)
        self._record(now, "fail", job, process, WORKER_FAILED)

    def leave(self, process: str, job: str, reason: str, now: float) -> None:
        """The process ends with the job inside, or gives it up as another one has begun it."""
        row = self.rows[job]
        self._outside(process, row, now)
        if row.process in (process, "") and row.status != "failed":
            row.reason = reason
        self._record(now, "leave", job, process, reason)

    def _outside(self, process: str, row: Row, now: float) -> None:
        row.worked = max(row.worked, now - row.inside.pop(process, now))
        self.taken_over.pop(process, None)
        if not row.inside:
            row.heartbeat = now

    # --- putting it back ----------------------------------------------------------------------------------------------

    def release(self, worker: str, process: str, mode: Mode, now: float) -> None:
        """What the worker does [release]: its entry in pg-boss fails, its queued and running rows become pending."""
        self._end_entry(process, "failed")
        for row in self.rows.values():
            if row.worker == worker and row.status in ("queued", "running"):
                row.status, row.worker = "pending", ""
                found = mode == "legacy" or self._is_sent(row.job.id)
                row.reason = "" if found else "pg-boss never sends it again"
                self._record(now, "release" if found else "strand", row.job.id, process)

    def put_back(self, process: str, now: float, delay: float, *, resend: bool, review_as_well: bool) -> None:
        """What the guard does: the process's job is available to others after `delay`, in both modes.

        One in `awaiting_review` fails visibly instead: a person may have submitted it.
        """
        fetched = {entry.job for entry in self.entries if entry.process == process and entry.state == "active"}
        self._end_entry(process, "failed")
        for row in self.rows.values():
            if row.process != process and row.job.id not in fetched:
                continue
            if row.status == "awaiting_review" and not review_as_well:
                row.status, row.reason, row.worker = "failed", REVIEW_INTERRUPTED, ""
            elif row.status in ("pending", "queued", "running", "paused", "awaiting_review"):
                row.status, row.worker, row.available_at, row.reason = "pending", "", now + delay, ""
                row.process = ""
                if resend:
                    self.entries.append(Entry(row.job.id, start_after=now + delay))
                else:
                    row.reason = "pg-boss never sends it again"
                self._record(now, "release", row.job.id, process)

    def recover(self, process: str, now: float, stale_seconds: float = STALE_SECONDS) -> None:
        """What a starting legacy worker does with rows whose heartbeat is old, on staging also with null [recovery].

        Completed if any step was; else `needs_human` (staging) or pending again (main).
        """
        for row in self.rows.values():
            if row.status not in ("queued", "running") or now - row.heartbeat <= stale_seconds:
                continue
            if row.heartbeat == -math.inf and self.branch == "main":
                continue
            waited = not row.process
            row.worker, row.process = "", ""
            if row.worked > row.job.first_step:
                row.status, row.reason = "completed", row.reason or "crashed"
            else:
                row.status = "needs_human" if self.branch == "staging" else "pending"
                row.reason = TAKEN_FOR_CRASHED if waited else row.reason
            self._record(now, "recover", row.job.id, process, row.status)

    def _end_entry(self, process: str, state: Literal["completed", "failed"]) -> None:
        for entry in self.entries:
            if entry.process == process and entry.state == "active":
                entry.state = state

    def take_finished(self) -> MemoryJobQueue:
        """Remove the jobs that are done and that nobody can take again; return them, with their events.

        For long runs with real processes, whose every call copies the whole queue.
        """
        open_entries = {entry.job for entry in self.entries if entry.state in ("created", "active")}
        done = {
            id: row
            for id, row in self.rows.items()
            if row.status in ("completed", "failed") and not row.inside and id not in open_entries
        }
        taken = MemoryJobQueue(self.branch)
        taken.rows = done
        taken.events = [event for event in self.events if event.job in done]
        self.rows = {id: row for id, row in self.rows.items() if id not in done}
        self.events = [event for event in self.events if event.job not in done]
        self.entries = [entry for entry in self.entries if entry.job not in done]
        return taken

    def _is_sent(self, job: str) -> bool:
        return any(entry.job == job and entry.state == "created" for entry in self.entries)

    def waits(self, job: str, mode: Mode) -> bool:
        """Whether a worker of that mode will find the job."""
        row = self.rows[job]
        return row.status in ("pending", "queued") and (mode == "legacy" or self._is_sent(job))

    def _record(self, at: float, action: Action, job: str, worker: str = "", reason: str = "") -> None:
        self.events.append(JobEvent(at, action, job, worker, reason))


def _free_at(row: Row, exclusive: bool) -> float:
    """From when on a waiting row may be claimed. A guard spares one that another worker claimed, for 2 minutes."""
    return row.heartbeat + STALE_SECONDS if exclusive and row.status == "queued" and row.worker else -math.inf
