"""What became of the jobs, from the events of a queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from model.job_queue import JobEvent

#: Reasons for which a worker process may end during a job, because no drain could have prevented it.
NOT_PREVENTABLE = frozenset({"zone lost", "worker crashed", "docker restarted", "rebooted", "spot", "hard limit"})
#: How long two processes may work on one job. The worker releases its job 30 s after a drain and exits 30 s after
#: SIGTERM, so two may work on it for as long as SIGTERM comes after the drain: one restart of the agent by systemd
#: (at most 10 s), calls that time out (at most 5 s each, IMDS and worker), delivery of the signal, the exit.
DOUBLED_LIMIT_SECONDS = 30.0


@dataclass(frozen=True)
class Verdict:
    """What became of the jobs; times are seconds.

    Attributes:
        lost: jobs that are neither finished nor in the queue in the end, with the reason why their process ended.
        doubled: jobs on which two processes worked for longer than the limit, with that time.
        interrupted: jobs whose process ended for a reason that no drain can prevent, with that reason.
        cut_off: jobs whose process ended for any other reason without releasing them, with that reason.
        released: how often a worker released a job.
        longest_overlap: the longest time for which two processes worked on one job.
    """

    jobs: int = 0
    finished: int = 0
    lost: Mapping[str, str] = field(default_factory=dict)
    doubled: Mapping[str, float] = field(default_factory=dict)
    interrupted: Mapping[str, str] = field(default_factory=dict)
    cut_off: Mapping[str, str] = field(default_factory=dict)
    released: int = 0
    longest_overlap: float = 0.0


def judge(events: Iterable[JobEvent], end: float, doubled_limit: float = DOUBLED_LIMIT_SECONDS) -> Verdict:
    """Return the verdict on the events until `end`."""
    jobs: dict[str, list[JobEvent]] = {}
    for event in events:
        jobs.setdefault(event.job, []).append(event)
    lost: dict[str, str] = {}
    doubled: dict[str, float] = {}
    interrupted: dict[str, str] = {}
    cut_off: dict[str, str] = {}
    finished = released = 0
    longest = 0.0
    for job, history in jobs.items():
        overlap = _overlap(history, end)
        longest = max(longest, overlap)
        if overlap > doubled_limit:
            doubled[job] = overlap
        done = any(event.action == "finish" for event in history)
        finished += done
        released += sum(event.action == "release" for event in history)
        left = _left_without_release(history)
        for event in left:
            (interrupted if event.reason in NOT_PREVENTABLE else cut_off)[job] = event.reason
        if not done and left and history[-1] == left[-1] and left[-1].reason not in NOT_PREVENTABLE:
            lost[job] = left[-1].reason
    return Verdict(len(jobs), finished, lost, doubled, interrupted, cut_off, released, longest)


def _left_without_release(history: list[JobEvent]) -> list[JobEvent]:
    """Where a process left the job that it still claimed: neither finished nor released."""
    claim, left = "", []
    for event in history:
        match event.action:
            case "take":
                claim = event.worker
            case "release" | "recover" | "finish":
                claim = ""
            case "leave" if event.worker == claim:
                left.append(event)
    return left


def _overlap(history: list[JobEvent], end: float) -> float:
    """The longest time for which two processes worked on the job."""
    working: dict[str, float] = {}
    longest = 0.0
    for event in history:
        if event.action == "take":
            working[event.worker] = event.at
        elif event.action in ("finish", "leave") and event.worker in working:
            since = working.pop(event.worker)
            longest = max([longest, *(event.at - max(since, other) for other in working.values())])
    starts = sorted(working.values())
    return max([longest, *(end - start for start in starts[1:])])
