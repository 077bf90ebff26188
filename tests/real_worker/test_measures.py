"""What the trials count, on rows made up for it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tools.real_worker import measures
from tools.real_worker.database import Database

START = datetime(2026, 11, 26, tzinfo=UTC)
ONE, TWO, THREE = (f"i-{number}" for number in range(1, 4))


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Jobs:
    """Adds jobs and what workers did with them."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, status: str = "completed") -> str:
        """A job."""
        job = str(uuid.uuid4())
        self.database.query("INSERT INTO gh_automation_jobs (id, status) VALUES (%s, %s)", job, status)
        return job

    def run(self, job: str, worker: str, began: float, ended: float | None = None, beat: float | None = None) -> None:
        """A worker was inside the job from `began` on: until `ended`, or cut off after `beat`."""
        last = ended if beat is None else beat
        assert last is not None
        self.database.query(
            "INSERT INTO real_worker.runs (job, worker, pid, began, beat, ended) VALUES (%s, %s, 1, %s, %s, %s)",
            *(job, worker, moment(began), moment(last), None if ended is None else moment(ended)),
        )

    def change(self, job: str, at: float, old_worker: str | None, worker: str | None, status: str) -> None:
        """The job's row changed."""
        self.database.query(
            "INSERT INTO real_worker.changes (job, at, old_worker, worker, status) VALUES (%s, %s, %s, %s, %s)",
            *(job, moment(at), old_worker, worker, status),
        )


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


def test_a_job_that_is_not_completed_is_lost_with_its_status_and_its_last_worker(jobs: Jobs) -> None:
    done, lost = jobs.add(), jobs.add("pending")
    jobs.change(lost, 1, None, ONE, "running")
    jobs.run(lost, TWO, 5, beat=6)
    jobs.change(lost, 7, TWO, None, "pending")
    found = measures.outcome(jobs.database, [done, lost])
    assert (found.jobs, found.lost) == (2, {lost: "pending"})
    assert found.holders == {lost: TWO}


def test_only_the_jobs_of_the_scenario_count(jobs: Jobs) -> None:
    jobs.add("pending")
    assert measures.outcome(jobs.database, [jobs.add()]).lost == {}


def test_two_processes_in_one_job_at_once_double_it(jobs: Jobs) -> None:
    job, one_after_the_other = jobs.add(), jobs.add()
    jobs.run(job, ONE, 0, ended=10)
    jobs.run(job, TWO, 9, ended=12)
    jobs.run(one_after_the_other, ONE, 0, beat=10)
    jobs.run(one_after_the_other, TWO, 10.1, ended=12)
    found = measures.outcome(jobs.database, [job, one_after_the_other])
    assert (found.doubled, found.claimed_at_once, found.finished_twice) == (1, 0, 1)


def test_a_cut_off_run_lasts_until_its_last_beat(jobs: Jobs) -> None:
    job = jobs.add()
    jobs.run(job, ONE, 0, beat=4)
    jobs.run(job, TWO, 3, ended=12)
    assert measures.outcome(jobs.database, [job]).doubled == 1


def test_processes_that_begin_a_job_at_the_same_time_have_claimed_it_at_once(jobs: Jobs) -> None:
    job, mixed = jobs.add(), jobs.add()
    jobs.run(job, ONE, 0, ended=10)
    jobs.run(job, TWO, 1.5, ended=12)
    for worker, began in ((ONE, 0), (TWO, 1), (THREE, 5)):
        jobs.run(mixed, worker, began, ended=10)
    found = measures.outcome(jobs.database, [job, mixed])
    assert (found.doubled, found.claimed_at_once) == (2, 1)


def test_a_job_put_back_is_finished_elsewhere_if_another_worker_completes_it_afterwards(jobs: Jobs) -> None:
    elsewhere, never, same = jobs.add(), jobs.add("pending"), jobs.add()
    for job in (elsewhere, never, same):
        jobs.run(job, ONE, 0, beat=4)
        jobs.change(job, 4, ONE, None, "pending")
    jobs.run(elsewhere, TWO, 9, ended=12)
    jobs.run(same, ONE, 9, ended=12)
    found = measures.outcome(jobs.database, [elsewhere, never, same])
    assert (found.put_back, found.finished_elsewhere) == (3, 1)


def test_changes_of_status_and_worker_are_recorded(jobs: Jobs) -> None:
    job = jobs.add("queued")
    for change in ("status = 'running', worker_id = 'i-1'", "metadata = '{}'", "status = 'queued', worker_id = NULL"):
        jobs.database.query(f"UPDATE gh_automation_jobs SET {change}")
    rows = jobs.database.query("SELECT job::text, old_status, status, old_worker, worker FROM real_worker.changes")
    assert rows == [(job, "queued", "running", None, "i-1"), (job, "running", "queued", "i-1", None)]


def test_the_time_after_idle_counts_from_the_end_of_the_job_or_from_the_order(jobs: Jobs) -> None:
    jobs.run(jobs.add(), ONE, 0, ended=20)
    jobs.run(jobs.add(), TWO, 0, ended=5)
    jobs.run(jobs.add(), THREE, 0, beat=20)  # cut off
    ordered = {worker: moment(10).timestamp() for worker in (ONE, TWO, THREE)}
    completed = {worker: moment(21.5).timestamp() for worker in (ONE, TWO, THREE)}
    found = measures.seconds_after_idle(jobs.database, ordered, completed)
    assert found == pytest.approx({ONE: 1.5, TWO: 11.5})


def test_a_worker_is_inside_a_job_until_the_run_ends_or_its_beats_do(jobs: Jobs) -> None:
    job = jobs.add("running")
    jobs.run(job, ONE, 0, beat=1)
    jobs.run(job, TWO, 0, ended=1)
    jobs.database.query("INSERT INTO real_worker.runs (job, worker, pid) VALUES (%s, %s, 1)", job, THREE)
    assert measures.inside(jobs.database) == {THREE: job}
