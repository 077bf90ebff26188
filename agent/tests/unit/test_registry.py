"""docker's login at ECR."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from ghosthands_agent.aws import Account
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import PortError, Refused, Unavailable
from ghosthands_agent.registry import EcrRegistry, ecr_region, host
from unit.listening import Listening, Said, listening

ECR_IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ghosthands:latest"
TOKEN = base64.b64encode(b"AWS:canary-password").decode()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key-for-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-for-tests")


def login(server: Listening, paths: Paths, image: str = ECR_IMAGE) -> None:
    task, until = EcrRegistry(Account("us-east-1", server.url), paths, image).login(), time.monotonic() + 20
    while not task.done():
        assert time.monotonic() < until
        time.sleep(0.01)
    task.result()


def token(value: Any) -> Said:
    return Said(
        body=json.dumps({"authorizationData": [{"authorizationToken": value, "proxyEndpoint": "https://ignored"}]})
    )


@pytest.mark.parametrize(
    ("image", "registry", "region"),
    [
        (ECR_IMAGE, "123456789012.dkr.ecr.eu-west-1.amazonaws.com", "eu-west-1"),
        (
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/a/b@sha256:00",
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
            "us-east-1",
        ),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a:1",
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
        ),
        ("123456789012.dkr-ecr.us-west-2.on.aws/a:1", "123456789012.dkr-ecr.us-west-2.on.aws", "us-west-2"),
        ("registry.internal:5000/a/b:1", "registry.internal:5000", None),
        ("localhost/a:1", "localhost", None),
        ("library/busybox", None, None),
        ("busybox:1", None, None),
        (
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example/a:1",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
            None,
        ),
    ],
)
def test_the_registry_is_told_by_the_image(image: str, registry: str | None, region: str | None) -> None:
    assert host(image) == registry
    assert ecr_region(image) == region


def test_a_login_is_written_literally_for_its_owner_alone(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    with listening(lambda _: token(TOKEN)) as server:
        login(server, paths)
        assert "eu-west-1" in server.asked[0].headers["authorization"], "the registry's region, not the fleet's"
    file = paths.docker_config / "config.json"
    assert json.loads(file.read_text()) == {"auths": {"123456789012.dkr.ecr.eu-west-1.amazonaws.com": {"auth": TOKEN}}}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_fresh_login_is_seen_through_an_open_directory(tmp_path: Path) -> None:
    """As by a container that has mounted it: the directory stays the same one."""
    paths = Paths(tmp_path)
    with listening(lambda _: token(TOKEN)) as server:
        login(server, paths)
        before = paths.docker_config.stat().st_ino
        server.answering = lambda _: token(base64.b64encode(b"AWS:another").decode())
        login(server, paths)
    assert paths.docker_config.stat().st_ino == before
    assert [path.name for path in paths.docker_config.iterdir()] == ["config.json"]


def test_a_registry_that_is_no_ecr_needs_no_login(tmp_path: Path) -> None:
    with listening({}) as server:
        login(server, Paths(tmp_path), "registry.internal:5000/a:1")
        assert server.calls == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer", [token("canary"), token(base64.b64encode(b"canary").decode()), token(7), Said(body="{}")]
)
def test_a_token_of_another_shape_is_refused_and_the_old_login_stays(tmp_path: Path, answer: Said) -> None:
    paths = Paths(tmp_path)
    with listening(lambda _: token(TOKEN)) as server:
        login(server, paths)
        server.answering = lambda _: answer
        with pytest.raises(PortError) as caught:
            login(server, paths)
    assert "canary" not in repr(caught.value)
    assert TOKEN in (paths.docker_config / "config.json").read_text()


def test_a_role_without_the_permission_is_refused(tmp_path: Path) -> None:
    body = json.dumps({"__type": "AccessDeniedException", "message": "canary"})
    with listening(lambda _: Said(400, body, headers={"x-amzn-ErrorType": "AccessDeniedException"})) as server:
        with pytest.raises(Refused) as caught:
            login(server, Paths(tmp_path))
        assert str(caught.value) == "ecr:get_authorization_token: AccessDeniedException"


def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "opt").write_text("in the way")
    with listening(lambda _: token(TOKEN)) as server, pytest.raises(Unavailable, match=r"write config\.json"):
        login(server, Paths(tmp_path))
