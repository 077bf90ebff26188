"""The registry's name in /etc/hosts: one owner at a time, and what a killed one left is no obstacle."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcloud.instances import hosts_file
from localcloud.instances.docker import HostError

NAME = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
OWN = "localcloud.port=1"


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1 localhost\n")
    monkeypatch.setattr(hosts_file, "HOSTS", file)
    return file


@pytest.fixture
def served() -> Iterator[int]:
    """A port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_name_is_added_and_removed(hosts: Path) -> None:
    before = hosts.read_text()
    hosts_file.add_name(OWN, NAME)
    assert f"{hosts_file.ADDRESS} {NAME} # {OWN}" in hosts.read_text()
    hosts_file.drop_names(OWN)
    assert hosts.read_text() == before


def test_the_line_of_a_localcloud_that_was_killed_is_replaced(hosts: Path, served: int) -> None:
    hosts_file.add_name(f"localcloud.port={served}", NAME)
    with pytest.raises(HostError, match="has 123456789012"):
        hosts_file.add_name(OWN, NAME)
    gone = hosts.read_text().replace(str(served), "2")
    hosts.write_text(gone)
    hosts_file.add_name(OWN, NAME)
    assert hosts.read_text().count(NAME) == 1
    assert OWN in hosts.read_text()


def test_a_line_of_somebody_else_stays(hosts: Path) -> None:
    hosts.write_text(f"10.0.0.1 {NAME}\n")
    with pytest.raises(HostError, match="remove that line"):
        hosts_file.add_name(OWN, NAME)
    assert hosts.read_text() == f"10.0.0.1 {NAME}\n"
