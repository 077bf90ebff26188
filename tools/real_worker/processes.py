"""The run's folder, and the processes that must not outlive it.

Whoever kills this program leaves them: the next run finds the folder and what is recorded there, and ends it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcloud.instances.process import kill_processes
from localcloud.testing import Cloud

from tests.registry.servers import Account

PREFIX = "ghosthands-real-worker-"
STOP_SECONDS = 20.0


class RunFolder:
    """A temporary folder with the run's processes.

    Args:
        keep: keep the files (logs, traces) at the end.
    """

    def __init__(self, keep: bool = False) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.path.chmod(0o755)  # PostgreSQL runs as another user
        self._keep = keep
        self._children = list[subprocess.Popen[str]]()
        self._record("owner", os.getpid())

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        directory: Path = Path("/"),
        account: Account | None = None,
        pipes: bool = False,
    ) -> subprocess.Popen[str]:
        """Start a process in a session of its own, so that a Ctrl-C reaches this program only; its log is NAME.log."""
        with (self.path / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                cwd=directory,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else log,
                stderr=log,
                text=True,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self._record(name, process.pid)
        self._children.append(process)
        return process

    def close(self) -> None:
        """End everything, and remove the folder unless it is to be kept."""
        clean_up(self.path, keep=self._keep)
        for child in self._children:
            child.communicate()  # it has ended; closes its pipes

    def _record(self, name: str, pid: int) -> None:
        with (self.path / "processes").open("a") as file:
            file.write(json.dumps([name, pid, _started(pid)]) + "\n")


def remove_leftovers() -> list[Path]:
    """Clean up after runs that were killed; their folders."""
    found = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if (processes := _recorded(folder)) and "owner" not in processes:
            clean_up(folder)
            found.append(folder)
    return found


def clean_up(folder: Path, keep: bool = False) -> None:
    """End a run's clouds, then their instances' processes, then its servers."""
    for own in folder.glob("*/cloud.url"):
        with contextlib.suppress(RuntimeError):  # it is down
            Cloud(own.read_text(), own.parent).run_localcloud("down")
    kill_processes(folder)
    processes = {name: pid for name, pid in _recorded(folder).items() if name != "owner"}
    for pid in processes.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)  # PostgreSQL's fast shutdown
    _wait_for_end(folder, processes)
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_end(folder: Path, processes: Mapping[str, int]) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    for pid in processes.values():
        while pid in _recorded(folder).values():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def _recorded(folder: Path) -> dict[str, int]:
    """The folder's processes that still run, by name."""
    try:
        lines = [json.loads(line) for line in (folder / "processes").read_text().splitlines()]
    except OSError:
        return {}
    return {name: pid for name, pid, started in lines if started and _started(pid) == started}


def _started(pid: int) -> str:
    """When a process started, as /proc has it; empty if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
