"""`python -m bench.boot`: from a started instance to a registered worker, by the agent and by the runbook's own user-data.sh.

Both on one process instance of a localcloud (its metadata service, its role, the secret), with this machine's Docker, the real Compose plugin, one
registry, one compose file and one image, whose layers are here already (the runbook pulls it into its machine image, the kit bakes it). Rounds are
interleaved. The containers do next to nothing, so what is measured is what stands around the worker's own start; that comes on top of both sides.
One thing the agent is spared: a registry on loopback is no ECR, so it asks for no login, which it would do meanwhile, and wait for only before a pull.
A missed aim is told, not failed; only what breaks ends with an error.
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
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import Unavailable
from ghosthands_agent.worker import HttpWorker
from processes.fleet import GROUP, HOOK, REGION, ROOT, SECRET, VALUES, Fleet, eventually
from processes.machine import AGENT, free_port

from bench.measure import Line, table
from bench.packages import import_image, registry
from tests.fleet.cloud import BIN

SCRIPT = ROOT / "bench/user-data.sh"
RATIO, OVERHEAD_SECONDS = 0.5, 1.5
LATENCIES = (0, 80)  # ms
REGISTERED_SECONDS = 60.0
HEALTH_INTERVAL = "0.5s"  # the worker's own file says 15s: as much longer for either side
STATUS = {
    "worker_id": "${GH_WORKER_ID:-made-up}",
    "ec2_instance_id": "$EC2_INSTANCE_ID",
    "active_jobs": 0,
    "is_running": True,
    "is_draining": False,
    "dispatch_mode": "queue",
}


def compose_file(health_interval: str) -> str:
    """The worker's three services as the runbook's compose file has them, each a small HTTP server. JSON, which is YAML."""
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
    """Its instances do nothing of themselves."""

    machine = "bench.idle_host"

    def latency(self, milliseconds: int) -> None:
        """Every call takes so much longer from now on."""
        body, kind = json.dumps({"ms": milliseconds}).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/localcloud/latency", body, kind)
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()


class Instance:
    """One instance, on which either side boots the worker again and again, each time as if for the first time.

    Args:
        told: the environment that localcloud gave it.
        plugin: the Compose plugin.
        registry: host and port of the registry.
        digest: of the image in it.
    """

    def __init__(
        self, folder: Path, fleet: BenchFleet, told: dict[str, str], plugin: Path, registry: str, digest: str
    ) -> None:
        self.id, self.told, self.fleet, self.registry = told["INSTANCE_ID"], told, fleet, registry
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
        """dotenv text, which the script takes for the `.env` itself."""
        return "".join(f"{key}={value}\n" for key, value in self.values.items())

    @property
    def values(self) -> dict[str, str]:
        return {**VALUES, "GH_API_PORT": str(self.paths.api_port), "GH_WORKER_PORT": str(self.paths.worker_port)}

    def by_agent(self, image: str) -> float:
        """Seconds of `ghosthands-agent boot`, from the start of its process to the end, which says that the worker is registered."""
        lines = [
            f"REGION={REGION}",
            f"GROUP={GROUP}",
            f"TERMINATION_HOOK={HOOK}",
            f"SECRET_ID={SECRET}",
            f"ENDPOINT_URL={self.fleet.url}",
        ]
        self.paths.config.write_text("\n".join(["SCHEMA=1", *lines, f"IMAGE={self.images[image]}\n"]))
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
        return self._timed(["bash", str(SCRIPT)], {**own, "PATH": f"{self.told['PATH']}:{BIN}"})

    def by_compose(self) -> float:
        """Seconds of the script's last step alone: `docker compose up -d`, the `.env` being there, until the worker answers."""
        dotenv = f"{self.secret}EC2_INSTANCE_ID={self.id}\nECR_IMAGE={self.images['pulled']}\n"
        return self._timed(["docker", "compose", "-f", self.paths.compose_file.name, "up", "-d"], {}, dotenv)

    def _timed(self, command: list[str], own: dict[str, str], dotenv: str = "") -> float:
        self.forget()
        if dotenv:
            self.paths.environment.write_text(dotenv)
        environment = {**self.told, "HOME": str(self.home), **own}
        began = time.perf_counter()
        # Not into pipes: the script leaves a tee behind, whose end nobody is to wait for.
        with (self.home / "output").open("w") as output:
            done = subprocess.run(
                command, env=environment, cwd=self.paths.project, stdout=output, stderr=output, check=False
            )
        if done.returncode:
            raise self._broken(command, f"exit {done.returncode}")
        while not self.registered():
            if time.perf_counter() - began > REGISTERED_SECONDS:
                raise self._broken(command, "no worker is registered")
            time.sleep(0.01)
        return time.perf_counter() - began

    def _broken(self, command: list[str], how: str) -> RuntimeError:
        said = "\n".join(log.read_text() for log in (self.home / "output", self.home / "user-data.log") if log.exists())
        return RuntimeError(f"{' '.join(command)}: {how}\n{said}")

    def registered(self) -> bool:
        """Whether the worker answers under this instance's id."""
        try:
            return self.worker.status().instance_id == self.id
        except Unavailable:
            return False

    def forget(self) -> None:
        """As before the first boot: no container, no file of either side. Not timed."""
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
    """The image's digest; it is in the registry, and here by tag and by digest."""
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
    """A running instance, with everything that a boot needs around it."""
    plugin = subprocess.run([ROOT / ".ci/compose-plugin"], check=True, capture_output=True, text=True).stdout.strip()
    fleet = BenchFleet(folder)
    with registry(folder) as host, image_in(host, folder) as digest:
        fleet.up()
        try:
            fleet.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
            (told,) = eventually(lambda: list(folder.glob("i-*.json")))
            made = Instance(folder, fleet, json.loads(told.read_text()), Path(plugin), host, digest)
            fleet.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=made.secret)
            try:
                yield made
            finally:
                made.forget()
        finally:
            fleet.down()


def refuse_others() -> None:
    """Raises SystemExit where Docker holds a project of the name that the agent and the runbook give theirs: it would be taken down."""
    name = Paths().project.name
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={name}"]
    if subprocess.run(command, check=True, capture_output=True, text=True).stdout:
        raise SystemExit(f"this machine's Docker has containers of a project {name}, which this bench would remove")


def measure(host: Instance, latency: int, rounds: int) -> list[Line]:
    """All ways in turn, with calls that take so many milliseconds longer. What happens first, for the caches of each, is not counted."""
    host.fleet.latency(latency)
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
        Line("the runbook's user-data.sh", latency, script),
        Line("the agent's boot, image baked, to the script", latency, taken["baked"], against=script, aim=RATIO),
        Line("the agent's boot, image pulled, to the script", latency, taken["pulled"], against=script, aim=RATIO),
    ]


def phases(record: dict[str, float]) -> str:
    """One boot's seconds."""
    return ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in record.items())


def main() -> int:
    """Measure, tell."""
    parser = argparse.ArgumentParser(prog="python -m bench.boot", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--health-interval",
        default=HEALTH_INTERVAL,
        help="how often Docker asks for the api's health, for which the worker's start waits (default: %(default)s; the worker's own file: 15s)",
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
    print(
        f"\nFrom a started instance to a registered worker, api's health asked for every {given.health_interval}\n{table(lines)}\n"
    )
    print("min and median over the rounds, in which the ways take turns; ratio: of the minima.")
    for image, records in host.records.items():
        print(
            f"the agent's quickest boot, image {image}, seconds: {phases(min(records, key=lambda record: record['whole']))}"
        )
    beyond = min(record["whole"] - record["start"] for record in host.records["baked"])
    met = "met" if beyond <= OVERHEAD_SECONDS else "MISSED"
    print(
        f"the agent beyond its own `compose up`, its process's start and end included: {beyond:.2f} s; at most {OVERHEAD_SECONDS}: {met}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
