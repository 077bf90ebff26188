# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a host for its doctor by the operator's own ssh: its configuration, agent and jump hosts count."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.answer import (
    DOCTOR,
    HOST_SECONDS,
    MOST_BYTES,
    Answer,
)

USER = "ec2-user"
CONNECT_SECONDS = 10
FAILED = 255  # ssh's own exit code for "could not connect"; anything else comes from the host
OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "StrictHostKeyChecking": "accept-new",
    "HashKnownHosts": "no",  # ids of instances hide nothing, and an operator can strike one out
    "ControlMaster": "no",  # one that stays behind keeps our pipes open
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "LogLevel": "ERROR",
    "ServerAliveInterval": "5",
}


class Unanswered(Exception):
    """No answer, and why."""


def ask(
    instance: str, addresses: Sequence[str], key_file: str, known_hosts: Path, seconds: float = HOST_SECONDS
) -> Answer:
    """What the doctor on this host says; its addresses are tried in turn until one connects.

    A host's key is trusted at first sight, held under the instance's id (addresses are used again), and refused when it is another later.
    """
    if not addresses:
        return Answer("", "it has no address")
    problems = []
    for address in addresses:
        try:
            code, out, err = bounded(words(instance, address, key_file, known_hosts), seconds, MOST_BYTES)
        except Unanswered as why:
            return Answer("", f"{address}: {why}")
        problems.append(f"{address}: {_last_line(err) or f'exit code {code}'}")
        if code != FAILED or out:
            return Answer(out, "" if out else problems[-1])
    return Answer("", "; ".join(problems))


def words(instance: str, address: str, key_file: str, known_hosts: Path) -> list[str]:
    """The command line."""
    told = {**OPTIONS, "HostKeyAlias": instance, "UserKnownHostsFile": f'"{known_hosts}"'}
    key = ["-i", str(Path(key_file).expanduser()), "-o", "IdentitiesOnly=yes"] if key_file else []
    return [
        "ssh",
        "-T",
        *(w for name, value in told.items() for w in ("-o", f"{name}={value}")),
        *key,
        f"{USER}@{address}",
        f"sudo -n {DOCTOR}",
    ]


def bounded(command: Sequence[str], seconds: float, most: int) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command that gets so many seconds and may say so many bytes. Raises Unanswered."""
    until = time.monotonic() + seconds
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as problem:
        raise Unanswered(f"{command[0]} cannot be run here: {problem.strerror}") from None
    with process:
        try:
            out, err = _read(
                [pipe for pipe in (process.stdout, process.stderr) if pipe], until, most
            )  # both were asked for
            code = process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Unanswered(f"no answer within {seconds:.0f} s") from None
        except Overflow:
            raise Unanswered(f"it said more than {most // 1024} KiB") from None
        finally:
            process.kill()
    return code, out, err


class Overflow(Exception):
    """More than anybody wants to hear."""


def _read(outputs: Sequence[IO[bytes]], until: float, most: int) -> tuple[str, str]:
    said = {pipe.fileno(): bytearray() for pipe in outputs}
    with selectors.DefaultSelector() as pipes:
        for number in said:
            pipes.register(number, selectors.EVENT_READ)
        while pipes.get_map():
            left = until - time.monotonic()
            ready = pipes.select(left) if left > 0 else []
            if not ready:
                raise subprocess.TimeoutExpired("ssh", 0)
            for key, _events in ready:
                piece = os.read(key.fd, 65536)
                said[key.fd] += piece
                if not piece:
                    pipes.unregister(key.fd)
                if len(said[key.fd]) > most:
                    raise Overflow
    out, err = (bytes(text).decode("utf-8", errors="replace") for text in said.values())
    return out, err


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
