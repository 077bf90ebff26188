"""What the role runs while it prepares a host, before there is an agent.conf: a check and a pull."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .aws import Account
from .environment import INSTANCE_KEYS
from .paths import Paths
from .ports import API, DEPLOY_SERVER, WORKER
from .registry import EcrRegistry, ecr_region


def check_compose(file: Path) -> int:
    """Check that docker compose accepts the file and finds the three services in it; 0 if so, else 1.

    The `.env` that boot writes does not exist yet: one with this instance's keys and the desktop's password stands in
    for it.
    """
    with TemporaryDirectory() as project:
        Path(project, ".env").write_text("".join(f"{key}=any\n" for key in (*INSTANCE_KEYS, "VNC_PW")))
        command = ["docker", "compose", "--project-directory", project, "--file", str(file), "config", "--services"]
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode == 0 and {API, WORKER, DEPLOY_SERVER} <= set(completed.stdout.split()):
        return 0
    print(
        f"{completed.stderr}the compose file has to have the services api, worker and deploy-server, "
        "and docker compose has to accept it",
        file=sys.stderr,
    )
    return 1


def pull_image(reference: str) -> int:
    """Pull an image, with a login of its own where its registry is ECR; docker's exit code.

    Raises:
        Unavailable, Refused: ECR gives no login.
    """
    with TemporaryDirectory() as root:
        paths = Paths(Path(root))
        if (region := ecr_region(reference)) is not None:
            EcrRegistry(Account(region), paths, reference).write_login()
        environment = {**os.environ, "DOCKER_CONFIG": str(paths.docker_config)}
        command = ["docker", "pull", "--quiet", "--", reference]
        return subprocess.run(command, env=environment, check=False).returncode
