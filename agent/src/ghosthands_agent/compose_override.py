"""docker-compose.override.yml: what the agent adds to the machine image's compose file. Pure."""

from __future__ import annotations

import json
from pathlib import Path

from .paths import Paths
from .ports import API, DEPLOY_SERVER, WORKER
from .settings import Settings
from .termination import OTHERS_GRACE_SECONDS, worker_stop_timeout

DOCKER_CONFIG_IN_CONTAINER = "/run/ghosthands/docker-config"
GUARD_IN_CONTAINER = "/run/ghosthands/worker-guard"
LAUNCHER = "packages/ghosthands/src/workers/workerLauncher.ts"


def compose_override(settings: Settings, paths: Paths) -> str:
    """The override's text: JSON, which is YAML."""
    services = {name: _service(OTHERS_GRACE_SECONDS) for name in (API, DEPLOY_SERVER)}
    services[WORKER] = _service(worker_stop_timeout(settings))
    services[DEPLOY_SERVER] |= {
        "environment": {"DOCKER_CONFIG": DOCKER_CONFIG_IN_CONTAINER},
        "volumes": [_mount(paths.docker_config, DOCKER_CONFIG_IN_CONTAINER)],
    }
    if settings.worker_guard != "off":
        guard = f"{GUARD_IN_CONTAINER}/{paths.worker_guard.name}"
        services[WORKER] |= {
            "command": ["bun", "--preload", guard, LAUNCHER],
            "volumes": [_mount(paths.worker_guard.parent, GUARD_IN_CONTAINER)],
        }
    limits = {WORKER: settings.worker_memory, API: settings.api_memory, DEPLOY_SERVER: settings.deploy_memory}
    for name, memory in limits.items():
        if memory is not None:
            services[name]["deploy"] = {"resources": {"limits": {"memory": memory}}}
    return json.dumps({"services": services}, indent=2, sort_keys=True) + "\n"


def _mount(folder: Path, target: str) -> dict[str, object]:
    """A directory of the host. Not a file: the container would keep the old one after a rename."""
    return {"type": "bind", "source": str(folder), "target": target, "read_only": True}


def _service(grace: float) -> dict[str, object]:
    # on-failure: after a reboot docker must not start a worker before boot has checked that the instance stays.
    # stop_signal: docker starts a process again that exits after any other signal, whatever the image says.
    return {"restart": "on-failure", "stop_grace_period": f"{grace:.0f}s", "stop_signal": "SIGTERM"}
