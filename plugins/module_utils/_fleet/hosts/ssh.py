# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the doctor on a host with the operator's own ssh client: its configuration, agent and jump hosts apply."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import (
    DOCTOR,
    HOST_SECONDS,
    MOST_BYTES,
    Output,
)

USER = "ec2-user"
CONNECT_SECONDS = 10
FAILED = 255  # ssh's own exit code for "could not connect"; any other is the command's
OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "StrictHostKeyChecking": "accept-new",
    "HashKnownHosts": "no",  # instance ids are not secret, and an operator can find and remove one
    "ControlMaster": "no",  # a master connection that stays keeps our pipes open
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "LogLevel": "ERROR",
    "ServerAliveInterval": "5",
}


class NoAnswer(Exception):
    """The host gave no answer; the text says why."""


def run_doctor(
    instance: str,
    addresses: Sequence[str],
    key_file: str,
    known_hosts: Path,
    seconds: float = HOST_SECONDS,
    command: str = DOCTOR,
) -> Output:
    """What the doctor, or another command, prints on this host; its addresses are tried in turn until one connects.

    A host's key is trusted on first use and stored under the instance's id, as addresses are used again by others.
    A key that changes later is refused.
    """
    if not addresses:
        return Output("", "it has no address")
    problems = []
    for address in addresses:
        try:
            code, out, err = run(command_line(instance, address, key_file, known_hosts, command), seconds, MOST_BYTES)
        except NoAnswer as why:
            return Output("", f"{address}: {why}")
        problems.append(f"{address}: {_last_line(err) or f'exit code {code}'}")
        if code != FAILED or out:
            return Output(out, "" if out else problems[-1])
    return Output("", "; ".join(problems))


def command_line(instance: str, address: str, key_file: str, known_hosts: Path, command: str = DOCTOR) -> list[str]:
    """The command line."""
    options = {**OPTIONS, "HostKeyAlias": instance, "UserKnownHostsFile": f'"{known_hosts}"'}
    key = ["-i", str(Path(key_file).expanduser()), "-o", "IdentitiesOnly=yes"] if key_file else []
    return [
        "ssh",
        "-T",
        *(w for name, value in options.items() for w in ("-o", f"{name}={value}")),
        *key,
        f"{USER}@{address}",
        f"sudo -n {command}",
    ]


def run(command: Sequence[str], seconds: float, most: int) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command, which may take `seconds` and print `most` bytes. Raises NoAnswer."""
    until = time.monotonic() + seconds
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as problem:
        raise NoAnswer(f"{command[0]} cannot be run here: {problem.strerror}") from None
    with process:
        try:
            out, err = _read([pipe for pipe in (process.stdout, process.stderr) if pipe], until, most)
            code = process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"no answer within {seconds:.0f} s") from None
        except Overflow:
            raise NoAnswer(f"it printed more than {most // 1024} KiB") from None
        finally:
            process.kill()
    return code, out, err


class Overflow(Exception):
    """The command prints too much."""


def _read(outputs: Sequence[IO[bytes]], until: float, most: int) -> tuple[str, str]:
    read = {pipe.fileno(): bytearray() for pipe in outputs}
    with selectors.DefaultSelector() as pipes:
        for number in read:
            pipes.register(number, selectors.EVENT_READ)
        while pipes.get_map():
            left = until - time.monotonic()
            ready = pipes.select(left) if left > 0 else []
            if not ready:
                raise subprocess.TimeoutExpired("ssh", 0)
            for key, _events in ready:
                piece = os.read(key.fd, 65536)
                read[key.fd] += piece
                if not piece:
                    pipes.unregister(key.fd)
                if len(read[key.fd]) > most:
                    raise Overflow
    out, err = (bytes(text).decode("utf-8", errors="replace") for text in read.values())
    return out, err


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
