"""What became of a scenario's jobs, from the worker's own tables and what was recorded of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from tools.real_worker.database import Database

#: Two workers that begin a job within so many seconds have claimed it at the same time.
SAME_TIME_SECONDS = 2

# Pairs of processes that were inside one job at the same time.
OVERLAPS = """
    SELECT a.job, abs(extract(epoch FROM a.began - b.began)) AS apart
    FROM real_worker.runs a JOIN real_worker.runs b ON a.job = b.job AND a.run < b.run
    WHERE (a.worker, a.pid) <> (b.worker, b.pid) AND a.job = ANY(%s::uuid[])
        AND b.began < coalesce(a.ended, a.beat) AND a.began < coalesce(b.ended, b.beat)
"""
DOUBLED = f"""
    SELECT count(*), count(*) FILTER (WHERE apart <= {SAME_TIME_SECONDS})
    FROM (SELECT job, max(apart) AS apart FROM ({OVERLAPS}) pairs GROUP BY job) jobs
"""
FINISHED_TWICE = """
    SELECT count(*) FROM (
        SELECT job FROM real_worker.runs WHERE ended IS NOT NULL AND job = ANY(%s::uuid[]) GROUP BY job
        HAVING count(*) > 1
    ) jobs
"""
# Jobs that a worker gave back: by worker, and whether another one finished it.
PUT_BACK = """
    SELECT c.job, j.status = 'completed' AND EXISTS (
        SELECT FROM real_worker.runs r
        WHERE r.job = c.job AND r.ended IS NOT NULL AND r.began > c.at AND r.worker <> c.old_worker
    )
    FROM real_worker.changes c JOIN gh_automation_jobs j ON j.id = c.job
    WHERE c.job = ANY(%s::uuid[]) AND c.old_worker IS NOT NULL AND c.worker IS NULL
        AND c.status IN ('pending', 'queued')
"""
# The last worker that had each job.
HOLDERS = """
    SELECT DISTINCT ON (job) job, worker FROM (
        SELECT job, at, worker FROM real_worker.changes WHERE worker IS NOT NULL
        UNION ALL SELECT job, began, worker FROM real_worker.runs
    ) held WHERE job = ANY(%s::uuid[]) ORDER BY job, at DESC
"""
LAST_ENDS = """
    SELECT worker, max(coalesce(ended, beat)), bool_or(ended IS NULL) FROM real_worker.runs
    WHERE worker = ANY(%s) GROUP BY worker
"""


@dataclass(frozen=True)
class Outcome:
    """What became of jobs.

    Attributes:
        lost: jobs that are not completed, by id, with their status.
        doubled: jobs that two processes were inside at once.
        claimed_at_once: of those, the ones that began at the same time: the worker's own race, whatever the fleet does.
        finished_twice: jobs that two processes finished, whether or not at once.
        put_back: jobs that a worker gave back.
        finished_elsewhere: of those, the ones that another worker then finished.
        holders: the last worker that had each job.
    """

    jobs: int
    lost: Mapping[str, str]
    doubled: int
    claimed_at_once: int
    finished_twice: int
    put_back: int
    finished_elsewhere: int
    holders: Mapping[str, str]


def statuses(database: Database, jobs: Collection[str]) -> dict[str, str]:
    """The status of each job."""
    rows = database.query("SELECT id::text, status FROM gh_automation_jobs WHERE id = ANY(%s::uuid[])", list(jobs))
    return dict(rows)


def outcome(database: Database, jobs: Collection[str]) -> Outcome:
    """What became of these jobs."""
    ids = list(jobs)
    [(doubled, at_once)] = database.query(DOUBLED, ids)
    [(twice,)] = database.query(FINISHED_TWICE, ids)
    put_back = dict[str, bool]()
    for job, finished in database.query(PUT_BACK, ids):
        put_back[job] = put_back.get(job, False) or finished
    return Outcome(
        jobs=len(ids),
        lost={job: status for job, status in statuses(database, ids).items() if status != "completed"},
        doubled=doubled,
        claimed_at_once=at_once,
        finished_twice=twice,
        put_back=len(put_back),
        finished_elsewhere=sum(put_back.values()),
        holders={str(job): worker for job, worker in database.query(HOLDERS, ids)},
    )


def inside(database: Database) -> dict[str, str]:
    """The job that each worker is inside now, by worker."""
    return dict(
        database.query(
            "SELECT worker, job::text FROM real_worker.runs"
            " WHERE ended IS NULL AND beat > clock_timestamp() - interval '1.5 s'"
        )
    )


def seconds(at: str) -> float:
    """A time of localcloud's trace, in seconds since 1970."""
    return datetime.fromisoformat(at).timestamp()


def seconds_after_idle(
    database: Database, ordered: Mapping[str, float], completed: Mapping[str, float]
) -> dict[str, float]:
    """Seconds from each instance's last job's end, or from the order to terminate if that was later, to the completion.

    Without the instances whose last job was cut off.
    """
    ends = dict[str, tuple[datetime, bool]]()
    for worker, ended, cut_off in database.query(LAST_ENDS, list(completed)):
        ends[worker] = (ended, cut_off)
    idle = {}
    for instance, at in completed.items():
        ended, cut_off = ends.get(instance, (None, False))
        if not cut_off:
            since = max(ordered[instance], ended.timestamp() if ended else 0.0)
            idle[instance] = at - since
    return idle
