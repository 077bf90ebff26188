"""`docker compose` on the worker's project.

Containers are found and stopped by the project's name alone, so neither a broken file nor a missing `.env` can prevent
a worker from being stopped.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Collection, Mapping

from .command import PolledTask, Steps, kill_by_identity, until_completed
from .docker import Docker, checked
from .files import error_name
from .paths import Paths
from .ports import Refused, Service, Unavailable

#: A killed process group exits within milliseconds, unless the disk hangs.
KILL_SECONDS = 5.0
SIGNAL_CALL_SECONDS = 2.0  # each of the two calls of a signal


class DockerCompose:
    """ports.Compose.

    An `up` that outlives the agent goes on and holds a lock. Another `up` waits for it; a `stop` kills it first, so
    that it cannot start again what is being stopped.
    """

    def __init__(self, docker: Docker, paths: Paths) -> None:
        self._docker, self._paths = docker, paths
        self._name = project_name(paths)
        self._project = ("compose", "--project-name", self._name)

    def services(self) -> Mapping[str, Service]:
        """See ports.Compose."""
        return _services(self._docker.run(*self._project, "ps", "--all", "--format", "json"))

    def up(self) -> PolledTask[None]:
        """See ports.Compose."""
        return PolledTask(self._up())

    def terminate(self, service: str) -> None:
        """See ports.Compose. Uses docker without compose, which would take three times as long."""
        of_service = (f"label=com.docker.compose.project={self._name}", f"label=com.docker.compose.service={service}")
        filters = [word for label in of_service for word in ("--filter", label)]
        if containers := self._docker.run("ps", "--quiet", "--no-trunc", *filters, seconds=SIGNAL_CALL_SECONDS).split():
            try:
                self._docker.run("kill", "--signal", "TERM", *containers, seconds=SIGNAL_CALL_SECONDS)
            except Refused as refusal:
                if refusal.code != "NotRunning":
                    raise

    def stop(self, services: Collection[str], grace: float) -> PolledTask[None]:
        """See ports.Compose."""
        return PolledTask(self._stop(sorted(services), str(max(0, round(grace)))))

    def _up(self) -> Steps[None]:
        lock = self._lock()
        try:
            while not _try_lock(lock):
                yield None
            os.ftruncate(lock, 0)
            arguments = (*self._project, *self._files(), "up", "--detach", "--wait", "--no-build")
            command = self._docker.start(*arguments, pass_fds=[lock])
            os.pwrite(lock, command.identity.encode(), 0)
        finally:
            os.close(lock)  # the command has inherited it: the lock is held while any of its processes runs
        checked((yield from until_completed(command)), arguments)

    def _stop(self, services: list[str], grace: str) -> Steps[None]:
        yield from self._kill_up()
        yield from self._docker.steps(*self._project, "stop", "--timeout", grace, *services)

    def _kill_up(self) -> Steps[None]:
        lock = self._lock()
        try:
            deadline = time.monotonic() + KILL_SECONDS
            while not _try_lock(lock) and time.monotonic() < deadline:
                kill_by_identity(os.pread(lock, 64, 0).decode(errors="replace"))
                yield None
        finally:
            os.close(lock)

    def _lock(self) -> int:
        path = self._paths.run / "compose.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise Unavailable("lock docker compose", error_name(problem)) from None

    def _files(self) -> list[str]:
        override = ["--file", str(self._paths.override)] if self._paths.override.exists() else []
        return ["--project-directory", str(self._paths.project), "--file", str(self._paths.compose_file), *override]


def project_name(paths: Paths) -> str:
    """Compose's own name for a project in this directory (compose-go, NormalizeProjectName).

    So `docker compose ps` in that directory shows it.
    """
    kept = "".join(
        letter for letter in paths.project.name.lower() if letter.isascii() and (letter.isalnum() or letter in "-_")
    )
    return kept.lstrip("-_")


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _services(output: str) -> dict[str, Service]:
    """The services in the output of `ps --format json`, an object per line. Raises Unavailable."""
    try:
        listed = [json.loads(line) for line in output.splitlines() if line.strip()]
        return {
            container["Service"]: Service(
                state=str(container["State"]),
                exit_code=int(container["ExitCode"]),
                health=str(container.get("Health") or ""),
            )
            for container in listed
        }
    except (ValueError, LookupError, TypeError):
        raise Unavailable("docker compose ps", "wrong shape") from None
