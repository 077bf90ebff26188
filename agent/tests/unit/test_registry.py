"""The registry login."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from ghosthands_agent.aws import Account
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import PortError, Refused, Unavailable
from ghosthands_agent.registry import EcrRegistry, ecr_region, host
from unit.fake_http import FakeServer, Reply, fake_server
from unit.tasks import result_of

ECR_IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/ghosthands:latest"
TOKEN = base64.b64encode(b"AWS:canary-password").decode()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key-for-tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-for-tests")


def login(server: FakeServer, paths: Paths, image: str = ECR_IMAGE) -> None:
    result_of(EcrRegistry(Account("us-east-1", server.url), paths, image).login())


def token(value: Any) -> Reply:
    return Reply(
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
def test_the_images_name_holds_host_and_region_of_the_registry(
    image: str, registry: str | None, region: str | None
) -> None:
    assert host(image) == registry
    assert ecr_region(image) == region


def test_a_login_is_written_with_mode_0600(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    with fake_server(lambda _: token(TOKEN)) as server:
        login(server, paths)
        assert "eu-west-1" in server.requests[0].headers["authorization"], "the registry's region, not the fleet's"
    file = paths.docker_config / "config.json"
    assert json.loads(file.read_text()) == {"auths": {"123456789012.dkr.ecr.eu-west-1.amazonaws.com": {"auth": TOKEN}}}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_new_login_does_not_replace_the_directory(tmp_path: Path) -> None:
    """A container has mounted the directory, so it must stay the same one."""
    paths = Paths(tmp_path)
    with fake_server(lambda _: token(TOKEN)) as server:
        login(server, paths)
        before = paths.docker_config.stat().st_ino
        server.respond = lambda _: token(base64.b64encode(b"AWS:another").decode())
        login(server, paths)
    assert paths.docker_config.stat().st_ino == before
    assert [path.name for path in paths.docker_config.iterdir()] == ["config.json"]


def test_a_registry_other_than_ecr_needs_no_login(tmp_path: Path) -> None:
    with fake_server({}) as server:
        login(server, Paths(tmp_path), "registry.internal:5000/a:1")
        assert server.calls == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer", [token("canary"), token(base64.b64encode(b"canary").decode()), token(7), Reply(body="{}")]
)
def test_a_token_of_another_shape_is_refused_and_the_old_login_stays(tmp_path: Path, answer: Reply) -> None:
    paths = Paths(tmp_path)
    with fake_server(lambda _: token(TOKEN)) as server:
        login(server, paths)
        server.respond = lambda _: answer
        with pytest.raises(PortError) as caught:
            login(server, paths)
    assert "canary" not in repr(caught.value)
    assert TOKEN in (paths.docker_config / "config.json").read_text()


def test_a_role_without_the_permission_is_refused(tmp_path: Path) -> None:
    body = json.dumps({"__type": "AccessDeniedException", "message": "canary"})
    with fake_server(lambda _: Reply(400, body, headers={"x-amzn-ErrorType": "AccessDeniedException"})) as server:
        with pytest.raises(Refused) as caught:
            login(server, Paths(tmp_path))
        assert str(caught.value) == "ecr:get_authorization_token: AccessDeniedException"


def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "opt").write_text("in the way")
    with fake_server(lambda _: token(TOKEN)) as server, pytest.raises(Unavailable, match=r"write config\.json"):
        login(server, Paths(tmp_path))
