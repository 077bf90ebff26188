"""The container whose process listens on a local port, found in /proc.

deploy-server, Kamal and people start workers that carry none of compose's labels: what listens on the worker's port is
the worker, whatever it is called. Reading another user's /proc/PID/fd needs CAP_SYS_PTRACE.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

LISTENS = "0A"  # TCP_LISTEN in /proc/net/tcp
LOCAL_ADDRESS, STATE, INODE = 1, 3, 9  # columns of /proc/net/tcp, proc(5)
CONTAINER = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def listening_sockets(table: str, port: int) -> list[str]:
    """The inodes of the sockets that listen on the port, in the text of /proc/net/tcp or /proc/net/tcp6."""
    rows = [line.split() for line in table.splitlines()[1:]]
    end = f":{port:04X}"
    return [
        row[INODE] for row in rows if len(row) > INODE and row[STATE] == LISTENS and row[LOCAL_ADDRESS].endswith(end)
    ]


def container_of(cgroup: str) -> str:
    """The id of the innermost container in the text of /proc/PID/cgroup (version 1 or 2); empty outside of one."""
    found = CONTAINER.findall(cgroup)
    return found[-1] if found else ""


class Owner(NamedTuple):
    """The process that listens, and the id of its container."""

    pid: int
    container: str


class PortOwner:
    """Finds the container, and remembers it for as long as its socket listens: only a new socket costs a search.

    Args:
        proc: /proc, or a copy for tests.
    """

    def __init__(self, proc: Path, port: int) -> None:
        self._proc, self._port = proc, port
        self._known: dict[str, Owner] = {}

    def container(self) -> str:
        """The id of the container that listens on the port; empty if none does, or its process cannot be read."""
        owner = self._owner()
        return owner.container if owner else ""

    def terminate(self) -> bool:
        """Send SIGTERM to the process; False if none listens in a container, or it cannot be read."""
        owner = self._owner()
        if owner is None:
            return False
        try:
            os.kill(owner.pid, signal.SIGTERM)
        except OSError:
            return False
        return True

    def _owner(self) -> Owner | None:
        sockets = list(self._listening())
        self._known = {inode: owner for inode, owner in self._known.items() if inode in sockets}
        if sockets and not self._known:
            self._known = self._search(sockets)
        return next(iter(self._known.values()), None)

    def _listening(self) -> Iterator[str]:
        for table in ("net/tcp", "net/tcp6"):
            yield from listening_sockets(_text(self._proc / table), self._port)

    def _search(self, sockets: Iterable[str]) -> dict[str, Owner]:
        wanted = {f"socket:[{inode}]": inode for inode in sockets}
        for process in self._proc.glob("[0-9]*"):
            if (container := container_of(_text(process / "cgroup"))) and (
                inode := next((wanted[link] for link in _links(process / "fd") if link in wanted), None)
            ):
                return {inode: Owner(int(process.name), container)}
        return {}


def _text(path: Path) -> str:
    """The file's text; empty if it cannot be read: processes end at any moment."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _links(folder: Path) -> Iterator[str]:
    """What the links in a folder refer to, of those that can be read."""
    try:
        entries = list(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        try:
            yield str(entry.readlink())
        except OSError:
            continue
