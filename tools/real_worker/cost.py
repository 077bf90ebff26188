"""What the guard costs: the worker's start, and each job."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.testing import free_port, wait_until

from tools.real_worker import measures
from tools.real_worker.database import Database, Server
from tools.real_worker.fleet import JobQueue, start_rest, worker_environment
from tools.real_worker.processes import RunFolder
from tools.real_worker.source import LAUNCHER, ROOT, Source
from tools.real_worker.worker import SLOW_JOB

GUARD = ROOT / "agent/src/ghosthands_agent/drain_guard.ts"
START_SECONDS = 60.0
ROUNDS, JOBS = 2, 15  # a queue worker looks for its next job every 2 s
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Environment:
    """What a worker outside a fleet needs."""

    run: RunFolder
    source: Source
    bun: str
    database: Database
    environment: dict[str, str]

    @classmethod
    def create(cls, run: RunFolder, source: Source, bun: str, server: Server, mode: str, name: str) -> Environment:
        """A database of this name, and its REST API."""
        database = server.create(name)
        rest = start_rest(run, name, bun, database)
        return cls(run, source, bun, database, worker_environment(database, rest, mode))

    @contextmanager
    def worker(self, guard: bool, slow_jobs: bool = False) -> Iterator[tuple[subprocess.Popen[str], int]]:
        """A worker's process and port."""
        port = free_port()
        preloads = [str(SLOW_JOB)] * slow_jobs + [str(GUARD)] * guard
        words = [word for preload in preloads for word in ("--preload", preload)]
        process = self.run.start(
            f"worker-{port}",
            [self.bun, *words, str(LAUNCHER)],
            {**os.environ, **self.environment, "GH_WORKER_PORT": str(port), "GH_WORKER_ID": f"worker-{port}"},
            directory=self.source.folder,
        )
        try:
            yield process, port
        finally:
            process.kill()
            process.wait()


def measure_starts(run: RunFolder, source: Source, bun: str, server: Server, mode: str, rounds: int) -> dict[str, Any]:
    """The seconds from the start of the process to the first status, without and with the guard, in turns."""
    environment = Environment.create(run, source, bun, server, mode, f"start_{mode}")
    wall: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds + 1):
        for guard in (False, True):
            began = time.monotonic()
            with environment.worker(guard) as (process, port):
                status = _wait_for_status(port)
                taken = time.monotonic() - began
                used = _cpu_seconds(process.pid)
            if number:  # the first of each fills caches
                wall[guard].append(taken)
                cpu[guard].append(used)
            attached = status.get("drain_guard", {}).get("attached", False)
    return {
        "trial": "start",
        "mode": mode,
        "rounds": rounds,
        "attached": attached,
        **{
            f"{name}_{'guard' if guard else 'plain'}_seconds": round(statistics.median(values[guard]), 3)
            for name, values in (("wall", wall), ("cpu", cpu))
            for guard in (False, True)
        },
        "wall_difference_ms": _difference_ms(wall),
        "cpu_difference_ms": _difference_ms(cpu),
        "load": round(os.getloadavg()[0], 1),
    }


def measure_jobs(run: RunFolder, source: Source, bun: str, server: Server, mode: str) -> dict[str, Any]:
    """One worker's seconds for each of many jobs without a browser step, from its claim to its completion."""
    name = f"jobs_{mode}"
    environment = Environment.create(run, source, bun, server, mode, name)
    queue = JobQueue(run, name, source, bun, environment.database, mode)
    taken: dict[bool, list[float]] = {False: [], True: []}
    cpu: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for guard in (False, True):
            with environment.worker(guard, slow_jobs=True) as (process, port):
                _wait_for_status(port)
                before = _cpu_seconds(process.pid)
                jobs = queue.submit([0.0] * JOBS)
                _wait_for_completion(environment.database, jobs)
                cpu[guard].append((_cpu_seconds(process.pid) - before) / JOBS)
            taken[guard] += _job_seconds(environment.database, jobs)
    return {
        "trial": "jobs",
        "mode": mode,
        "jobs": ROUNDS * JOBS,
        **{
            f"{name}_{'guard' if guard else 'plain'}_ms": round(1000 * statistics.median(values[guard]), 1)
            for name, values in (("job", taken), ("cpu", cpu))
            for guard in (False, True)
        },
        "load": round(os.getloadavg()[0], 1),
    }


def _difference_ms(values: dict[bool, list[float]]) -> float:
    return round(1000 * (statistics.median(values[True]) - statistics.median(values[False])), 1)


def _wait_for_completion(database: Database, jobs: list[str]) -> None:
    wait_until(lambda: set(measures.statuses(database, jobs).values()) == {"completed"}, 180, 0.2)


def _job_seconds(database: Database, jobs: list[str]) -> list[float]:
    rows = database.query(
        "SELECT extract(epoch FROM max(at) FILTER (WHERE status = 'completed') - min(at))::float"
        " FROM real_worker.changes WHERE job = ANY(%s::uuid[]) GROUP BY job",
        jobs,
    )
    return [seconds for (seconds,) in rows]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_for_status(port: int) -> dict[str, Any]:
    return wait_until(lambda: _status(port), START_SECONDS, 0.005)


def _status(port: int) -> dict[str, Any]:
    try:
        with _DIRECT.open(f"http://127.0.0.1:{port}/worker/status", timeout=5) as answer:
            return dict(json.load(answer))
    except OSError:
        return {}
