"""Instances that are processes: the same command for each, with its own directory, session and metadata address.

Every process of a machine is known by an environment variable, which descendants inherit: so even daemons that left the
session are found, by this localcloud at the machine's end and by the next one after a crash.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localcloud import imds
from localcloud.instances import Listener, Machine
from localcloud.instances.task_queues import TaskQueues

#: How long a command has to end after SIGTERM, in seconds. EC2 gives an operating system some minutes.
STOP_SECONDS = 10.0
#: The environment variable by which a machine's processes are known; its value is the machine's directory.
MARK = "LOCALCLOUD_MACHINE"
#: How long to wait for killed processes, in seconds; only one that hangs in a system call takes any time.
KILL_SECONDS = 30.0
#: How many machines are started or stopped at once; one that takes its time to stop keeps nobody else waiting.
WORKERS = 64
PROC = Path("/proc")


def parse_command(command: str) -> list[str]:
    """The command as a list of words, its program as an absolute path. It is not run by a shell.

    Raises:
        ValueError: it cannot be parse_command, or there is no such program.
    """
    words = shlex.split(command)
    program = shutil.which(words[0]) if words else None
    if program is None:
        raise ValueError(f"no such program: {words[0]}" if words else "it is empty")
    return [os.path.abspath(program), *words[1:]]


@dataclass
class _Command:
    """A command that was started. It stays a zombie after ``exited``, so that its pid is not reused, until `kill`."""

    process: subprocess.Popen[bytes]
    exited: threading.Event = field(default_factory=threading.Event)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Kill what is left of it, and release its pid.

        Raises:
            OSError: it does not end.
        """
        self.signal(signal.SIGKILL)
        if not self.exited.wait(KILL_SECONDS):
            raise OSError(f"process {self.process.pid} does not end")
        self.process.wait()


@dataclass
class _Running:
    """A machine that was launched; ``command`` and ``endpoint`` are there while it is on."""

    machine: Machine
    command: _Command | None = None
    endpoint: imds.Endpoint | None = None


class ProcessHost:
    """Runs a command per machine.

    Args:
        port: where the API answers on loopback.
        folder: for directories, images and logs; belongs to this host alone, and goes at its end.
        region: the region that commands find in their environment.
        serve: opens a metadata service on an address for whoever calls there.
        stop_seconds: how long a command has to end after SIGTERM.

    Raises:
        OSError: the folder cannot be made, or the system has no /proc.
    """

    kind = "process"

    def __init__(
        self,
        port: int,
        listener: Listener,
        command: Sequence[str],
        folder: Path,
        *,
        region: str,
        serve: imds.Serve,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        if not (PROC / "self" / "environ").exists():
            raise OSError("process instances need /proc, as Linux has it")
        self._port, self._listener, self._command, self._region = port, listener, list(command), region
        self._serve, self._stop_seconds = serve, stop_seconds
        self._folder = folder
        self._queues = TaskQueues(WORKERS)
        self._running: dict[str, _Running] = {}
        clean_up(folder)
        for name in ("machines", "images", "logs"):
            (folder / name).mkdir(mode=0o700, parents=True)

    # --- the methods of a Host---------------------------------------------------------------------------------------

    def launch(self, machine: Machine) -> None:
        """Make its directory, from its image if that was made here, and start the command."""
        self._running[machine.id] = _Running(machine)
        self._put(machine.id, lambda: self._make(machine))

    def stop(self, instance_id: str) -> None:
        """End the command; the directory stays."""

        def task() -> None:
            self._switch_off(instance_id)
            self._listener.ended(instance_id, "stopped", "")

        self._put(instance_id, task)

    def start(self, instance_id: str) -> None:
        """Start the command again."""
        self._put(instance_id, lambda: self._switch_on(instance_id))

    def reboot(self, instance_id: str) -> None:
        """End the command and start it again."""

        def task() -> None:
            self._switch_off(instance_id)
            self._power_on(instance_id)

        self._put(instance_id, task)

    def terminate(self, instance_id: str) -> None:
        """End the command and remove its directory; the log stays."""

        def task() -> None:
            with contextlib.suppress(OSError):  # what cannot be killed now is swept later
                self._switch_off(instance_id)
            shutil.rmtree(self._home(instance_id), ignore_errors=True)
            self._running.pop(instance_id, None)
            self._listener.ended(instance_id, "terminated", "")

        self._queues.put(instance_id, task)

    def make_image(self, instance_id: str, image_id: str, *, reboot: bool) -> None:
        """Keep a copy of the directory."""

        def task() -> None:
            problem = None
            if reboot:
                self._switch_off(instance_id)
            try:
                shutil.copytree(self._home(instance_id), self._image(image_id), symlinks=True, ignore=_special)
            except (OSError, shutil.Error) as error:
                shutil.rmtree(self._image(image_id), ignore_errors=True)
                problem = f"the machine's directory cannot be copied: {error}"
            if reboot:
                self._power_on(instance_id)
            self._listener.image_made(image_id, problem)

        self._put(instance_id, task)

    def drop_image(self, image_id: str) -> None:
        """Remove the copy."""
        self._queues.put(image_id, lambda: shutil.rmtree(self._image(image_id), ignore_errors=True))

    def close(self) -> None:
        """End every machine and leave nothing behind, logs included."""
        self._queues.close()
        commands = [running.command for running in self._running.values() if running.command]
        for command in commands:
            command.signal(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds
        for command in commands:
            command.exited.wait(max(0.0, deadline - time.monotonic()))
            command.kill()
        for running in self._running.values():
            if running.endpoint:
                running.endpoint.close()
        clean_up(self._folder)

    # --- the work, in a machine's queue -----------------------------------------------------------------------------

    def _put(self, instance_id: str, task: Callable[[], None]) -> None:
        """Queue work on a machine; what goes wrong with it fails that machine."""

        def guarded() -> None:
            try:
                if instance_id in self._running:
                    task()
            except (OSError, shutil.Error) as error:
                self._switch_off(instance_id)
                self._listener.ended(instance_id, "failed", f"its machine failed: {error}")

        self._queues.put(instance_id, guarded)

    def _make(self, machine: Machine) -> None:
        home = self._home(machine.id)
        if self._image(machine.image).is_dir():
            shutil.copytree(self._image(machine.image), home, symlinks=True)
        else:
            home.mkdir(mode=0o700)
        user_data = home / "user-data"
        user_data.unlink(missing_ok=True)
        if machine.user_data is not None:
            user_data.touch(mode=0o600)
            user_data.write_bytes(machine.user_data)
        self._switch_on(machine.id)

    def _switch_on(self, instance_id: str) -> None:
        self._power_on(instance_id)
        self._listener.running(instance_id)

    def _power_on(self, instance_id: str) -> None:
        running = self._running[instance_id]
        address = metadata_address(running.machine.address)
        running.endpoint = self._serve(address, 0, lambda _: instance_id)
        with (self._folder / "logs" / f"{instance_id}.log").open("ab") as log:
            process = subprocess.Popen(
                self._command,
                cwd=self._home(instance_id),
                env=self._environment(running.machine, f"http://{address}:{running.endpoint.port}"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        command = running.command = _Command(process)
        threading.Thread(
            target=self._watch, args=(instance_id, command), name=f"watch {instance_id}", daemon=True
        ).start()

    def _environment(self, machine: Machine, metadata: str) -> dict[str, str]:
        """This process's environment without AWS settings, and the machine's own; credentials come from its role."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        direct = ",".join(
            filter(None, [own.get("no_proxy") or own.get("NO_PROXY"), "127.0.0.1", metadata_address(machine.address)])
        )
        return own | {
            MARK: str(self._home(machine.id)),
            "HOME": str(self._home(machine.id)),
            "INSTANCE_ID": machine.id,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_REGION": self._region,
            "AWS_DEFAULT_REGION": self._region,
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    def _watch(self, instance_id: str, command: _Command) -> None:
        """Wait for the command's end; one that nobody asked for is the machine's own."""
        ended = os.waitid(os.P_PID, command.process.pid, os.WEXITED | os.WNOWAIT)
        command.exited.set()
        self._put(instance_id, lambda: self._ended(instance_id, command, ended))

    def _ended(self, instance_id: str, command: _Command, ended: os.waitid_result | None) -> None:
        if self._running[instance_id].command is not command or ended is None:
            return  # it was stopped
        self._switch_off(instance_id)
        if ended.si_code == os.CLD_EXITED and ended.si_status == 0:
            self._listener.ended(instance_id, "stopped", "the command ended")
        else:
            how = "ended with status" if ended.si_code == os.CLD_EXITED else "was ended by signal"
            self._listener.ended(instance_id, "failed", f"the command {how} {ended.si_status}")

    def _switch_off(self, instance_id: str) -> None:
        """End the command and whatever it started, in order and then by force."""
        running = self._running.get(instance_id)
        if running is None:
            return
        if (command := running.command) is not None:
            running.command = None
            command.signal(signal.SIGTERM)
            command.exited.wait(self._stop_seconds)
            command.kill()
        kill_processes(self._home(instance_id))
        if running.endpoint:
            running.endpoint.close()
            running.endpoint = None

    def _home(self, instance_id: str) -> Path:
        return self._folder / "machines" / instance_id

    def _image(self, image_id: str) -> Path:
        return self._folder / "images" / image_id


def metadata_address(address: str) -> str:
    """A machine's metadata address: its private address, mirrored into loopback's network."""
    return f"127.{address.partition('.')[2]}"


def _special(folder: str, names: list[str]) -> list[str]:
    """Names of sockets, pipes and devices, which cannot be copied."""
    modes = {name: os.lstat(os.path.join(folder, name)).st_mode for name in names}
    return [
        name for name, mode in modes.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))
    ]


def clean_up(folder: Path) -> None:
    """Kill every process that a host of this folder has left, and remove the folder."""
    kill_processes(folder)
    shutil.rmtree(folder, ignore_errors=True)


def kill_processes(place: Path) -> None:
    """Kill all processes of machines in this folder, until there are none.

    Raises:
        OSError: some do not end.
    """
    deadline = time.monotonic() + KILL_SECONDS
    while found := find_processes(place):
        if time.monotonic() > deadline:
            raise OSError(f"processes of {place} do not end: {', '.join(str(pid) for pid, _ in found)}")
        for pid, started in found:
            if started == _started(pid):  # its number has not passed to another since it was looked at
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def find_processes(place: Path) -> list[tuple[int, str]]:
    """Pid and start time of each process of this user that belongs to a machine in this folder."""
    exact, inside = f"{MARK}={place}".encode(), f"{MARK}={place}/".encode()
    found = []
    for entry in PROC.iterdir() if PROC.exists() else ():
        if not entry.name.isdecimal():
            continue
        started = _started(int(entry.name))
        with contextlib.suppress(OSError):  # ended meanwhile, or another user's
            variables = (entry / "environ").read_bytes().split(b"\0")
            if started and any(variable == exact or variable.startswith(inside) for variable in variables):
                found.append((int(entry.name), started))
    return found


def _started(pid: int) -> str:
    """When a process started, as in /proc; empty if it does not exist or is a zombie."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
