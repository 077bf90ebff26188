"""The client of the worker's HTTP server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ghosthands_agent.ports import Guard, Unavailable, WorkerStatus
from ghosthands_agent.worker import HttpWorker, api_health
from unit.fake_http import Reply, fake_server

STATUS: dict[str, Any] = {
    "worker_id": "i-0123456789abcdef0",
    "ec2_instance_id": "i-0123456789abcdef0",
    "ec2_ip": "203.0.113.7",
    "active_jobs": 1,
    "max_concurrent": 1,
    "is_running": True,
    "is_draining": False,
    "dispatch_mode": "queue",
    "asg_name": "gh-worker-asg",
    "uptime_ms": 12345,
}


def test_a_status_is_read() -> None:
    with fake_server({"GET /worker/status": Reply(body=json.dumps(STATUS))}) as server:
        status = HttpWorker(server.server_port).status()
    assert status == WorkerStatus(
        STATUS["worker_id"], STATUS["ec2_instance_id"], 1, True, False, "queue", uptime=12.345
    )
    assert status.busy


@pytest.mark.parametrize("uptime", [None, "12345", True, [1]])
def test_an_uptime_of_another_shape_is_not_known(uptime: object) -> None:
    with fake_server({"GET /worker/status": Reply(body=json.dumps({**STATUS, "uptime_ms": uptime}))}) as server:
        assert HttpWorker(server.server_port).status().uptime is None


@pytest.mark.parametrize(
    "change",
    [
        {"active_jobs": "1"},
        {"active_jobs": -1},
        {"active_jobs": 1.5},
        {"active_jobs": True},
        {"active_jobs": None},
        {"is_draining": 0},
        {"is_running": "yes"},
        {"dispatch_mode": "other"},
        {"ec2_instance_id": None},
    ],
    ids=str,
)
def test_a_status_of_another_shape_is_unavailable(change: dict[str, Any]) -> None:
    """An unknown number of jobs must not be taken for 0."""
    with (
        fake_server({"GET /worker/status": Reply(body=json.dumps({**STATUS, **change}))}) as server,
        pytest.raises(Unavailable, match="wrong shape"),
    ):
        HttpWorker(server.server_port).status()


GUARD: dict[str, Any] = {
    "version": 1,
    "attached": True,
    "problems": [],
    "job": "b3c1d7e0-0000-4000-8000-000000000001",
    "job_status": "awaiting_review",
}


def status_with_guard(report: object) -> WorkerStatus:
    body = json.dumps({**STATUS, "drain_guard": report})
    with fake_server({"GET /worker/status": Reply(body=body)}) as server:
        return HttpWorker(server.server_port).status()


def test_the_guards_report_is_read_from_the_status() -> None:
    status = status_with_guard(GUARD)
    assert status.guard == Guard(True, (), GUARD["job"], "awaiting_review")
    assert (status.guarded, status.guard_absence, status.job) == (True, "", GUARD["job"])


def test_a_guard_that_does_not_fit_names_its_problems() -> None:
    problems = ["JobPoller has no stop().", "PgBossConsumer has no handleJob()."]
    status = status_with_guard({"version": 1, "attached": False, "problems": problems})
    assert (status.guarded, status.guard_absence) == (False, " ".join(problems))


@pytest.mark.parametrize(
    ("report", "named"),
    [
        (None, "version"),
        ([], "version"),
        ({}, "version"),
        ({**GUARD, "version": 2}, "version"),
        ({**GUARD, "attached": 1}, "attached"),
        ({**GUARD, "problems": "none"}, "problems"),
        ({**GUARD, "problems": [1]}, "problems"),
        ({**GUARD, "job": 7}, "job"),
        ({**GUARD, "job_status": []}, "job_status"),
    ],
    ids=str,
)
def test_a_report_of_another_shape_counts_as_no_guard_and_the_status_is_still_read(report: object, named: str) -> None:
    status = status_with_guard(report)
    assert (status.busy, status.guarded, status.job) == (True, False, None)
    assert status.guard_absence == f"drain_guard in the worker's status has an unexpected form ({named})."


def test_a_status_without_a_report_has_no_guard() -> None:
    with fake_server({"GET /worker/status": Reply(body=json.dumps(STATUS))}) as server:
        status = HttpWorker(server.server_port).status()
    assert (status.guarded, status.guard_absence) == (False, "the worker's status has no drain_guard")


@pytest.mark.parametrize("body", ["", "canary", "[]", "null", "{}", "[" * 5000])
def test_a_malformed_status_is_not_quoted(body: str) -> None:
    with fake_server({"GET /worker/status": Reply(body=body)}) as server:
        with pytest.raises(Unavailable) as caught:
            HttpWorker(server.server_port).status()
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_a_status_other_than_2xx_is_unavailable(status: int) -> None:
    with fake_server({"GET /worker/status": Reply(status, json.dumps(STATUS))}) as server:
        with pytest.raises(Unavailable) as caught:
            HttpWorker(server.server_port).status()
        assert str(caught.value) == f"worker:/worker/status: {status}"


def test_drain_is_posted() -> None:
    with fake_server({"POST /worker/drain": Reply(202)}) as server:
        HttpWorker(server.server_port).drain()
        assert server.calls == ["POST /worker/drain"]


def test_a_worker_that_is_not_there_is_unavailable() -> None:
    with fake_server({}) as server:
        port = server.server_port
    with pytest.raises(Unavailable, match="ConnectionRefusedError"):
        HttpWorker(port).status()


def test_the_api_is_healthy_if_it_answers_200() -> None:
    with fake_server({"GET /health": Reply()}) as server:
        api_health(server.server_port)
    with fake_server({"GET /health": Reply(503)}) as server, pytest.raises(Unavailable, match="api:/health: 503"):
        api_health(server.server_port)
