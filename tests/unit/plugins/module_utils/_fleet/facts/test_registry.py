# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry's rows: a good row becomes a value, any other a sentence; nothing raises."""

from __future__ import annotations

import json
import math
import string
from datetime import datetime, timedelta
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import (
    COLUMNS,
    FUTURE_SECONDS,
    STATUSES,
    Registry,
    WorkerRow,
    failure,
    from_result,
    result,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NOW = 1_800_000_000.25
RAW = {
    "worker_id": "w-1",
    "status": "active",
    "target_worker_id": None,
    "ec2_instance_id": "i-0123456789abcdef0",
    "ec2_ip": "203.0.113.7",
    "current_job_id": "6f1c1a8e-5b0e-4a57-9f2e-0d6d1c7a4b11",
    "registered_at": NOW - 3600,
    "last_heartbeat": NOW - 12.5,
    "jobs_completed": "7",
    "jobs_failed": None,
}


def read(**changed: Any) -> Registry:
    """A registry with the one row, changed like that."""
    return from_result(result(NOW, [{**RAW, **changed}], False, False))


def test_a_good_row_is_a_value() -> None:
    registry = read()
    assert registry == Registry(
        reachable=True,
        error="",
        rows=(
            WorkerRow(
                worker_id="w-1",
                status="active",
                target_worker_id=None,
                instance_id="i-0123456789abcdef0",
                ip="203.0.113.7",
                job_id="6f1c1a8e-5b0e-4a57-9f2e-0d6d1c7a4b11",
                registered_at="2027-01-15T07:00:00.250+00:00",
                last_heartbeat="2027-01-15T07:59:47.750+00:00",
                jobs_completed=7,
                jobs_failed=0,
                heartbeat_age=12.5,
            ),
        ),
        broken=(),
        may_write=False,
        row_security=False,
        now="2027-01-15T08:00:00.250+00:00",
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"worker_id": None}, "worker NULL: worker_id is empty"),
        ({"worker_id": ""}, "worker '': worker_id is empty"),
        (
            {"worker_id": "a\x1b[31m"},
            r"worker 'a\x1b[31m': worker_id is 'a\x1b[31m', not 1 to 255 printable characters",
        ),
        (
            {"worker_id": "w" * 256},
            f"worker '{'w' * 57}...': worker_id is '{'w' * 57}...', not 1 to 255 printable characters",
        ),
        ({"status": "ACTIVE"}, "worker 'w-1': status is 'ACTIVE', not one of active, draining, offline"),
        ({"status": None}, "worker 'w-1': status is NULL, not one of active, draining, offline"),
        ({"ec2_instance_id": "i-123"}, "worker 'w-1': ec2_instance_id is 'i-123', not an instance id"),
        ({"ec2_instance_id": "i-01234567\n"}, r"worker 'w-1': ec2_instance_id is 'i-01234567\n', not an instance id"),
        ({"ec2_ip": "10.0.0.1/32"}, "worker 'w-1': ec2_ip is '10.0.0.1/32', not an address"),
        ({"current_job_id": "job"}, "worker 'w-1': current_job_id is 'job', not a job id"),
        ({"registered_at": None}, "worker 'w-1': registered_at is missing"),
        ({"last_heartbeat": None}, "worker 'w-1': last_heartbeat is missing"),
        ({"last_heartbeat": math.inf}, "worker 'w-1': last_heartbeat is inf"),
        ({"last_heartbeat": -1e12}, "worker 'w-1': last_heartbeat is outside the years 1 to 9999"),
        ({"last_heartbeat": NOW + 301}, "worker 'w-1': last_heartbeat is 301 s in the future"),
        ({"jobs_failed": "-1"}, "worker 'w-1': jobs_failed is '-1', not a count"),
        (
            {"status": "x", "jobs_completed": "y"},
            "worker 'w-1': status is 'x', not one of active, draining, offline, jobs_completed is 'y', not a count",
        ),
    ],
)
def test_a_row_that_no_worker_would_have_written_is_a_sentence(changed: dict[str, Any], reason: str) -> None:
    registry = read(**changed)
    assert (registry.rows, registry.broken) == ((), (reason,))


@pytest.mark.parametrize("column", ["target_worker_id", "ec2_instance_id", "ec2_ip", "current_job_id"])
@pytest.mark.parametrize("text", [None, "", "unknown"])
def test_what_a_worker_does_not_know_is_none(column: str, text: str | None) -> None:
    (row,) = read(**{column: text}).rows
    assert getattr(row, COLUMNS[column]) is None


def test_a_heartbeat_a_little_ahead_of_the_database_is_fresh() -> None:
    (row,) = read(last_heartbeat=NOW + FUTURE_SECONDS).rows
    assert row.heartbeat_age == 0


def test_a_registry_that_could_not_be_read_is_a_value_too() -> None:
    assert failure("why").keys() == result(NOW, [], True, None).keys()
    assert from_result(failure("why")) == Registry(reachable=False, error="why", rows=(), broken=(), may_write=None)


@pytest.mark.parametrize(
    "of_ansible", [{"skipped": True, "changed": False}, {"failed": True, "msg": "MODULE FAILURE"}, {}]
)
def test_a_task_that_gave_no_result_is_a_registry_that_was_not_read(of_ansible: dict[str, Any]) -> None:
    registry = from_result(of_ansible)
    assert not registry.reachable
    assert registry.error == of_ansible.get("msg", "The registry was not read.")


TEXT = (
    st.none()
    | st.text(string.printable + "\0\x1b\x7f\u2028ü\U0001f916", max_size=300)
    | st.sampled_from(["unknown", *STATUSES])
)
MOMENT = st.none() | st.floats()
ANYTHING = st.fixed_dictionaries(
    {column: MOMENT if column in ("registered_at", "last_heartbeat") else TEXT for column in COLUMNS}
)
NAMES = st.text(string.ascii_letters + string.digits + "-_<>'\"{}% ü", min_size=1)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # ansible-test knows no profile of ours
@given(st.lists(ANYTHING, max_size=3))
def test_every_row_whatever_its_content_is_a_value_or_one_sentence(raw: list[dict[str, Any]]) -> None:
    found = result(NOW, raw, None, None)
    registry = from_result(json.loads(json.dumps(found, allow_nan=False)))
    assert len(registry.rows) + len(registry.broken) == len(raw)
    assert all(sentence.isprintable() and sentence.isascii() for sentence in registry.broken)
    assert all(row.status in STATUSES and row.heartbeat_age >= 0 for row in registry.rows)


@given(
    NAMES,
    st.sampled_from(STATUSES),
    st.none() | st.from_regex(r"i-([0-9a-f]{8}|[0-9a-f]{17})", fullmatch=True),
    st.none() | st.ip_addresses().map(str),
    st.none() | st.uuids().map(str),
    st.floats(0, 1e9),
    st.integers(0, 2**31 - 1),
)
def test_what_a_worker_writes_is_returned_unchanged(
    name: str, status: str, instance: str | None, ip: str | None, job: str | None, age: float, jobs: int
) -> None:
    columns = {"worker_id": name, "status": status, "ec2_instance_id": instance, "ec2_ip": ip, "current_job_id": job}
    registry = read(**columns, last_heartbeat=NOW - age, jobs_completed=str(jobs))
    assert registry.broken == ()
    (row,) = registry.rows
    assert (row.worker_id, row.status, row.instance_id, row.ip, row.job_id, row.jobs_completed) == (
        name,
        status,
        instance,
        ip,
        job,
        jobs,
    )
    assert row.heartbeat_age == pytest.approx(age, abs=0.001)
    silence = datetime.fromisoformat(registry.now) - datetime.fromisoformat(row.last_heartbeat)
    assert silence == pytest.approx(timedelta(seconds=age), abs=timedelta(seconds=0.002))
