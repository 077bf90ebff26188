"""From an empty account to a fleet that works, by README's own commands, and back to nothing.

With container instances, IAM enforced and the policies of docs/iam, a real image, Docker, Compose, PostgreSQL and
pgbouncer, and the guard in the worker's process.
"""

from __future__ import annotations

import json
import random
import time

from tests.e2e.first_day import GROUP, WORKER_CONTAINER, FirstDay, until
from tests.seeds import new_seed

#: A job's length in seconds: so long that instances go while jobs run.
JOB_SECONDS = (2.0, 5.0)


def test_a_first_day_from_an_empty_account_to_jobs_done_once_and_back_to_nothing(day: FirstDay) -> None:
    seed = new_seed()
    print(f"seed {seed}")
    rng = random.Random(seed)

    day.step("site")
    began = time.monotonic()
    (first,) = day.wait_for_workers(1)
    print(f"the first worker is registered {time.monotonic() - began:.1f} s after the site's end")
    assert day.run(first, f"pgrep --full 'xlogo -title GhostHands {first}'"), "the worker has a window on the display"
    status = json.loads(day.run(first, "curl -s http://127.0.0.1:3101/worker/status"))
    assert status["drain_guard"]["attached"] is True
    assert status["drain_guard"]["problems"] == []
    assert (status["ec2_instance_id"], status["asg_name"], status["dispatch_mode"]) == (first, GROUP, day.mode)

    descriptions = [f"sleep {1000 * rng.uniform(*JOB_SECONDS):.0f}" for _ in range(30)]
    with day.scaler(3) as sizes:
        jobs = day.database.enqueue(day.mode, *descriptions)
        day.wait_for_workers(3)
        until(lambda: sizes[-1] == 1, 180, "the queue is empty and the group is to have one instance again")
        busy = day.database.busy()
        day.wait_for_jobs(jobs, 60)
        until(lambda: len(day.states()) == 1, 120, "two instances have gone")
    outcome = day.database.outcome(jobs)
    print(f"scaled to {sizes}, {len(busy)} jobs ran when the scale-in began, {outcome.put_back} put back")
    assert (dict(outcome.lost), outcome.doubled, outcome.finished_twice) == ({}, 0, 0)
    assert busy, "jobs ran when the scale-in began"
    assert {result for result, _ in day.completions().values()} == {"CONTINUE"}

    day.write_secret("rotated")
    day.step("secret")
    before = set(day.in_service())
    day.scale(2)
    (new,) = day.wait_for_workers(2) - before
    values = day.run(new, f"docker exec $({WORKER_CONTAINER}) env")
    assert "GH_SERVICE_SECRET=rotated" in values.splitlines()
    day.scale(1)
    until(lambda: len(day.states()) == 1, 120, "one instance has gone")

    verified = day.step("verify")
    report = day.workspace / "build/report/gh-worker"
    found = json.loads((report / "report.json").read_text(encoding="utf-8"))["findings"]
    assert [each["id"] for each in found if not each["ok"] and each["severity"] == "error"] == [], verified.output
    assert (report / "report.html").stat().st_size > 10_000
    assert GROUP in day.page(), "localcloud's page draws what happened"

    torn = day.teardown()
    assert torn.code == 0, torn.output
    left = day.resources()
    assert left == {}, left
