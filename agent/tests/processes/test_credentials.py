"""The agent with the real botocore, while the metadata service has no credentials of the instance's role yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ghosthands_agent
import pytest
from ghosthands_agent.aws import Account, OwnGroup
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import NO_CREDENTIALS, Unavailable
from ghosthands_agent.watch import NO_CREDENTIALS_EXIT
from model.agent_conf import conf
from unit.fake_http import FakeServer, Reply, Request, fake_server

INSTANCE, ROLE = "i-0123456789abcdef0", "gh-worker-role"
CREDENTIALS = "GET /latest/meta-data/iam/security-credentials/"


class Metadata:
    """A metadata service whose credentials come late: until `role` is set there is no role, which is a 404."""

    def __init__(self, target: str = "InService") -> None:
        self.target = target
        self.role: str | None = None
        self.key = "ASIAFIRST00000000000"

    def __call__(self, request: Request) -> Reply:
        expires = datetime.now(UTC) + timedelta(hours=6)
        credentials = {"AccessKeyId": self.key, "SecretAccessKey": "s", "Token": "t", "Code": "Success"}
        credentials["Expiration"] = f"{expires:%Y-%m-%dT%H:%M:%SZ}"
        found = {
            "PUT /latest/api/token": "a-token",
            "GET /latest/meta-data/instance-id": INSTANCE,
            "GET /latest/meta-data/autoscaling/target-lifecycle-state": self.target,
            CREDENTIALS: self.role,
            f"{CREDENTIALS}{self.role}": json.dumps(credentials),
        }.get(request.method_and_path)
        return Reply(404) if found is None else Reply(body=found)


def answer(request: Request) -> Reply:
    action = request.body.split("&")[0].removeprefix("Action=")
    return Reply(body=f"<{action}Response><{action}Result/></{action}Response>", headers={"Content-Type": "text/xml"})


@pytest.fixture(autouse=True)
def _no_other_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@contextmanager
def services(
    monkeypatch: pytest.MonkeyPatch, metadata: Metadata, aws: Callable[[Request], Reply] = answer
) -> Iterator[tuple[FakeServer, FakeServer]]:
    with fake_server(metadata) as imds, fake_server(aws) as api:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url)
        yield imds, api


def test_a_client_without_credentials_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = Metadata()
    with services(monkeypatch, metadata) as (_imds, api):
        group = OwnGroup(Account("us-east-1", api.url), "group", lambda: INSTANCE)
        for _ in range(2):
            with pytest.raises(Unavailable) as caught:
                group.heartbeat("hook")
            assert caught.value.code == NO_CREDENTIALS
        metadata.role = ROLE
        group.heartbeat("hook")
        (request,) = api.requests
        assert "ASIAFIRST" in request.headers["authorization"]


def test_a_client_with_credentials_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = Metadata()
    metadata.role = ROLE
    with services(monkeypatch, metadata) as (imds, api):
        group = OwnGroup(Account("us-east-1", api.url), "group", lambda: INSTANCE)
        for _ in range(3):
            group.heartbeat("hook")
        assert imds.calls.count(f"{CREDENTIALS}{ROLE}") == 1


def test_credentials_that_aws_does_not_know_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after the profile of an instance was replaced."""
    metadata = Metadata()
    metadata.role = ROLE

    def unknown_first(request: Request) -> Reply:
        if "ASIAFIRST" not in request.headers["authorization"]:
            return answer(request)
        error = "<Error><Code>InvalidClientTokenId</Code><Message>m</Message></Error>"
        return Reply(403, f"<ErrorResponse>{error}</ErrorResponse>", headers={"Content-Type": "text/xml"})

    with services(monkeypatch, metadata, unknown_first) as (_imds, api):
        group = OwnGroup(Account("us-east-1", api.url), "group", lambda: INSTANCE)
        with pytest.raises(Unavailable):
            group.heartbeat("hook")
        metadata.key = "ASIASECOND0000000000"
        group.heartbeat("hook")


def test_a_heartbeat_does_not_wait_for_a_protection_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = Metadata()
    metadata.role = ROLE

    def hanging_protection(request: Request) -> Reply:
        return Reply(hang=2.0) if "SetInstanceProtection" in request.body else answer(request)

    with services(monkeypatch, metadata, hanging_protection) as (_imds, api):
        group = OwnGroup(Account("us-east-1", api.url), "group", lambda: INSTANCE)
        group.heartbeat("hook")  # the client is there
        monkeypatch.setattr("ghosthands_agent.aws.CALL_SECONDS", 0.1)
        with pytest.raises(Unavailable, match="Timeout"):
            group.protect(True)
        monkeypatch.setattr("ghosthands_agent.aws.CALL_SECONDS", 30.0)
        began = time.monotonic()
        group.heartbeat("hook")
        assert time.monotonic() - began < 1.7, "the protection takes 2 s"


# --- the program ------------------------------------------------------------------------------------------------------


@contextmanager
def watch(folder: Path, imds: FakeServer, api: FakeServer) -> Iterator[subprocess.Popen[str]]:
    paths = Paths(folder / "root")
    paths.config.parent.mkdir(parents=True)
    paths.config.write_text(conf(ENDPOINT_URL=api.url, HEARTBEAT_TIMEOUT_SECONDS="30", DRAIN_LIMIT_SECONDS="600"))
    command = [sys.executable, "-P", "-m", "ghosthands_agent", "watch", "--root", str(paths.root), "--worker-port", "1"]
    environment = {
        "PATH": str(folder),  # without docker
        "HOME": str(folder),
        "PYTHONPATH": str(Path(ghosthands_agent.__file__).parents[1]),
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url,
    }
    with (folder / "log").open("w") as log, subprocess.Popen(command, env=environment, stderr=log, text=True) as agent:
        yield agent
        agent.kill()


def test_watch_sends_heartbeats_once_there_are_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    metadata = Metadata("Terminated")
    with services(monkeypatch, metadata) as (imds, api), watch(tmp_path, imds, api):
        until = time.monotonic() + 60
        while "code=NoCredentials" not in (tmp_path / "log").read_text():
            assert time.monotonic() < until
            time.sleep(0.1)
        metadata.role = ROLE
        while not any("RecordLifecycleActionHeartbeat" in request.body for request in api.requests):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert imds.calls.count(CREDENTIALS) >= 2


def test_watch_ends_with_a_code_of_its_own_if_no_credentials_come(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with services(monkeypatch, Metadata("Terminated")) as (imds, api), watch(tmp_path, imds, api) as agent:
        assert agent.wait(120) == NO_CREDENTIALS_EXIT
        assert "event=watch_restarts reason=NoCredentials failures=10" in (tmp_path / "log").read_text()
        assert api.requests == []
