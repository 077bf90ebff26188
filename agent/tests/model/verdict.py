"""What became of the jobs: exactly one fate for each, from a queue's rows and events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from model.job_queue import REVIEW_INTERRUPTED, TAKEN_FOR_CRASHED, WORKER_FAILED, JobEvent, MemoryJobQueue, Mode, Row
from model.worker import DATABASE_DOWN, RAW

#: How long two processes may work on one job.
DOUBLED_LIMIT_SECONDS = 0.0
#: finished: completed by a worker. waits: a worker will take it, or works on it. review: it needs a person, who can see
#: that. lost: nobody goes on with it. raw: lost by a worker that deploy-server has started, which has no guard. gap: as
#: lost, but for a reason that no drain can prevent. upstream: as lost, by what worker, VALET or deploy-server do alone.
#: failed: a worker tried it and reported a failure.
Fate = Literal["finished", "waits", "review", "lost", "gap", "upstream", "raw", "failed"]
#: Reasons for which a worker process may end during a job, because no drain could have prevented it.
NOT_PREVENTABLE = frozenset({"zone lost", "worker crashed", "docker restarted", DATABASE_DOWN, "spot instance gone"})
#: What happens to jobs without any scale-in, and which no guard changes.
UPSTREAM = frozenset({TAKEN_FOR_CRASHED, "VALET's sweep", "port taken", "deployment"})
#: What the row says in the end about a job that nobody goes on with.
STATES = {
    "pending": "waits, never sent",
    "queued": "waits, never sent",
    "running": "runs for ever",
    "paused": "paused for ever",
    "completed": "taken for completed",
}


@dataclass(frozen=True)
class Verdict:
    """What became of the jobs; times are seconds. The counts of `fates` add up to `jobs`.

    Attributes:
        lost: jobs with that fate, with the reason.
        gaps, upstream, raw: the same for these fates: the reason and what the row says.
        doubled: jobs on which two processes worked for longer than the limit, with that time.
        doubled_upstream: the same, one of them started by deploy-server, or after VALET queued a claimed row again.
        claimed_twice: the same, after a legacy worker claimed a row that another one had claimed.
        shown_failed: jobs that VALET failed while a worker went on with them and finished them.
        cut_off: jobs whose process ended without putting them back, with the reason.
        put_back: how often a job was put back.
        longest_overlap: the longest time for which two processes worked on one job, double claims and raw ones aside.
    """

    jobs: int = 0
    fates: Mapping[Fate, int] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    gaps: Mapping[str, str] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, str] = field(default_factory=dict)
    doubled: Mapping[str, float] = field(default_factory=dict)
    doubled_upstream: Mapping[str, float] = field(default_factory=dict)
    claimed_twice: Mapping[str, float] = field(default_factory=dict)
    shown_failed: int = 0
    cut_off: Mapping[str, str] = field(default_factory=dict)
    put_back: int = 0
    longest_overlap: float = 0.0

    @property
    def finished(self) -> int:
        """How many jobs a worker finished."""
        return self.fates.get("finished", 0)


def judge(
    queue: MemoryJobQueue,
    end: float,
    mode: Mode,
    doubled_limit: float = DOUBLED_LIMIT_SECONDS,
) -> Verdict:
    """Return the verdict at `end`."""
    histories: dict[str, list[JobEvent]] = {job: [] for job in queue.rows}
    for event in queue.events:
        histories[event.job].append(event)
    fates = Counter[Fate]()
    by_fate: dict[Fate, dict[str, str]] = {"lost": {}, "gap": {}, "upstream": {}, "raw": {}}
    doubled: dict[str, float] = {}
    doubled_upstream: dict[str, float] = {}
    claimed_twice: dict[str, float] = {}
    cut_off: dict[str, str] = {}
    longest = 0.0
    for job, row in queue.rows.items():
        fate, why = fate_of(queue, row, mode)
        fates[fate] += 1
        if fate in by_fate:
            by_fate[fate][job] = why
        overlap = overlap_of(histories[job], end)
        raw = any(RAW in event.worker or event.action == "requeue" for event in histories[job])
        if overlap > doubled_limit:
            (doubled_upstream if raw else claimed_twice if row.double_claims else doubled)[job] = overlap
        if not row.double_claims and not raw:
            longest = max(longest, overlap)
        if reason := _cut_off(histories[job]):
            cut_off[job] = reason
    return Verdict(
        jobs=len(queue.rows),
        fates=dict(fates),
        lost=by_fate["lost"],
        gaps=by_fate["gap"],
        upstream=by_fate["upstream"],
        raw=by_fate["raw"],
        doubled=doubled,
        doubled_upstream=doubled_upstream,
        claimed_twice=claimed_twice,
        shown_failed=sum(row.shown_failed and row.status == "completed" for row in queue.rows.values()),
        cut_off=cut_off,
        put_back=sum(event.action == "release" for event in queue.events),
        longest_overlap=longest,
    )


def fate_of(queue: MemoryJobQueue, row: Row, mode: Mode) -> tuple[Fate, str]:
    """Return a job's fate, and for those without a good end the reason and what the row says."""
    if row.status == "completed" and not row.reason:
        return "finished", ""
    if row.inside or queue.waits(row.job.id, mode):
        return ("review" if row.status == "awaiting_review" else "waits"), ""
    if row.status == "awaiting_review" or row.reason == REVIEW_INTERRUPTED:
        return "review", ""
    if row.reason == WORKER_FAILED:
        return "failed", ""
    why = f"{row.reason}: {STATES.get(row.status, row.status)}"
    if row.reason in NOT_PREVENTABLE:
        return "gap", why
    if row.reason in UPSTREAM:
        return "upstream", why
    return ("raw" if RAW in row.process else "lost"), why


def _cut_off(history: Iterable[JobEvent]) -> str:
    """Why a process last ended with the job inside, neither finished nor put back; empty if none did."""
    inside, reason = set[str](), ""
    for event in history:
        match event.action:
            case "take":
                inside.add(event.worker)
            case "release" | "finish" | "fail":
                inside.discard(event.worker)
            case "leave" if event.worker in inside:
                inside.discard(event.worker)
                reason = event.reason
    return reason


def overlap_of(history: Iterable[JobEvent], end: float) -> float:
    """The longest time for which two processes worked on the job."""
    working: dict[str, float] = {}
    longest = 0.0
    for event in history:
        if event.action == "take":
            working[event.worker] = event.at
        elif event.action in ("finish", "fail", "leave") and event.worker in working:
            since = working.pop(event.worker)
            longest = max([longest, *(event.at - max(since, other) for other in working.values())])
    starts = sorted(working.values())
    return max([longest, *(end - start for start in starts[1:])])
