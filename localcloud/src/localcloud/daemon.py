"""The localcloud of one port: started in the background, asked for its status, stopped. Needs no other program."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from localcloud import NAME
from localcloud.instances import process

#: Importing moto takes one to two seconds, several on a busy machine.
START_SECONDS = 60.0
#: Each line of progress allows this much more time: a base image for containers takes minutes to build.
PROGRESS_SECONDS = 900.0
#: How long a server may take to close its port after SIGTERM, and then to end its machines.
STOP_SECONDS, CLOSE_SECONDS = 10.0, 120.0
#: What a line of progress begins with in the log.
PROGRESS = "  "
#: Runs the server from where this package is, whatever the working directory, PYTHONPATH or installation are. -P keeps
#: the working directory out of sys.path.
_PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from localcloud.__main__ import main; sys.exit(main())"
_PACKAGE_FOLDER = Path(__file__).parents[1]
#: Loopback is never asked through a proxy.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotRunning(Exception):
    """Nothing answers on the port, or something that is not localcloud."""


class Daemon:
    """The server process of one port, known by what answers there, and by the lock that it holds on its pid file."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        folder = runtime_folder()
        self.pid_file = folder / f"{port}.pid"
        self.log_file = folder / f"{port}.log"
        self.machines_folder = folder / str(port)
        #: Layers of images in its registry.
        self.registry_folder = folder / f"{port}-registry"
        #: Exists while there may be containers, also after a crash.
        self.containers_file = folder / f"{port}.containers"

    def status(self) -> dict[str, Any] | None:
        """The status of the localcloud on this port; None if there is none that answers."""
        try:
            status = self._get("status", timeout=3)
        except NotRunning:
            return None
        return status if status.get("name") == NAME else None

    def events(self, after: int) -> list[dict[str, Any]]:
        """The events with a number higher than ``after``.

        Raises:
            NotRunning: nothing answers.
        """
        events: list[dict[str, Any]] = self._get(f"events?after={after}", timeout=10)["events"]
        return events

    def _get(self, control: str, timeout: float) -> dict[str, Any]:
        try:
            with _DIRECT.open(f"{self.url}/localcloud/{control}", timeout=timeout) as answer:
                return dict(json.load(answer))
        except (OSError, ValueError, TypeError) as problem:
            raise NotRunning(str(problem)) from problem

    def port_taken(self) -> bool:
        """Whether anything listens on the port."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def start(self, options: Sequence[str], report: Callable[[str], None]) -> None:
        """Start the server in the background and wait until it answers.

        Args:
            options: of ``localcloud serve``.
            report: is called with each line of progress.

        Raises:
            SystemExit: it exited before it answered, or did not answer in time; the end of its log is shown.
        """
        with self.log_file.open("w", encoding="utf-8") as log:
            server = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-c", _PROGRAM, str(_PACKAGE_FOLDER)),
                    *("serve", "--port", str(self.port), *options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline, reported = time.monotonic() + START_SECONDS, 0
        while server.poll() is None and time.monotonic() < deadline:
            if self.status():
                return
            progress = [line for line in self._log() if line.startswith(PROGRESS)]
            for line in progress[reported:]:
                report(line)
                deadline = time.monotonic() + PROGRESS_SECONDS
            reported = len(progress)
            time.sleep(0.05)
        server.terminate()
        tail = "\n".join(self._log()[-15:])
        raise SystemExit(f"localcloud did not start on port {self.port}; its log {self.log_file} ends:\n{tail}")

    def _log(self) -> list[str]:
        return self.log_file.read_text(encoding="utf-8").splitlines()

    @contextlib.contextmanager
    def hold_pid_file(self) -> Iterator[None]:
        """Write this process's pid and lock the file while the block runs; the kernel unlocks it when the process dies.

        Raises:
            BlockingIOError: another process holds it.
        """
        with self.pid_file.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
            yield

    def pid(self) -> int | None:
        """The pid of the server of this port, whether it answers or not; None if none runs."""
        try:
            with self.pid_file.open(encoding="utf-8") as file:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return None
                return int(file.read())
        except (OSError, ValueError):
            return None

    def stop(self, pid: int) -> None:
        """Terminate the server and its machines, and wait until the process is gone; by force if it takes too long."""
        deadline, closing = time.monotonic() + STOP_SECONDS, False
        _signal(pid, signal.SIGTERM)
        while self.pid() == pid or self.port_taken():
            if not closing and not self.port_taken():  # it has heard, and ends its machines
                deadline, closing = time.monotonic() + CLOSE_SECONDS, True
            if time.monotonic() > deadline:
                _signal(pid, signal.SIGKILL)
                break
            time.sleep(0.05)

    def clean_up(self) -> None:
        """End the processes and containers that a server which was killed has left, and remove its pid file."""
        self.pid_file.unlink(missing_ok=True)
        process.clean_up(self.machines_folder)
        shutil.rmtree(self.registry_folder, ignore_errors=True)
        if self.containers_file.exists():
            from localcloud.instances import container  # looks for Docker's tools, which nobody else needs

            container.clean_up(container.label_of(self.port))
            self.containers_file.unlink()


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has exited meanwhile
        os.kill(pid, number)


def runtime_folder() -> Path:
    """This user's folder for pid and log files; made when missing, readable by nobody else.

    Raises:
        SystemExit: it belongs to another user.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "localcloud" if base else Path(f"/tmp/localcloud-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise SystemExit(f"{folder} belongs to another user")
    return folder
