"""systemd's notification socket, sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


class Systemd:
    """ports.Supervisor over NOTIFY_SOCKET; does nothing if that is not set."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        address = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        """See ports.Supervisor."""
        self._send("READY=1")

    def alive(self) -> None:
        """See ports.Supervisor."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """See ports.Supervisor."""
        self._send("STATUS=" + text.replace("\n", " "))

    def _send(self, message: str) -> None:
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        # A service manager that is busy or gone must not stop the agent.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as there:
            there.sendto(message.encode(), self._address)
