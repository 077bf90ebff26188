"""Child processes: argument lists, a small environment, a process group each; with a time limit, or started and polled.

Their output may quote the `.env`: of a failed one the last lines are kept, masked (masking.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from .ports import PortError, Unavailable

T = TypeVar("T")
#: Environment variables that a child process gets. Others, such as credentials and COMPOSE_*, are not passed on.
PASSED_VARIABLES = ("PATH", "HOME", "DOCKER_HOST", "LANG")
OUTPUT_BYTES = 1 << 20
KILL_SECONDS = 0.4  # a killed process exits within milliseconds
SUBCOMMANDS = frozenset("compose image inspect kill ps pull rm stop try-restart up update version".split())


@dataclass(frozen=True)
class CompletedCommand:
    """A finished process. `output` is stdout, `errors` stderr, each cut at 1 MiB. Not for logs.

    `said`: the last lines of these if it failed, with secrets masked.
    """

    code: int
    output: str
    errors: str
    said: str = ""


class Command:
    """A started process.

    Args:
        arguments: the program and its arguments; never a secret.
        environment: variables besides PASSED_VARIABLES.
        pass_fds: file descriptors that it inherits.
        mask: gives the last lines of its output without secrets, if it fails.
        end: keep the end of a long output, not its beginning.

    Raises:
        Unavailable: it cannot be started.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        mask: Callable[[str], str] = lambda _: "",
        end: bool = False,
    ) -> None:
        self._mask, self._end = mask, end
        self._name = name(arguments)
        # Files rather than pipes: nothing reads while it runs, and a full pipe would block it. In memory: a full disk
        # blocks nothing, and nothing is left behind.
        self._output, self._errors = os.memfd_create("output"), os.memfd_create("errors")
        self._completed: CompletedCommand | None = None
        passed = {variable: os.environ[variable] for variable in PASSED_VARIABLES if variable in os.environ}
        try:
            self._process = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._errors,
                env={**passed, **(environment or {})},
                start_new_session=True,
                pass_fds=tuple(pass_fds),
            )
        except OSError as problem:
            self._read_streams()
            raise Unavailable(self._name, type(problem).__name__) from None

    @property
    def identity(self) -> str:
        """Identifies the process to `kill_by_identity`, also in another process."""
        return f"{self._process.pid} {_start_time(self._process.pid)}"

    @property
    def said(self) -> str:
        """The last lines that it wrote, masked, if it has failed."""
        return self._completed.said if self._completed else ""

    def poll(self) -> CompletedCommand | None:
        """The finished process; None while it runs."""
        if self._completed is None and (code := self._process.poll()) is not None:
            output, errors = self._read_streams()
            said = self._mask(errors if errors.strip() else output) if code else ""
            self._completed = CompletedCommand(code, output, errors, said)
        return self._completed

    def wait(self, seconds: float) -> CompletedCommand:
        """Wait for it to finish. Raises Unavailable (Timeout) if it takes longer; it is killed then."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Unavailable(self._name, "Timeout", self.said) from None
        completed = self.poll()
        assert completed is not None
        return completed

    def kill(self) -> None:
        """Kill its process group. A process that hangs in the kernel is not waited for."""
        if self._completed is None:
            _kill_group(self._process.pid)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_SECONDS)
            self.poll()

    def _read_streams(self) -> tuple[str, str]:
        return _read_out(self._output, self._end), _read_out(self._errors, self._end)


def kill_by_identity(identity: str) -> None:
    """Send SIGKILL to a command's process group, if the command still runs.

    The process id alone may belong to another process by now.
    """
    pid, _blank, started = identity.partition(" ")
    if pid.isdecimal() and _start_time(int(pid)) == started != "":
        _kill_group(int(pid))


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _start_time(pid: int) -> str:
    """When the process started, in the kernel's ticks (proc(5), stat, field 22); empty if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def name(arguments: Sequence[str]) -> str:
    """A command's name in errors: the program and its subcommands, such as `docker compose up`."""
    return " ".join([os.path.basename(arguments[0]), *(word for word in arguments[1:] if word in SUBCOMMANDS)])


def _read_out(file: int, end: bool) -> str:
    start = max(0, os.fstat(file).st_size - OUTPUT_BYTES) if end else 0
    text = os.pread(file, OUTPUT_BYTES, start).decode(errors="replace")
    os.close(file)
    return text


#: Steps of a task: yields the running command, or None while it waits for something else.
Steps = Generator[Command | None, None, T]


class PolledTask(Generic[T]):
    """A ports.Task without a thread: each call of `done` takes the next step."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps: Steps[T] | None = steps
        self._running: Command | None = None
        self._result: T | None = None
        self._problem: PortError | None = None
        self.done()

    def done(self) -> bool:
        """See ports.Task."""
        if self._steps:
            try:
                self._running = next(self._steps)
            except StopIteration as end:
                self._result, self._steps = end.value, None
            except PortError as problem:
                self._problem, self._steps = problem, None
        return self._steps is None

    def result(self) -> T:
        """See ports.Task."""
        if self._steps:
            raise ValueError("not done")
        if self._problem:
            raise self._problem
        return self._result  # type: ignore[return-value]  # T may well be None

    def cancel(self) -> None:
        """See ports.Task. The result raises Unavailable (Cancelled) then."""
        if self._steps:
            self._steps, said = None, ""
            if self._running:
                self._running.kill()
                said = self._running.said
            self._problem = Unavailable("task", "Cancelled", said)


def until_completed(command: Command) -> Steps[CompletedCommand]:
    """Wait for a command, step by step."""
    while (completed := command.poll()) is None:
        yield command
    return completed
