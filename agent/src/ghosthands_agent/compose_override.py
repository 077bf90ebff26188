"""docker-compose.override.yml: what the agent adds to the machine image's compose file. Pure."""

from __future__ import annotations

import json

from .ports import API, DEPLOY_SERVER, WORKER
from .settings import Settings
from .termination import OTHERS_GRACE_SECONDS, worker_stop_timeout

DOCKER_CONFIG_IN_CONTAINER = "/run/ghosthands/docker-config"


def compose_override(settings: Settings, docker_config: str) -> str:
    """The override's text: JSON, which is YAML.

    :param docker_config: the host's directory with docker's logins. The directory is mounted rather than the file,
        since the container would keep the old file after a rename.
    """
    services = {name: _service(OTHERS_GRACE_SECONDS) for name in (API, DEPLOY_SERVER)}
    services[WORKER] = _service(worker_stop_timeout(settings))
    services[DEPLOY_SERVER] |= {
        "environment": {"DOCKER_CONFIG": DOCKER_CONFIG_IN_CONTAINER},
        "volumes": [{"type": "bind", "source": docker_config, "target": DOCKER_CONFIG_IN_CONTAINER, "read_only": True}],
    }
    return json.dumps({"services": services}, indent=2, sort_keys=True) + "\n"


def _service(grace: float) -> dict[str, object]:
    # on-failure: after a reboot docker must not start a worker before boot has checked that the instance stays.
    # stop_signal: docker starts a process again that exits after any other signal, whatever the image says.
    return {"restart": "on-failure", "stop_grace_period": f"{grace:.0f}s", "stop_signal": "SIGTERM"}
