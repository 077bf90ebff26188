"""A fleet of process instances on localcloud whose agent is this checkout's and whose worker is the real one."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import urllib.request
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.testing import free_port, wait_until
from model import agent_conf
from processes.fleet import GROUP, Fleet

from tools.real_worker import measures
from tools.real_worker.database import Database
from tools.real_worker.processes import RunFolder
from tools.real_worker.source import Source

HERE = Path(__file__).parent
SECRET_KEYS = (
    *("SUPABASE_SECRET_KEY", "SUPABASE_PUBLISHABLE_KEY", "GH_SERVICE_SECRET", "GH_ENCRYPTION_KEY", "GH_DEPLOY_SECRET"),
    *("SILICONFLOW_API_KEY", "ANTHROPIC_API_KEY"),
)
#: The limits of the agent that trials use. A job takes some seconds here and up to 2100 s in production.
LIMITS = {"DRAIN_LIMIT_SECONDS": "60", "SPOT_LIMIT_SECONDS": "30", "STOP_GRACE_SECONDS": "20"}
START_SECONDS = 240.0  # of a batch of workers: each takes 3 s of CPU
INSERT = """
    INSERT INTO gh_automation_jobs
        (id, user_id, job_type, target_url, task_description, status, valet_task_id, timeout_seconds, max_retries)
    VALUES (%s, %s, 'custom', 'https://example.com/', %s, %s, %s, 1800, 3)
"""


def worker_environment(database: Database, rest: str, mode: str) -> dict[str, str]:
    """The real worker's environment variables, which the fleet's secret holds: no browser, and nothing to pay for."""
    return {
        **dict.fromkeys(SECRET_KEYS, "not-a-secret"),
        "SUPABASE_URL": rest,
        "DATABASE_URL": database.url,
        "DATABASE_DIRECT_URL": database.url,
        "GH_ENVIRONMENT": "staging",
        "GH_BROWSER_ENGINE": "mock",
        "NODE_ENV": "production",
        "JOB_DISPATCH_MODE": mode,
    }


def start_rest(run: RunFolder, name: str, bun: str, database: Database) -> str:
    """Start the stand-in for Supabase's REST API; its URL."""
    port = free_port()
    # bun prefers PG* variables to the URL that it is given
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    run.start(f"{name}-rest", [bun, str(HERE / "rest_stub.ts"), str(port), database.url], environment)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: _answers(f"{url}/storage/v1"), 20)
    return url


class JobQueue:
    """Submits jobs as VALET (queue mode) or the worker's own API (legacy) does."""

    def __init__(self, run: RunFolder, name: str, source: Source, bun: str, database: Database, mode: str) -> None:
        self._database, self._mode = database, mode
        if mode == "queue":
            command = [bun, str(HERE / "enqueue.ts"), str(source.folder), database.url]
            self._sender = run.start(f"{name}-enqueue", command, pipes=True)

    def submit(self, seconds: Iterable[float], review: bool = False) -> list[str]:
        """Submit jobs of so many seconds; their ids. `review`: they then wait for a person."""
        jobs = []
        for duration in seconds:
            job, user, task = (str(uuid.uuid4()) for _ in range(3))
            description = f"job {job} sleep {duration:.1f}" + (" review" if review else "")
            status = "queued" if self._mode == "queue" else "pending"
            self._database.query(INSERT, job, user, description, status, task)
            if self._mode == "queue":
                self._send({"job": job, "task": task, "user": user})
            jobs.append(job)
        return jobs

    def _send(self, job: Mapping[str, str]) -> None:
        assert self._sender.stdin
        assert self._sender.stdout
        print(json.dumps(job), file=self._sender.stdin, flush=True)
        if self._sender.stdout.readline().strip() != "sent":
            raise RuntimeError("the job was not sent to pg-boss: see the log of enqueue")


@dataclass(frozen=True)
class WorkerFacts:
    """What one worker says of its guard: the worker's own status, and the record of the boot that started it."""

    attached: bool
    boot: str


class RealFleet(Fleet):
    """A fleet with its database and its queue.

    Args:
        mode: `queue` or `legacy`.
        worker_guard: WORKER_GUARD of agent.conf.
    """

    program = "tools.real_worker.instance"

    def __init__(
        self, run: RunFolder, source: Source, bun: str, database: Database, mode: str, worker_guard: str, name: str
    ) -> None:
        folder = run.path / name
        folder.mkdir()
        self.mode, self.worker_guard, self.database, self.source = mode, worker_guard, database, source
        self.gone = set[str]()  # instances that were told to go
        super().__init__(folder, mode=mode, conf=self.conf())
        command = [sys.executable, "-S", str(HERE / "worker.py"), str(folder), bun]
        (folder / "worker.json").write_text(json.dumps({"worker": command, "cwd": str(source.folder)}))
        self.rest = start_rest(run, name, bun, database)
        self.queue = JobQueue(run, name, source, bun, database, mode)

    def conf(self, **changes: str) -> dict[str, str]:
        """The keys of agent.conf that differ from its usual ones."""
        return LIMITS | {"WORKER_GUARD": self.worker_guard} | changes

    def up(self) -> None:
        """Start the cloud, and note where it answers for whoever has to stop it."""
        super().up()
        (self.folder / "cloud.url").write_text(self.cloud.url)

    def create(self) -> None:
        """Create everything in the cloud, with the real worker's secret."""
        super().create()
        self.rotate_secret("not-a-secret")

    def rotate_secret(self, key: str) -> None:
        """Write the secret with this value of a key that the worker does not use here."""
        environment = worker_environment(self.database, self.rest, self.mode) | {"ANTHROPIC_API_KEY": key}
        self.client("secretsmanager").put_secret_value(
            SecretId=agent_conf.VALUES["SECRET_ID"], SecretString=json.dumps(environment)
        )

    def set_conf(self, **changes: str) -> None:
        """Give instances that are launched from now on other values of agent.conf."""
        text = (self.folder / "agent.conf").read_text()
        values = dict(line.split("=", 1) for line in text.splitlines()) | self.conf(**changes)
        (self.folder / "agent.conf").write_text("".join(f"{key}={value}\n" for key, value in values.items()))

    # --- instances ----------------------------------------------------------------------------------------------------

    def in_service(self) -> list[str]:
        """The group's instances in service. The group notices later that one of `gone` is not."""
        found = self.instances().items()
        return sorted(id for id, one in found if one["LifecycleState"] == "InService" and id not in self.gone)

    def ensure(self, count: int) -> list[str]:
        """Have at least so many instances in service, wait for their workers, and return all of them."""
        if self.cloud.group(GROUP)["DesiredCapacity"] < count:
            self.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=count)
        wait_until(lambda: len(self.in_service()) >= count, START_SECONDS, 0.2)
        ready = self.in_service()
        self.wait_for_workers(ready)
        return ready

    def wait_for_workers(self, instances: Collection[str]) -> None:
        """Wait until boot has completed on these instances and their agent watches."""
        texts = ("event=boot_completed", "event=watch_began")
        wait_until(lambda: all(text in log for log in map(self.log, instances) for text in texts), START_SECONDS, 0.3)

    def worker_facts(self, instance: str) -> WorkerFacts:
        """What its worker says of its guard."""
        report = _get(self._worker_url(instance, "status")).get("drain_guard", {})
        boot = self._boot_record(instance).get("guard", "not recorded")
        return WorkerFacts(attached=report.get("attached") is True, boot=str(boot))

    def failed_boot(self) -> dict[str, Any]:
        """Launch an instance whose worker does not start: what boot records of it when it gives up."""
        self.set_conf(BOOT_TIMEOUT_SECONDS="60")
        self.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
        (instance,) = wait_until(lambda: list(self.instances()), 30)
        self.wait_for_log(instance, "event=boot_failed")
        record = self._boot_record(instance)
        return {"boot_guard": record.get("guard", "not recorded"), "boot": record["state"], "reason": record["reason"]}

    def wait_for_statuses(self, jobs: Collection[str], wanted: Collection[str], timeout: float) -> None:
        """Wait until every job has one of these statuses, at most so many seconds."""
        with suppress(TimeoutError):
            wait_until(lambda: set(measures.statuses(self.database, jobs).values()) <= set(wanted), timeout, 0.3)

    def _boot_record(self, instance: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / instance / "root/run/ghosthands/boot.json").read_text()))

    def worker_answers(self, instance: str) -> bool:
        """Whether its worker answers requests."""
        return _answers(self._worker_url(instance, "status"))

    def worker_has_exited(self, instance: str) -> bool:
        """Whether its worker's process has exited."""
        return (self.folder / instance / "exit_code").exists()

    def worker_exit_time(self, instance: str) -> float:
        """When its worker's process exited, in seconds since 1970; infinity if it has not."""
        file = self.folder / instance / "exited"
        return float(file.read_text()) if file.exists() else float("inf")

    def drained_cleanly(self, instance: str) -> bool:
        """Whether its agent says that its drain cut off no job."""
        ended = self.steps(instance, "drain_ended")
        return bool(ended) and ended[-1].get("clean", "").lower() == "true"

    def deploy(self, instance: str, *, steps: Sequence[str] = ("drain", "stop", "create", "start")) -> None:
        """As deploy-server does: it drains the worker before it stops it."""
        if "drain" in steps:
            with suppress(OSError):  # it has exited
                _DIRECT.open(urllib.request.Request(self._worker_url(instance, "drain"), b""), timeout=5).close()
        super().deploy(instance, steps=steps)

    def _worker_url(self, instance: str, verb: str) -> str:
        port = json.loads((self.folder / instance / "instance.json").read_text())["port"]
        return f"http://127.0.0.1:{port}/worker/{verb}"

    def shut_down(self, instance: str) -> None:
        """Shut its operating system down from inside."""
        os.kill(int((self.folder / instance).with_suffix(".pid").read_text()), signal.SIGUSR1)

    def send_spot_notice(self, instance: str) -> None:
        """EC2 takes it in two minutes."""
        self.cloud.control("imds", instance=instance, spot="terminate")

    def steps(self, instance: str, event: str) -> list[dict[str, str]]:
        """The fields of each line of its agent's log with this event."""
        lines = (line.split() for line in self.log(instance).splitlines() if f"event={event} " in f"{line} ")
        return [dict(word.split("=", 1) for word in words if "=" in word) for words in lines]

    def kill_watch_if_it_runs(self, instance: str) -> bool:
        """kill -9 of its agent's `watch`; whether there was one."""
        with suppress(ProcessLookupError, FileNotFoundError):
            self.kill_watch(instance)
            return True
        return False


def durations(rng: random.Random, count: int, low: float, high: float) -> list[float]:
    """Seconds that so many jobs take."""
    return [rng.uniform(low, high) for _ in range(count)]


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _get(url: str) -> dict[str, Any]:
    with _DIRECT.open(url, timeout=5) as answer:
        return dict(json.load(answer))


def _answers(url: str) -> bool:
    try:
        return bool(_get(url))
    except OSError:
        return False
