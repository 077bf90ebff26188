"""One PostgreSQL and its pooler for the session; an empty registry for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.modules.worker_registry_info import OPTIONS, run

from tests.registry.servers import Server

Query = Callable[..., dict[str, Any]]
INSTANCE = "i-0123456789abcdef0"


class Module:
    """The part of an AnsibleModule that `run` uses."""

    def __init__(self, given: dict[str, Any]) -> None:
        assert given.keys() <= OPTIONS.keys()
        self.params = {name: given.get(name, option.get("default")) for name, option in OPTIONS.items()}


@pytest.fixture(scope="session")
def running() -> Iterator[Server]:
    """The servers."""
    server = Server()
    yield server
    server.close()
    assert not server.folder.exists()


@pytest.fixture
def server(running: Server) -> Server:
    """The servers, with an empty registry."""
    running.admin("TRUNCATE gh_worker_registry")
    return running


@pytest.fixture
def query(server: Server) -> Query:
    """The module's result for these options in addition to those that reach the table."""

    def result(user: str = "gh_reader", **options: Any) -> dict[str, Any]:
        return run(Module(server.options(user, **options)))

    return result


@pytest.fixture
def query_only(server: Server) -> Query:
    """The module's result for exactly these options."""
    return lambda **options: run(Module(options))


@pytest.fixture
def register(server: Server) -> Callable[..., None]:
    """Adds a row to the registry: an active worker without a job, except for the given columns."""

    def registered(
        worker_id: str,
        status: str | None = "active",
        ec2_instance_id: str | None = INSTANCE,
        ec2_ip: str | None = "203.0.113.7",
        current_job_id: str | None = None,
        silent_seconds: float = 0,
    ) -> None:
        server.admin(
            "INSERT INTO gh_worker_registry"
            " (worker_id, status, ec2_instance_id, ec2_ip, current_job_id, last_heartbeat)"
            " VALUES (%s, %s, %s, %s, %s, now() - %s * interval '1 second')",
            *(worker_id, status, ec2_instance_id, ec2_ip, current_job_id, silent_seconds),
        )

    return registered
