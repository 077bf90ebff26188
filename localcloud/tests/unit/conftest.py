"""A localcloud of this process on a free port, and clients for it."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from localcloud.server import application as server


class Cloud:
    """A running localcloud, as its clients see it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._clients: dict[tuple[str, str], Any] = {}

    def client(self, service: str, region: str = "us-east-1") -> Any:
        """A boto3 client that tries a call once only."""
        if (service, region) not in self._clients:
            make: Any = boto3.client  # typed by service name, which is not known here
            self._clients[service, region] = make(
                service,
                endpoint_url=self.url,
                region_name=region,
                aws_access_key_id="localcloud-dummy-key",
                aws_secret_access_key="localcloud-dummy-secret",
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self._clients[service, region]

    def control(self, verb: str, body: dict[str, Any] | None = None, method: str = "POST") -> dict[str, Any]:
        """Use a control under /localcloud/."""
        request = urllib.request.Request(
            f"{self.url}/localcloud/{verb}",
            data=json.dumps(body or {}).encode() if method == "POST" else None,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))


@pytest.fixture(scope="session")
def running() -> Iterator[Cloud]:
    """One server for all tests of the session."""
    httpd = server.make(0)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield Cloud(f"http://127.0.0.1:{httpd.server_port}")
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def cloud(running: Cloud) -> Cloud:
    """The server with a fresh account."""
    running.control("reset")
    return running


@pytest.fixture
def ec2(cloud: Cloud) -> Any:
    """An EC2 client."""
    return cloud.client("ec2")


@pytest.fixture
def autoscaling(cloud: Cloud) -> Any:
    """An Auto Scaling client."""
    return cloud.client("autoscaling")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the groups' clock on by seconds."""
    from localcloud.autoscaling.groups import Groups

    real, ahead = Groups.clock, [0.0]
    monkeypatch.setattr(Groups, "clock", lambda self: real(self) + ahead[0])

    def move(seconds: float) -> None:
        ahead[0] += seconds

    return move
