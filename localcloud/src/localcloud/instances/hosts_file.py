"""The registry's name on this machine itself: a line of /etc/hosts, so that its operator pushes under ECR's name."""

from __future__ import annotations

from pathlib import Path

from localcloud.instances.docker import HostError

HOSTS = Path("/etc/hosts")
#: An address of loopback that nothing else uses: port 443 of the others stays free.
ADDRESS = "127.85.0.1"


def add_name(owner: str, name: str) -> None:
    """Let the name lead to `ADDRESS`, for the owner that the line's comment names.

    Raises:
        HostError: it leads elsewhere already.
    """
    text = HOSTS.read_text(encoding="utf-8")
    for line in text.splitlines():
        words, _, comment = line.partition("#")
        if name in words.split()[1:]:
            raise HostError(f"{HOSTS} has {name} already ({comment.strip() or line.strip()}); remove that line")
    # Written in place: in a container the file is a mount, which a rename cannot replace.
    HOSTS.write_text(f"{text}{'' if text.endswith(chr(10)) else chr(10)}{ADDRESS} {name} # {owner}\n", encoding="utf-8")


def drop_names(owner: str) -> None:
    """Remove the owner's lines."""
    lines = HOSTS.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.partition("#")[2].strip() != owner]
    if kept != lines:
        HOSTS.write_text("".join(kept), encoding="utf-8")
