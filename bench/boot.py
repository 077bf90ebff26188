"""`python -m bench.boot`: from a started instance to a registered worker; the baseline is the runbook's user-data.sh.

The agent and the script boot on one process instance of a localcloud (with its metadata service, role and secret),
with this machine's Docker, the real Compose plugin, and the same registry, compose file and image. The image's layers
are already here: the runbook pulls it into its machine image, the kit bakes it.

The containers do next to nothing, so the worker's own start, which comes on top of both, is not measured. In the
agent's favour: a registry on loopback is not ECR, so it does not log in, which it would do in parallel, and wait
for only before a pull. A missed target is printed and fails nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import Unavailable
from ghosthands_agent.worker import HttpWorker
from localcloud.testing import free_port, wait_until
from model import agent_conf
from processes.fleet import GROUP, ROOT, SECRET, VALUES, Fleet
from processes.instance import AGENT

from bench.measure import NOTE, Line, table, verdict
from bench.packages import import_image, registry
from tests.fleet.cloud import BIN

SCRIPT = ROOT / "bench/user-data.sh"
RATIO, OVERHEAD_SECONDS = 0.5, 1.5
LATENCIES = (0, 80)  # ms
REGISTERED_SECONDS = 60.0
HEALTH_INTERVAL = "0.5s"  # the worker's own compose file has 15s, which would add the same time to both
STATUS = {
    "worker_id": "${GH_WORKER_ID:-made-up}",
    "ec2_instance_id": "$EC2_INSTANCE_ID",
    "active_jobs": 0,
    "is_running": True,
    "is_draining": False,
    "dispatch_mode": "queue",
}


def compose_file(health_interval: str) -> str:
    """The worker's three services as in the runbook's compose file, each a small HTTP server; JSON, which is YAML."""
    served = {
        "api": "mkdir -p /www; echo ok >/www/health; exec httpd -f -p 127.0.0.1:$$GH_API_PORT -h /www",
        "worker": f"mkdir -p /www/worker; cat >/www/worker/status <<END\n{json.dumps(STATUS).replace('$', '$$')}\nEND\n"
        "exec httpd -f -p 127.0.0.1:$$GH_WORKER_PORT -h /www",
        "deploy-server": "exec sleep 3600",
    }
    services: dict[str, Any] = {
        name: {
            "image": "${ECR_IMAGE}",
            "command": ["sh", "-c", command],
            "env_file": ".env",
            "network_mode": "host",
            "restart": "unless-stopped",
        }
        for name, command in served.items()
    }
    healthy = "wget -q -O /dev/null http://127.0.0.1:$$GH_API_PORT/health"
    services["api"]["healthcheck"] = {"test": ["CMD-SHELL", healthy], "interval": health_interval, "retries": 20}
    services["worker"]["depends_on"] = {"api": {"condition": "service_healthy"}}
    return json.dumps({"services": services}, indent=2)


class BenchFleet(Fleet):
    """A fleet whose instances do nothing by themselves."""

    program = "bench.idle_host"


class Instance:
    """One instance, on which the agent and the script boot the worker repeatedly, each time as if for the first time.

    Args:
        environment: what localcloud gave the instance.
        plugin: path of the Compose plugin.
        registry: host and port of the registry.
        digest: of the image in the registry.
    """

    def __init__(
        self, folder: Path, fleet: BenchFleet, environment: dict[str, str], plugin: Path, registry: str, digest: str
    ) -> None:
        self.id, self.environment = environment["INSTANCE_ID"], environment
        self.fleet, self.registry = fleet, registry
        self.home = folder / "home"
        self.paths = Paths(folder / "root", api_port=free_port(), worker_port=free_port())
        self.worker = HttpWorker(self.paths.worker_port)
        self.images = {"baked": f"{registry}/ghosthands@{digest}", "pulled": f"{registry}/ghosthands:latest"}
        for place in (self.home / ".docker", self.paths.docker_config):
            (place / "cli-plugins").mkdir(parents=True)
            (place / "cli-plugins/docker-compose").symlink_to(plugin)
        self.paths.config.parent.mkdir(parents=True)
        self.records: dict[str, list[dict[str, float]]] = {way: [] for way in self.images}

    @property
    def secret(self) -> str:
        """The secret's value: dotenv text, which the script uses as `.env` unchanged."""
        return "".join(f"{key}={value}\n" for key, value in self.values.items())

    @property
    def values(self) -> dict[str, str]:
        return {**VALUES, "GH_API_PORT": str(self.paths.api_port), "GH_WORKER_PORT": str(self.paths.worker_port)}

    def by_agent(self, image: str) -> float:
        """Seconds of a process of `ghosthands-agent boot`, which ends when the worker is registered."""
        # Without the guard, whose command is the real worker's.
        conf = agent_conf.conf(ENDPOINT_URL=self.fleet.cloud.url, IMAGE=self.images[image], WORKER_GUARD="off")
        self.paths.config.write_text(conf)
        agent = [sys.executable, "-P", "-m", "ghosthands_agent", "--root", str(self.paths.root)]
        ports = ["--worker-port", str(self.paths.worker_port), "--api-port", str(self.paths.api_port)]
        seconds = self._timed([*agent, *ports, "boot"], {"PYTHONPATH": str(AGENT)})
        self.records[image].append({"whole": seconds, **json.loads(self.paths.boot_record.read_text())["seconds"]})
        return seconds

    def by_script(self) -> float:
        """Seconds of the script, until the worker answers for this instance."""
        own = {
            "APP_DIR": str(self.paths.project),
            "LOG_FILE": str(self.home / "user-data.log"),
            "REGISTRY": self.registry,
        }
        return self._timed(["bash", str(SCRIPT)], {**own, "PATH": f"{self.environment['PATH']}:{BIN}"})

    def by_compose(self) -> float:
        """Seconds of the script's last step, `docker compose up -d` with its `.env`, until the worker answers."""
        dotenv = f"{self.secret}EC2_INSTANCE_ID={self.id}\nECR_IMAGE={self.images['pulled']}\n"
        return self._timed(["docker", "compose", "-f", self.paths.compose_file.name, "up", "-d"], {}, dotenv)

    def _timed(self, command: list[str], own: dict[str, str], dotenv: str = "") -> float:
        self.forget()
        if dotenv:
            self.paths.environment.write_text(dotenv)
        environment = {**self.environment, "HOME": str(self.home), **own}
        began = time.perf_counter()
        # A file, not a pipe: the script leaves a `tee` behind, and a pipe would stay open until it ends.
        with (self.home / "output").open("w") as output:
            done = subprocess.run(
                command, env=environment, cwd=self.paths.project, stdout=output, stderr=output, check=False
            )
        if done.returncode:
            raise self._error(command, f"exit {done.returncode}")
        while not self.registered():
            if time.perf_counter() - began > REGISTERED_SECONDS:
                raise self._error(command, "no worker is registered")
            time.sleep(0.01)
        return time.perf_counter() - began

    def _error(self, command: list[str], problem: str) -> RuntimeError:
        logs = [log for log in (self.home / "output", self.home / "user-data.log") if log.exists()]
        return RuntimeError("\n".join([f"{' '.join(command)}: {problem}", *(log.read_text() for log in logs)]))

    def registered(self) -> bool:
        """Whether the worker answers under this instance's id."""
        try:
            return self.worker.status().instance_id == self.id
        except Unavailable:
            return False

    def forget(self) -> None:
        """Remove every container and file that a boot made. Not timed."""
        down = ["docker", "compose", "--project-name", self.paths.project.name, "down", "--timeout", "0"]
        subprocess.run(down, env={**os.environ, "HOME": str(self.home)}, check=True, capture_output=True)
        shutil.rmtree(self.paths.run, ignore_errors=True)
        for file in (
            self.paths.environment,
            self.paths.override,
            self.paths.docker_config / "config.json",
            self.home / ".docker/config.json",
        ):
            file.unlink(missing_ok=True)


@contextmanager
def image_in(host: str, folder: Path) -> Iterator[str]:
    """The digest of an image that is in the registry, and in this machine's Docker by tag and by digest."""
    name = f"{host}/ghosthands:latest"
    import_image(folder, name)
    try:
        subprocess.run(["docker", "push", "--quiet", name], check=True, stdout=subprocess.DEVNULL)
        inspect = ["docker", "image", "inspect", "--format", "{{index .RepoDigests 0}}", name]
        yield subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.strip().rpartition("@")[2]
    finally:
        subprocess.run(["docker", "image", "rm", name], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def instance(folder: Path) -> Iterator[Instance]:
    """A running instance, with the fleet, secret, registry and image that a boot needs."""
    plugin = subprocess.run([ROOT / ".ci/compose-plugin"], check=True, capture_output=True, text=True).stdout.strip()
    fleet = BenchFleet(folder)
    with registry(folder) as host, image_in(host, folder) as digest:
        fleet.up()
        try:
            fleet.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
            (file,) = wait_until(lambda: list(folder.glob("i-*.json")))
            made = Instance(folder, fleet, json.loads(file.read_text()), Path(plugin), host, digest)
            fleet.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=made.secret)
            try:
                yield made
            finally:
                made.forget()
        finally:
            fleet.down()


def refuse_others() -> None:
    """Raises SystemExit if Docker has a Compose project with the worker's name: the bench would remove it."""
    name = Paths().project.name
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={name}"]
    if subprocess.run(command, check=True, capture_output=True, text=True).stdout:
        raise SystemExit(f"this machine's Docker has containers of the project {name}, which this bench would remove")


def measure(host: Instance, latency: int, rounds: int) -> list[Line]:
    """All ways in turn, with calls that take so many milliseconds longer. A first round warms caches and is dropped."""
    host.fleet.cloud.set_latency(latency)
    ways: dict[str, Callable[[], float]] = {"compose": host.by_compose, "script": host.by_script}
    ways |= {image: partial(host.by_agent, image) for image in host.images}
    for way in ways.values():
        way()
    for image in host.images:
        host.records[image].pop()
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            taken[name].append(way())
    script = taken["script"]
    return [
        Line("`docker compose up -d` alone, the script's last step", latency, taken["compose"]),
        Line("baseline: the runbook's user-data.sh", latency, script),
        Line("the agent's boot, image baked, to the script", latency, taken["baked"], against=script, target=RATIO),
        Line("the agent's boot, image pulled, to the script", latency, taken["pulled"], against=script, target=RATIO),
    ]


def phases(record: dict[str, float]) -> str:
    """The seconds of one boot's phases, as text."""
    return ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in record.items())


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.boot", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--health-interval",
        default=HEALTH_INTERVAL,
        help="Docker's interval of the api's health check, on which the worker's start depends"
        " (default: %(default)s; the worker's own compose file: 15s)",
    )
    given = parser.parse_args()
    subprocess.run([ROOT / ".ci/docker"], check=True)
    refuse_others()
    print(
        f"awscli {version('awscli')}, boto3 {version('boto3')}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="bench-boot-") as folder, instance(Path(folder)) as host:
        host.paths.compose_file.write_text(compose_file(given.health_interval))
        lines = [line for latency in LATENCIES for line in measure(host, latency, given.rounds)]
    print(f"\nFrom a started instance to a registered worker, api's health check every {given.health_interval}")
    print(f"{table(lines)}\n\n{NOTE}")
    for image, records in host.records.items():
        fastest = min(records, key=lambda record: record["whole"])
        print(f"the agent's fastest boot, image {image}, in seconds: {phases(fastest)}")
    overhead = min(record["whole"] - record["start"] for record in host.records["baked"])
    met = verdict(overhead <= OVERHEAD_SECONDS)
    print(f"the agent's process without `compose up`: {overhead:.2f} s (target <= {OVERHEAD_SECONDS}): {met}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
