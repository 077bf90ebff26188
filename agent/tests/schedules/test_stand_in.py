"""The stand-in worker as a real process: its HTTP server, its signals, its exit codes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from schedules.ledger import Job, judge
from schedules.shared_ledger import SharedLedger

PACE = 20.0
ROOT = Path(__file__).parents[3]


class Process:
    """A stand-in worker, twenty times as fast as the real one."""

    def __init__(self, folder: Path, mode: str) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.ledger = SharedLedger(folder / "ledger")
        command = [sys.executable, "-m", "schedules.stand_in", "--ledger", str(folder / "ledger"), "--pace", str(PACE)]
        environment = os.environ | {
            "GH_WORKER_ID": "i-1",
            "EC2_INSTANCE_ID": "i-1",
            "GH_WORKER_PORT": str(self.port),
            "JOB_DISPATCH_MODE": mode,
        }
        environment.pop("AWS_ASG_NAME", None)
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment)
        until(lambda: self.ask("GET", "/worker/status")[0] == 200)

    def ask(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body; 0 while nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except ConnectionError:
            return 0, {}
        finally:
            connection.close()

    @property
    def busy(self) -> bool:
        return bool(self.ask("GET", "/worker/status")[1].get("active_jobs"))


def until(happens: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture(params=["legacy", "queue"])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    started = Process(tmp_path, request.param)
    yield started
    started.process.kill()
    started.process.wait()


def test_it_works_off_the_queue_and_says_what_the_real_one_says(worker: Process) -> None:
    status = worker.ask("GET", "/worker/status")[1]
    assert status | {"uptime_ms": 0, "dispatch_mode": ""} == {
        "worker_id": "i-1",
        "ec2_instance_id": "i-1",
        "ec2_ip": "unknown",
        "active_jobs": 0,
        "max_concurrent": 1,
        "is_running": True,
        "is_draining": False,
        "dispatch_mode": "",
        "asg_name": None,
        "uptime_ms": 0,
    }
    assert worker.ask("GET", "/worker/health")[0] == 200
    assert worker.ask("GET", "/elsewhere")[0] == 404
    worker.ledger.put(Job("a", 0.5), time.time())
    until(lambda: worker.busy)
    assert worker.ask("GET", "/worker/health")[0] == 503
    until(lambda: not worker.busy)
    assert [entry.what for entry in worker.ledger.entries()] == ["put", "take", "finish"]


def test_an_idle_one_exits_0_at_sigterm_and_is_offline(worker: Process) -> None:
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(10) == 0
    assert set(worker.ledger.registered().values()) == {"offline"}


def test_a_busy_one_exits_1_at_the_second_signal_and_hands_its_job_back(worker: Process) -> None:
    worker.ledger.put(Job("a", 600), time.time())
    until(lambda: worker.busy)
    worker.process.send_signal(signal.SIGTERM)
    until(lambda: worker.ask("GET", "/worker/status")[1]["is_draining"] is True)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(10) == 1
    assert [entry.what for entry in worker.ledger.entries()] == ["put", "take", "release", "leave"]


def test_one_signal_costs_a_queue_worker_its_job_and_a_legacy_worker_hands_it_back(worker: Process) -> None:
    mode = worker.ask("GET", "/worker/status")[1]["dispatch_mode"]
    worker.ledger.put(Job("a", 600), time.time())
    until(lambda: worker.busy)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(20) == 0
    assert judge(worker.ledger.entries(), time.time()).lost == ({} if mode == "legacy" else {"a": "SIGTERM"})


def test_a_legacy_drain_hands_the_job_back_while_it_runs_and_a_queue_drain_stops_nothing(worker: Process) -> None:
    worker.ledger.put(Job("a", 600), time.time())
    until(lambda: worker.busy)
    answer = worker.ask("POST", "/worker/drain")
    assert (answer[0], answer[1]["active_jobs"]) == (200, 1)
    if worker.ask("GET", "/worker/status")[1]["dispatch_mode"] == "legacy":
        until(lambda: worker.ledger.entries()[-1].what == "release")
        assert worker.busy
    else:
        time.sleep(30 / PACE + 0.5)
        assert [entry.what for entry in worker.ledger.entries()] == ["put", "take"]
