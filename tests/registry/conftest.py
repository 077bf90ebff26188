"""One PostgreSQL and its pooler for the session; an empty registry for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.modules.worker_registry_info import OPTIONS, run

from tests.registry.servers import Server

Ask = Callable[..., dict[str, Any]]
INSTANCE = "i-0123456789abcdef0"


class Module:
    """What `run` needs of an AnsibleModule."""

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
def ask(server: Server) -> Ask:
    """The module's result for these options, over those that reach the table."""

    def asked(user: str = "gh_reader", **options: Any) -> dict[str, Any]:
        return run(Module(server.options(user, **options)))

    return asked


@pytest.fixture
def ask_by_dsn(server: Server) -> Ask:
    """The module's result for these options and nothing else."""
    return lambda **options: run(Module(options))


@pytest.fixture
def register(server: Server) -> Callable[..., None]:
    """Adds a worker to the registry; what is not said is as a worker without a job has it."""

    def registered(worker_id: str, **columns: Any) -> None:
        row = {
            "status": "active",
            "ec2_instance_id": INSTANCE,
            "ec2_ip": "203.0.113.7",
            "current_job_id": None,
            **columns,
        }
        server.admin(
            "INSERT INTO gh_worker_registry (worker_id, status, ec2_instance_id, ec2_ip, current_job_id, last_heartbeat)"
            " VALUES (%s, %s, %s, %s, %s, now() - %s * interval '1 second')",
            *(
                worker_id,
                row["status"],
                row["ec2_instance_id"],
                row["ec2_ip"],
                row["current_job_id"],
                row.get("silent_seconds", 0),
            ),
        )

    return registered
