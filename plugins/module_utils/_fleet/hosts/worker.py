# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker of an instance without the agent: asked, frozen and ended by commands on its host."""

from __future__ import annotations

import json
import re
import secrets
import shlex
from collections.abc import Callable, Sequence

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import Output, plain
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.replacement import (
    HostError,
    HostWorker,
)

COMMAND_SECONDS = 20.0
STATUS = "http://127.0.0.1:3101/worker/status"
# One object per container; labels are asked for by name, since `docker ps` does not quote them.
FORMAT = (
    '{"id":{{json .ID}},"state":{{json .State}},"command":{{json .Command}},'
    '"service":{{json (.Label "com.docker.compose.service")}},"role":{{json (.Label "gh.service")}}}'
)
PROGRAM = "packages/ghosthands/src/workers/"  # what the image runs as a worker, in the worker's repository
FROZEN = "${XDG_RUNTIME_DIR:-/run}/ghosthands-frozen"  # on the host: which freeze is on
STATES = ("running", "paused", "restarting")
LOOK = f"docker ps --all --no-trunc --format {shlex.quote(FORMAT)} && echo status && curl -sS -m 5 {STATUS}; true"


class SshWorker:
    """A worker behind a way to its host.

    :param run: runs a command there as root and returns what it prints.
    """

    def __init__(self, run: Callable[[str], Output]) -> None:
        self._run = run

    def look(self) -> HostWorker:
        """Its containers, and how many jobs it has. Raises HostError."""
        listed, found, status = self._do(LOOK).partition("status\n")
        if not found:
            raise HostError("docker does not answer there")
        try:
            rows = [json.loads(line) for line in listed.splitlines() if line.strip()]
            containers = tuple(str(row["id"]) for row in rows if _is_worker(row) and row["state"] in STATES)
        except (ValueError, LookupError, TypeError):
            raise HostError(f"docker's answer cannot be parsed: {plain(listed[:60])!r}") from None
        if not all(re.fullmatch(r"[0-9a-f]{12,64}", id) for id in containers):
            raise HostError("docker names containers in another form")
        return HostWorker(containers, _active_jobs(status))

    def freeze(self, containers: Sequence[str], seconds: float) -> None:
        """`docker pause`, and a process on the host that ends this very freeze after `seconds`. Raises HostError."""
        names, mine = " ".join(containers), secrets.token_hex(8)
        end = f'sleep {seconds:.0f}; [ "$(cat {FROZEN})" = {mine} ] && docker unpause {names}'
        self._do(
            f"echo {mine} > {FROZEN}\n"
            f"(setsid sh -c {shlex.quote(end)} >/dev/null 2>&1 </dev/null &)\n"
            f"docker pause {names} && echo done",
            "done",
        )

    def unfreeze(self, containers: Sequence[str]) -> None:
        """`docker unpause`. Raises HostError."""
        self._do(f"rm -f {FROZEN}; docker unpause {' '.join(containers)} && echo done", "done")

    def kill(self, containers: Sequence[str]) -> None:
        """`docker kill`, where they are still paused; they are not started again. Raises HostError."""
        names = " ".join(containers)
        self._do(
            f"docker update --restart no {names} >/dev/null\n"
            f"for one in {names}; do\n"
            f'  [ "$(docker inspect --format "{{{{.State.Paused}}}}" "$one")" = true ] || exit 1\n'
            "done\n"
            f"docker kill --signal KILL {names} && echo done",
            "done",
        )

    def _do(self, script: str, end: str = "") -> str:
        output = self._run(f"sh -c {shlex.quote(script)}")
        if not output.text.rstrip().endswith(end) or (end and not output.text):
            raise HostError(plain(output.problem or output.text or "no answer"))
        if output.problem and not output.text:
            raise HostError(plain(output.problem))
        return output.text


def _is_worker(row: dict[str, str]) -> bool:
    return "worker" in (row["service"], row["role"]) or PROGRAM in row["command"]


def _active_jobs(status: str) -> int | None:
    try:
        found = json.loads(status)["active_jobs"]
    except (ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, int) else None
