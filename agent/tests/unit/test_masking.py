"""What a command wrote is quoted without the secrets of this host."""

from __future__ import annotations

from pathlib import Path

import pytest
from ghosthands_agent.command import Command
from ghosthands_agent.docker import Docker
from ghosthands_agent.environment import INSTANCE_KEYS, environment
from ghosthands_agent.masking import last_lines, masked, masking
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import Unavailable

SECRET = (
    '{"DATABASE_URL": "postgres://gh:hunter22@db.internal:5432/ghosthands", "GH_SERVICE_SECRET": "c4n4ry-s3rv1c3",'
    ' "SHORT": "p1n7", "KEY": "-----BEGIN KEY-----\\nMIICdgIBADANBgkqhkiG\\n-----END KEY-----", "FLAG": "on"}'
)
INSTANCE = dict.fromkeys(INSTANCE_KEYS, "-") | {
    "ECR_IMAGE": "registry.internal:5000/ghosthands:1",
    "AWS_REGION": "us-east-1",
    "EC2_INSTANCE_ID": "i-0a",
}
ENV = environment(SECRET, INSTANCE, ())
PUBLIC = "/opt/ghosthands worker api services: image: ghosthands-worker"


def quoted(text: str) -> str:
    return masked(text, ENV, PUBLIC)


@pytest.mark.parametrize(
    "text",
    [
        'failed to read .env: line 2: unexpected character "c" in variable name "c4n4ry-s3rv1c3"',
        "invalid value c4n4ry-s3rv",
        "cannot connect to postgres://gh:hunter22@db.internal",
        "dial db.internal:5432 failed",
        "the pin p1n7 is wrong",
        "near MIICdgIBADANBgkqhkiG:",
        "proxy http://someone:p4ss-of-a-proxy@proxy:3128 refused",
        "Get https://bucket.s3.amazonaws.com/layer?X-Amz-Security-Token=IQoJb3JpZ2&X-Amz-Signature=0af3: 403",
        "Authorization: Basic QVdTOmFi",
        "password=0therp4ss",
        "key ASIAABCDEFGHIJKLMNOP is not valid",
    ],
)
def test_no_secret_is_quoted(text: str) -> None:
    found = quoted(text)
    assert "***" in found
    for canary in ("c4n4ry", "s3rv1c3", "hunter22", "db.internal", "p1n7", "MIICdg", "kqhkiG", "p4ss", "IQoJ", "0af3"):
        assert canary not in found
    assert "QVdT" not in found
    assert "ASIAABC" not in found


@pytest.mark.parametrize(
    "text",
    [
        'Error response from daemon: failed to create task for container: OCI runtime: cgroup: "cpu.max": invalid',
        "dependency failed to start: container ghosthands-worker-1 is unhealthy",
        "manifest for registry.internal:5000/ghosthands:1 not found: manifest unknown",
        "error while interpolating services.worker.environment.VNC_PW: required variable VNC_PW is missing a value",
        "no space left on device: /opt/ghosthands",
        f"pulling registry.internal:5000/ghosthands@sha256:{'ab' * 32} in us-east-1 for i-0a, DATABASE_URL is set on",
    ],
)
def test_a_cause_is_quoted_whole(text: str) -> None:
    assert quoted(text) == text


def test_the_last_distinct_lines_are_quoted_in_their_order_without_escapes() -> None:
    lines = [f"layer {n}" for n in range(20)] + ["", "\x1b[31mred\x1b[0m", "same", "same", "progress 1\rprogress 2"]
    assert last_lines("\n".join(lines)).split("\n")[-3:] == ["red", "same", "progress 2"]
    assert len(last_lines("\n".join(lines)).split("\n")) == 8


def test_a_quotation_is_short() -> None:
    assert len(last_lines("\n".join("x" * 5000 + str(n) for n in range(20)))) <= 1000


def project(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path)
    paths.project.mkdir(parents=True)
    paths.environment.write_text(ENV)
    return paths


def test_a_command_that_fails_is_quoted_with_its_errors_and_one_that_works_is_not(tmp_path: Path) -> None:
    mask = masking(project(tmp_path))
    failed = Command(["sh", "-c", "echo out; echo c4n4ry-s3rv1c3 is bad >&2; exit 3"], mask=mask).wait(20)
    assert (failed.code, failed.said) == (3, "*** is bad")
    assert Command(["sh", "-c", "echo only out; exit 3"], mask=mask).wait(20).said == "only out"
    assert Command(["sh", "-c", "echo fine >&2"], mask=mask).wait(20).said == ""


def test_a_command_that_is_given_up_is_quoted_as_far_as_it_came(tmp_path: Path) -> None:
    docker = Docker(project(tmp_path), program="sh")
    with pytest.raises(Unavailable) as caught:
        docker.run("-c", "echo waiting for a lock >&2; exec sleep 60", seconds=2.0)
    assert (caught.value.code, caught.value.output) == ("Timeout", "waiting for a lock")


def test_an_env_that_cannot_be_read_is_not_guessed(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.project.mkdir(parents=True)
    assert masking(paths)("no secrets yet") == "no secrets yet"
    paths.environment.mkdir()
    assert masking(paths)("c4n4ry") == ""
