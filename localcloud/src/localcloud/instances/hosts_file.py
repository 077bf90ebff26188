"""The registry's name on this machine itself: a line of /etc/hosts, so that its operator pushes under ECR's name."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from localcloud.instances.docker import HostError

HOSTS = Path("/etc/hosts")
#: An address of loopback that nothing else uses: port 443 of the others stays free.
ADDRESS = "127.85.0.1"


def add_name(owner: str, name: str) -> None:
    """Let the name lead to `ADDRESS`, for the owner that the line's comment names: `localcloud.port=` and its port.

    The line of a localcloud that was killed is removed.

    Raises:
        HostError: it leads elsewhere already.
    """
    for line in HOSTS.read_text(encoding="utf-8").splitlines():
        words, _, comment = line.partition("#")
        if name in words.split()[1:]:
            if _has_ended(comment.strip()):
                drop_names(comment.strip())
                continue
            raise HostError(f"{HOSTS} has {name} already ({comment.strip() or line.strip()}); remove that line")
    text = HOSTS.read_text(encoding="utf-8")
    # Written in place: in a container the file is a mount, which a rename cannot replace.
    HOSTS.write_text(f"{text}{'' if text.endswith(chr(10)) else chr(10)}{ADDRESS} {name} # {owner}\n", encoding="utf-8")


def drop_names(owner: str) -> None:
    """Remove the owner's lines."""
    lines = HOSTS.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.partition("#")[2].strip() != owner]
    if kept != lines:
        HOSTS.write_text("".join(kept), encoding="utf-8")


def _has_ended(owner: str) -> bool:
    """Whether it is a localcloud that nobody serves any more."""
    found = re.fullmatch(r"localcloud\.port=(\d{1,5})", owner)
    if not found:
        return False
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", int(found[1]))) != 0
