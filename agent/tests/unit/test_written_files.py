"""The Compose override, which real Compose merges, and the log shipper's configuration."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ghosthands_agent.compose_override import DOCKER_CONFIG_IN_CONTAINER, GUARD_IN_CONTAINER, compose_override
from ghosthands_agent.files import GUARD
from ghosthands_agent.journal_file import line
from ghosthands_agent.log_shipper import JOURNAL, log_shipper_configuration
from ghosthands_agent.paths import Paths
from model.agent_conf import SETTINGS

ROOT = Path(__file__).resolve().parents[3]
SERVICES: dict[str, dict[str, object]] = {
    name: {"image": "i", "restart": "unless-stopped", "entrypoint": []} for name in ("api", "worker", "deploy-server")
}
SERVICES["worker"] |= {"command": ["bun", "worker.ts"], "volumes": ["/tmp/.X11-unix:/tmp/.X11-unix"]}


def merged(folder: Path, override: str) -> dict[str, dict[str, object]]:
    """The services as Compose merges the override into a file such as the image brings."""
    plugin = subprocess.run([ROOT / ".ci/compose-plugin"], check=True, capture_output=True, text=True).stdout.strip()
    (folder / "docker-compose.prod.yml").write_text(json.dumps({"services": SERVICES}))
    (folder / "docker-compose.override.yml").write_text(override)
    files = ["-f", "docker-compose.prod.yml", "-f", "docker-compose.override.yml"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    said = subprocess.run(
        [plugin, "-p", "p", *files, "config", "--format", "json"],
        check=True,
        capture_output=True,
        cwd=folder,
        env=environment,
    )
    services: dict[str, dict[str, object]] = json.loads(said.stdout)["services"]
    return services


def test_docker_starts_no_worker_by_itself_after_a_reboot(tmp_path: Path) -> None:
    services = merged(tmp_path, compose_override(SETTINGS, Paths()))
    assert {name: service["restart"] for name, service in services.items()} == dict.fromkeys(SERVICES, "on-failure")


def test_the_override_gives_a_worker_the_time_to_finish_or_release_its_job(tmp_path: Path) -> None:
    worker = merged(tmp_path, compose_override(SETTINGS, Paths()))["worker"]
    assert worker["stop_grace_period"] == "35m0s"
    unguarded = replace(SETTINGS, worker_guard="off", stop_grace_seconds=5)
    worker = merged(tmp_path, compose_override(unguarded, Paths()))["worker"]
    assert worker["stop_grace_period"] == "40s"


def test_memory_limits_replace_the_images_and_none_leaves_them_and_the_cpus(tmp_path: Path) -> None:
    for name in SERVICES:
        SERVICES[name]["deploy"] = {"resources": {"limits": {"memory": "512m", "cpus": "1.0"}}}
    limited = replace(SETTINGS, worker_memory="3g", deploy_memory="300m")
    services = merged(tmp_path, compose_override(limited, Paths()))
    found = {name: service["deploy"]["resources"]["limits"] for name, service in services.items()}  # type: ignore[index]
    assert found == {
        "worker": {"memory": str(3 << 30), "cpus": 1},
        "api": {"memory": str(512 << 20), "cpus": 1},
        "deploy-server": {"memory": str(300 << 20), "cpus": 1},
    }


def test_the_deploy_server_sees_the_directory_of_logins_and_cannot_write_there(tmp_path: Path) -> None:
    server = merged(tmp_path, compose_override(SETTINGS, Paths()))["deploy-server"]
    assert server["environment"] == {"DOCKER_CONFIG": DOCKER_CONFIG_IN_CONTAINER}
    mount = {
        "type": "bind",
        "source": "/opt/ghosthands/docker-config",
        "target": DOCKER_CONFIG_IN_CONTAINER,
        "read_only": True,
    }
    assert mount.items() <= server["volumes"][0].items()  # type: ignore[index]


def test_the_worker_runs_with_the_guard_which_it_cannot_write(tmp_path: Path) -> None:
    """`entrypoint: []` in the image's file: its entrypoint would start more workers."""
    for wanted in ("preferred", "required"):
        settings = replace(SETTINGS, worker_guard=wanted)
        worker = merged(tmp_path, compose_override(settings, Paths()))["worker"]
        launcher = "packages/ghosthands/src/workers/workerLauncher.ts"
        command: Any = worker["command"]
        assert command == ["bun", "--preload", "/run/ghosthands/worker-guard/drain_guard.ts", launcher]
        assert worker["entrypoint"] == []
        volumes: Any = worker["volumes"]
        assert [volume["target"] for volume in volumes] == ["/tmp/.X11-unix", GUARD_IN_CONTAINER]
        mount = {"source": "/opt/ghosthands/worker-guard", "target": "/run/ghosthands/worker-guard", "read_only": True}
        assert {"type": "bind", **mount}.items() <= volumes[1].items()
        assert Path(GUARD_IN_CONTAINER, GUARD.name) == Path(command[2])


def test_without_the_guard_the_worker_runs_as_the_image_says(tmp_path: Path) -> None:
    worker = merged(tmp_path, compose_override(replace(SETTINGS, worker_guard="off"), Paths()))["worker"]
    assert (worker["command"], worker["entrypoint"]) == (["bun", "worker.ts"], [])
    assert len(worker["volumes"]) == 1  # type: ignore[arg-type]


def test_docker_takes_the_agents_signal_for_a_stop_whatever_the_image_says(tmp_path: Path) -> None:
    services = merged(tmp_path, compose_override(SETTINGS, Paths()))
    assert {service["stop_signal"] for service in services.values()} == {"SIGTERM"}


def test_without_a_log_group_nothing_is_shipped() -> None:
    assert log_shipper_configuration(SETTINGS) is None


def test_boot_journal_and_containers_go_to_the_group_that_the_settings_name() -> None:
    configuration = json.loads(log_shipper_configuration(replace(SETTINGS, log_group="/wekruit/gh-worker")) or "")
    files = configuration["logs"]["logs_collected"]["files"]["collect_list"]
    assert configuration["agent"] == {"region": "us-east-1"}
    assert {file["log_group_name"] for file in files} == {"/wekruit/gh-worker"}
    assert [file["file_path"] for file in files] == [
        "/var/log/cloud-init-output.log",
        JOURNAL,
        "/var/lib/docker/containers/*/*-json.log",
    ]


def test_the_journal_has_its_own_stream_with_the_times_of_its_lines() -> None:
    configuration = json.loads(log_shipper_configuration(replace(SETTINGS, log_group="g")) or "")
    journal = configuration["logs"]["logs_collected"]["files"]["collect_list"][1]
    assert journal["log_stream_name"] == "{instance_id}-journal"
    moment = line({"__REALTIME_TIMESTAMP": "1795486526135000", "MESSAGE": "said"}).split(" ")[0]
    assert datetime.strptime(moment[:-5], journal["timestamp_format"]).isoformat() == "2026-11-24T02:15:26"


def test_the_log_shipper_uses_the_same_endpoint() -> None:
    settings = replace(SETTINGS, log_group="g", endpoint_url="http://127.0.0.1:5566")
    assert json.loads(log_shipper_configuration(settings) or "")["logs"]["endpoint_override"] == "http://127.0.0.1:5566"
