"""A new login reaches a running container: the directory is mounted, not the file."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ghosthands_agent.aws import Account
from ghosthands_agent.paths import Paths
from ghosthands_agent.registry import EcrRegistry
from unit.fake_http import Reply, Request, fake_server
from unit.tasks import result_of

pytestmark = pytest.mark.docker

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands:1"


@pytest.fixture
def container(paths: Paths, image: str) -> Iterator[str]:
    """A container like the deploy server: uid 1000, with the directory of logins mounted read-only."""
    paths.docker_config.chmod(0o755)
    mount = f"type=bind,source={paths.docker_config},target=/logins,readonly"
    command = [
        "docker",
        "run",
        "--detach",
        "--rm",
        "--user",
        "1000:1000",
        "--network",
        "none",
        "--mount",
        mount,
        image,
        "/bin/busybox",
        "sleep",
        "600",
    ]
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    yield made
    subprocess.run(["docker", "rm", "--force", made], check=True, stdout=subprocess.DEVNULL)


def seen(container: str) -> str:
    """The login as the container's user reads it."""
    command = ["docker", "exec", container, "/bin/busybox", "cat", "/logins/config.json"]
    return str(
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["auths"][
            IMAGE.partition("/")[0]
        ]["auth"]
    )


def test_a_running_container_sees_each_fresh_login(
    paths: Paths, container: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key-for-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-for-tests")
    give_to_uid_1000(paths.docker_config)
    tokens = [base64.b64encode(f"AWS:password-{number}".encode()).decode() for number in range(3)]
    left = iter(tokens)

    def token(_: Request) -> Reply:
        return Reply(body=json.dumps({"authorizationData": [{"authorizationToken": next(left)}]}))

    with fake_server(token) as ecr:
        registry = EcrRegistry(Account("us-east-1", ecr.url), paths, IMAGE)
        for expected in tokens:
            result_of(registry.login())
            assert seen(container) == expected


def give_to_uid_1000(folder: Path) -> None:
    """Make the container's user the owner, as the role does."""
    os.chown(folder, 1000, 1000)
    folder.chmod(0o700)
