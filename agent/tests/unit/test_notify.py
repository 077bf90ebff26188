"""systemd's notification socket."""

from __future__ import annotations

import socket
from pathlib import Path

from ghosthands_agent.notify import Systemd


def received(manager: socket.socket, count: int) -> list[str]:
    manager.settimeout(2)
    return [manager.recv(200).decode() for _ in range(count)]


def test_ready_watchdog_and_status_are_sent(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        systemd.ready()
        systemd.alive()
        systemd.status("draining\nREADY=1")
        assert received(manager, 3) == ["READY=1", "WATCHDOG=1", "STATUS=draining READY=1"]


def test_an_abstract_socket_is_found() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0ghosthands-test-notify")
        Systemd({"NOTIFY_SOCKET": "@ghosthands-test-notify"}).ready()
        assert received(manager, 1) == ["READY=1"]


def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    Systemd({}).ready()
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone")}).alive()


def test_a_systemd_that_does_not_read_does_not_block(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        systemd = Systemd({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(2000):
            systemd.alive()
