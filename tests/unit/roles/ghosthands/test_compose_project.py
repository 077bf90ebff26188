"""The compose file as the role writes it: what the agent expects, and what the worker's owners run in production."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ghosthands_agent.paths import API_PORT, DEPLOY_PORT, WORKER_PORT
from ghosthands_agent.ports import API, DEPLOY_SERVER, WORKER

ROLE = Path(__file__).parents[4] / "roles/ghosthands"
FACTS = {"getent_group": {"docker": ["x", "999", ""]}}
MASKED = "/dockerstartup/custom_startup.sh"  # starts an api and a worker in each container with a desktop


def services(**options: Any) -> dict[str, Any]:
    """The compose file's services with the role's defaults and these options."""
    # As Ansible's templates are: an unknown variable is an error, and a block's line leaves no line.
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((ROLE / "templates/docker-compose.prod.yml.j2").read_text())
    variables = {
        **yaml.safe_load((ROLE / "defaults/main.yml").read_text()),
        **yaml.safe_load((ROLE / "vars/main.yml").read_text()),
        "ansible_managed": "Ansible managed",
        "ansible_facts": FACTS,
        **options,
    }
    loaded: dict[str, Any] = yaml.safe_load(template.render(variables))["services"]
    return loaded


def limits(service: dict[str, Any]) -> tuple[str, str]:
    found = service["deploy"]["resources"]["limits"]
    return found["memory"], found["cpus"]


def test_it_has_the_agents_services_on_its_ports() -> None:
    found = services()
    assert found.keys() == {API, WORKER, DEPLOY_SERVER}
    assert found[API]["environment"]["GH_API_PORT"] == str(API_PORT)
    assert found[WORKER]["environment"]["GH_WORKER_PORT"] == str(WORKER_PORT)
    assert found[DEPLOY_SERVER]["environment"]["GH_DEPLOY_PORT"] == str(DEPLOY_PORT)
    assert "healthcheck" not in found[WORKER]
    assert {service["network_mode"] for service in found.values()} == {"host"}


def test_no_service_runs_the_images_entrypoint_which_would_start_a_second_worker() -> None:
    assert [service["entrypoint"] for service in services().values()] == [[], [], []]


def test_the_worker_is_started_by_its_launcher_with_one_job_at_a_time_and_a_visible_browser() -> None:
    worker = services(ghosthands_display=7)[WORKER]
    assert worker["command"] == ["bun", "packages/ghosthands/src/workers/workerLauncher.ts"]
    assert worker["environment"]["MAX_CONCURRENT_JOBS"] == "1"
    assert worker["environment"]["GH_HEADLESS"] == "${GH_HEADLESS:-false}"
    assert worker["environment"]["DISPLAY"] == ":7"
    assert worker["volumes"] == ["/tmp/.X11-unix:/tmp/.X11-unix"]


def test_every_service_finds_the_images_certificates() -> None:
    for service in services().values():
        assert service["environment"]["SSL_CERT_FILE"] == "/etc/ssl/certs/ca-certificates.crt"
        assert service["environment"]["SSL_CERT_DIR"] == "/etc/ssl/certs"
        assert service["environment"]["NODE_ENV"] == "production"


def test_the_default_limits_are_those_of_upstreams_production() -> None:
    assert {name: limits(service) for name, service in services().items()} == {
        API: ("512m", "1.0"),
        WORKER: ("2g", "2.0"),
        DEPLOY_SERVER: ("256m", "0.5"),
    }


@pytest.mark.parametrize("name", [API, WORKER, DEPLOY_SERVER])
def test_each_services_limits_are_options_of_their_own(name: str) -> None:
    prefix = f"ghosthands_{name.replace('-', '_')}"
    before = services()
    changed = services(**{f"{prefix}_memory": "3g", f"{prefix}_cpus": 1.5})
    assert limits(changed[name]) == ("3g", "1.5")
    assert {other for other in before if changed[other] != before[other]} == {name}


def test_a_desktop_is_the_images_own_with_a_password_and_without_its_hidden_worker() -> None:
    found = services(ghosthands_vnc=True)
    worker = found[WORKER]
    assert (worker["entrypoint"], found[API]["entrypoint"], found[DEPLOY_SERVER]["entrypoint"]) == (None, [], [])
    assert worker["volumes"] == [f"/dev/null:{MASKED}:ro"]
    assert worker["environment"]["VNC_PW"].startswith("${VNC_PW:?")
    assert worker["environment"]["KASM_SESSION_URL"] == "${KASM_SESSION_URL:-https://${EC2_IP:?}:6901}"
    assert "DISPLAY" not in worker["environment"]
