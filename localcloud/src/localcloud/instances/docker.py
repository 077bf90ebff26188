"""Docker and other tools by their command lines, which an operator can repeat."""

from __future__ import annotations

import json
import subprocess
from typing import Any

#: What one call may take. Commits and loads write whole disks; the rest answers at once unless dockerd is stuck.
CALL_SECONDS = 120.0


class HostError(Exception):
    """This machine cannot run instances as asked, or Docker or another tool failed; the message is one line."""


def docker(*arguments: str, stdin: bytes | None = None, timeout: float = CALL_SECONDS) -> str:
    """What ``docker ARGUMENTS`` prints, stripped.

    Raises:
        HostError: it failed, did not end in time, or is not installed.
    """
    return command("docker", *arguments, stdin=stdin, timeout=timeout)


def command(*words: str, stdin: bytes | None = None, timeout: float = CALL_SECONDS) -> str:
    """What a command prints, stripped; it never reads the terminal.

    Raises:
        HostError: it failed, did not end in time, or is not installed.
    """
    try:
        done = subprocess.run(words, input=stdin or b"", capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise HostError(f"{words[0]} {words[1]} did not end within {timeout:.0f} s") from None
    except OSError as problem:
        raise HostError(f"{words[0]}: {problem.strerror or problem}") from None
    if done.returncode:
        raise HostError(reason(done.stderr) or f"{words[0]} {words[1]} ended with {done.returncode}")
    return done.stdout.decode(errors="replace").strip()


def reason(errors: bytes) -> str:
    """The line of an error output that says why: dockerd's answer, else the last line."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines() if line.strip()]
    answers = [line.partition("Error response from daemon: ")[2] for line in lines]
    return next(filter(None, answers), lines[-1] if lines else "")


def list_by_label(*listing: str, label: str) -> list[str]:
    """What a listing such as ``ps --all`` or ``volume ls`` has under a label, by id or name."""
    return docker(*listing, "--quiet", "--filter", f"label={label}").split()


def inspect(kind: str, name: str) -> dict[str, Any]:
    """``docker KIND inspect NAME``.

    Raises:
        HostError: there is none of that name.
    """
    return dict(json.loads(docker(kind, "inspect", name))[0])
