"""The verbs that the role runs before there is an agent.conf, with a script as docker."""

from __future__ import annotations

from pathlib import Path

import pytest
from ghosthands_agent.host_setup import check_compose, pull_image

DIGEST = f"127.0.0.1:5000/ghosthands@sha256:{'0' * 64}"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script named docker on PATH, to be written by the test."""
    program = tmp_path / "docker"
    program.touch(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ("printf 'api\\nworker\\ndeploy-server\\nother\\n'", 0, ""),
        ("printf 'api\\ndeploy-server\\n'", 1, "has to have the services api, worker and deploy-server"),
        ("echo 'yaml: line 3' >&2; exit 15", 1, "yaml: line 3"),
        ('grep -qx ECR_IMAGE=any "$3/.env" && printf "api\\nworker\\ndeploy-server\\n"', 0, ""),
    ],
)
def test_a_compose_file_needs_the_three_services(
    docker: Path, capfd: pytest.CaptureFixture[str], script: str, code: int, message: str
) -> None:
    docker.write_text(f"#!/bin/sh\n{script}\n")
    assert check_compose(Path("/srv/compose.yml")) == code
    assert message in capfd.readouterr().err


def test_a_pull_without_ecr_needs_no_login_and_passes_on_dockers_error(
    docker: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    docker.write_text('#!/bin/sh\n[ ! -e "$DOCKER_CONFIG" ] && echo "$@: manifest unknown" >&2\nexit 1\n')
    assert pull_image(DIGEST) == 1
    assert capfd.readouterr().err == f"pull --quiet -- {DIGEST}: manifest unknown\n"
