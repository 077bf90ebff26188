# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands on a host: run in a real shell, with a docker and a curl that note what they are told."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import Output
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.worker import SshWorker
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.replacement import (
    HostError,
    HostWorker,
)

ID, OTHER = "a" * 64, "b" * 64
DOCKER = """#!/bin/sh
echo "$@" >> calls
case $1 in
  ps) cat listed;;
  pause) touch paused;;
  unpause) rm paused;;
  inspect) if [ -e paused ]; then echo true; else echo false; fi;;
esac
"""


class Host:
    """A folder that stands for a host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._program("docker", DOCKER)
        self._program("curl", "#!/bin/sh\ncat status\n")
        self.lists({"id": ID, "service": "worker"})
        (folder / "status").write_text('{"active_jobs": 0}')
        self.worker = SshWorker(self.run)

    def _program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def lists(self, *rows: dict[str, str]) -> None:
        """Set what `docker ps` prints."""
        usual = {"state": "running", "command": "bun", "service": "", "role": ""}
        (self.folder / "listed").write_text("".join(json.dumps({**usual, **row}) + "\n" for row in rows))

    def run(self, command: str) -> Output:
        path = f"{self.folder}:{os.environ['PATH']}"
        env = {"PATH": path, "XDG_RUNTIME_DIR": str(self.folder)}
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )
        return Output(done.stdout, done.stderr)

    @property
    def calls(self) -> list[str]:
        return [line for line in (self.folder / "calls").read_text().splitlines() if not line.startswith("ps")]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with one worker."""
    return Host(tmp_path)


def test_the_workers_containers_are_known_by_label_or_program_and_others_left_alone(host: Host) -> None:
    program = "bun packages/ghosthands/src/workers/workerLauncher.ts"
    host.lists(
        {"id": ID, "service": "worker"},
        {"id": OTHER, "command": program, "state": "paused"},
        {"id": "c" * 64, "service": "api"},
        {"id": "d" * 64, "role": "worker", "state": "exited"},
    )
    assert host.worker.look() == HostWorker((ID, OTHER), 0)


@pytest.mark.parametrize(("status", "jobs"), [('{"active_jobs": 2}', 2), ("", None), ("<html>", None), ("[]", None)])
def test_a_status_that_cannot_be_read_is_none(host: Host, status: str, jobs: int | None) -> None:
    (host.folder / "status").write_text(status)
    assert host.worker.look().active_jobs == jobs


@pytest.mark.parametrize(
    "listed",
    ["nonsense\n", '{"id": "$(reboot)", "state": "running", "command": "", "service": "worker", "role": ""}\n'],
)
def test_an_answer_in_another_form_is_refused(host: Host, listed: str) -> None:
    (host.folder / "listed").write_text(listed)
    with pytest.raises(HostError):
        host.worker.look()


def test_a_frozen_worker_is_killed_and_not_started_again(host: Host) -> None:
    host.worker.freeze([ID], 45)
    host.worker.kill([ID])
    assert host.calls == [
        f"pause {ID}",
        f"update --restart no {ID}",
        f"inspect --format {{{{.State.Paused}}}} {ID}",
        f"kill --signal KILL {ID}",
    ]


def test_a_worker_that_goes_on_is_not_killed(host: Host) -> None:
    host.worker.freeze([ID], 45)
    host.worker.unfreeze([ID])
    with pytest.raises(HostError):
        host.worker.kill([ID])
    assert not any(call.startswith("kill") for call in host.calls)


def test_a_freeze_ends_by_itself_and_ends_no_later_one(host: Host) -> None:
    host.worker.freeze([ID], 1)
    _until(lambda: f"unpause {ID}" in host.calls)
    host.worker.freeze([ID], 1)
    host.worker.unfreeze([ID])
    host.worker.freeze([ID], 45)
    time.sleep(2)  # the second one's end comes, and is not the third's
    assert host.calls.count(f"unpause {ID}") == 2
    host.worker.unfreeze([ID])


def test_a_docker_that_refuses_is_an_error_with_its_words(host: Host) -> None:
    host._program("docker", "#!/bin/sh\necho 'permission denied' >&2\nexit 1\n")
    for act in (host.worker.look, lambda: host.worker.freeze([ID], 1), lambda: host.worker.unfreeze([ID])):
        with pytest.raises(HostError, match=r"docker does not answer|permission denied"):
            act()


def _until(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
