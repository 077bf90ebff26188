"""What the module returns of a readable registry."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import from_result

from tests.registry.conftest import INSTANCE, Query
from tests.registry.servers import Server

Register = Callable[..., None]
JOB = "6f1c1a8e-5b0e-4a57-9f2e-0d6d1c7a4b11"


def test_an_empty_registry_has_no_rows(query: Query) -> None:
    result = query()
    assert (result["reachable"], result["error"], result["rows"], result["broken"]) == (True, "", [], [])


def test_a_worker_is_returned_as_it_registered_itself(query: Query, register: Register) -> None:
    register("w-1", current_job_id=JOB, silent_seconds=42.5)
    result = query()
    (row,) = result["rows"]
    assert datetime.fromisoformat(row.pop("registered_at")) <= datetime.fromisoformat(result["now"])
    silence = datetime.fromisoformat(result["now"]) - datetime.fromisoformat(row.pop("last_heartbeat"))
    assert silence.total_seconds() == pytest.approx(row["heartbeat_age_seconds"], abs=0.002)
    assert row.pop("heartbeat_age_seconds") == pytest.approx(42.5, abs=5)
    assert row == {
        "worker_id": "w-1",
        "status": "active",
        "target_worker_id": None,
        "ec2_instance_id": INSTANCE,
        "ec2_ip": "203.0.113.7",
        "current_job_id": JOB,
        "jobs_completed": 0,
        "jobs_failed": 0,
    }


def test_offline_workers_are_returned_on_request_only(query: Query, register: Register) -> None:
    register("w-1")
    register("w-2", status="offline")
    register("w-3", status="draining")
    assert [row["worker_id"] for row in query()["rows"]] == ["w-1", "w-3"]
    assert [row["worker_id"] for row in query(include_offline=True)["rows"]] == ["w-1", "w-2", "w-3"]


def test_rows_that_break_the_schema_are_reported_and_the_others_returned(query: Query, register: Register) -> None:
    register("w-good")
    register("w-status", status="ready")
    register("w-none", status=None)
    register("w-instance", ec2_instance_id="'; DROP TABLE gh_worker_registry; --")
    register("w-address", ec2_ip="300.1.1.1")
    register("w-future", silent_seconds=-3600)
    register("w\nline")
    result = query()
    assert [row["worker_id"] for row in result["rows"]] == ["w-good"]
    assert len(result["broken"]) == 6
    assert "worker 'w-none': status is NULL, not one of active, draining, offline" in result["broken"]
    assert any("w-future': last_heartbeat is 3600 s in the future" in sentence for sentence in result["broken"])
    assert any(sentence.startswith(r"worker 'w\nline': worker_id is 'w\nline'") for sentence in result["broken"])


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "4713-01-01 BC", "290000-01-01", None])
def test_a_timestamp_that_no_worker_writes_is_a_broken_row(
    query: Query, register: Register, server: Server, moment: str | None
) -> None:
    register("w-1")
    server.admin("UPDATE gh_worker_registry SET last_heartbeat = %s", moment)
    result = query()
    assert result["reachable"], result["error"]
    assert (result["rows"], len(result["broken"])) == ([], 1)


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "{{ lookup('pipe', 'id') }}", "'; DROP TABLE x; --", "Jürgen 🤖", "%s %(a)s \\ \"'"],
)
def test_hostile_names_are_returned_unchanged(query: Query, register: Register, name: str) -> None:
    register(name)
    assert [row["worker_id"] for row in query()["rows"]] == [name]


def test_unknown_instance_columns_are_null(query: Query, register: Register) -> None:
    register("w-1", ec2_instance_id="unknown", ec2_ip="unknown")
    register("w-2", ec2_instance_id=None, ec2_ip="")
    result = query()
    assert result["broken"] == []
    assert [(row["ec2_instance_id"], row["ec2_ip"]) for row in result["rows"]] == [(None, None)] * 2


def test_the_result_converts_to_the_value_that_checks_read(query: Query, register: Register) -> None:
    register("w-1", silent_seconds=301)
    register("w-2", status="ready")
    registry = from_result(query())
    assert (registry.reachable, registry.error, registry.may_write, registry.row_security) == (True, "", False, False)
    (row,) = registry.rows
    assert (row.worker_id, row.instance_id, row.ip, row.job_id) == ("w-1", INSTANCE, "203.0.113.7", None)
    assert row.heartbeat_age > 300
    assert len(registry.broken) == 1


def test_a_thousand_rows_take_less_than_a_second(query: Query, server: Server) -> None:
    server.admin(
        "INSERT INTO gh_worker_registry (worker_id, status, ec2_instance_id, ec2_ip, current_job_id)"
        " SELECT 'w-' || n, 'active', 'i-' || lpad(to_hex(n), 17, '0'), '10.0.' || n / 256 || '.' || n % 256,"
        " gen_random_uuid()"
        " FROM generate_series(1, 1000) AS n"
    )
    began = time.monotonic()
    result = query()
    seconds = time.monotonic() - began
    print(f"1,000 rows: {seconds * 1000:.0f} ms")
    assert len(result["rows"]) == 1000
    assert seconds < 1


def test_a_table_in_another_schema_is_addressed_by_both_names(query: Query, server: Server) -> None:
    server.admin(
        'CREATE SCHEMA "Jobs"; CREATE TABLE "Jobs"."Registry" (LIKE gh_worker_registry);'
        ' GRANT USAGE ON SCHEMA "Jobs" TO gh_reader'
    )
    try:
        server.admin('GRANT SELECT ON "Jobs"."Registry" TO gh_reader')
        assert query(table="Jobs.Registry")["reachable"]
        assert "no table Jobs.registry" in query(table="Jobs.registry")["error"]
        server.admin('REVOKE USAGE ON SCHEMA "Jobs" FROM gh_reader')
        assert "GRANT SELECT ON Jobs.Registry TO it, and USAGE on its schema" in query(table="Jobs.Registry")["error"]
    finally:
        server.admin('DROP SCHEMA "Jobs" CASCADE')


def test_columns_of_other_types_are_read(query: Query, server: Server) -> None:
    server.admin(
        "CREATE TYPE state AS ENUM ('active', 'offline');"
        " CREATE TABLE typed (worker_id uuid, status state, target_worker_id uuid, ec2_instance_id varchar,"
        " ec2_ip text, current_job_id text, registered_at timestamp, last_heartbeat timestamp,"
        " jobs_completed bigint, jobs_failed numeric);"
        " GRANT SELECT ON typed TO gh_reader"
    )
    try:
        server.admin(
            "INSERT INTO typed VALUES"
            " (%s, 'active', NULL, 'i-01234567', '2001:db8::1', 'urgent', now(), now(), NULL, 3),"
            " (%s, 'active', NULL, 'i-01234567', '2001:db8::1', %s, now(), now(), 7, 3)",
            *(JOB, JOB, JOB),
        )
        result = query(table="typed")
        assert [(row["jobs_completed"], row["jobs_failed"], row["ec2_ip"]) for row in result["rows"]] == [
            (7, 3, "2001:db8::1")
        ]
        assert result["broken"] == [f"worker '{JOB}': current_job_id is 'urgent', not a job id"]
    finally:
        server.admin("DROP TABLE typed; DROP TYPE state")
