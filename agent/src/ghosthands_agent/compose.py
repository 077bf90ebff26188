"""`docker compose` on the worker's project, and every container on this host that runs one of its services.

Containers are found and stopped by docker alone, so neither a broken file nor a missing `.env` can prevent a worker
from being stopped, and neither can somebody who started it without compose.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Mapping, Sequence

from .command import PolledTask, Steps, kill_by_identity, until_completed
from .containers import LIST, containers, in_order
from .docker import ANSWER_SECONDS, Docker, checked
from .files import error_name
from .paths import Paths
from .port_owner import PortOwner
from .ports import SERVICES, WORKER, Refused, Service, Unavailable

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
        self._port_owner = PortOwner(paths.proc, paths.worker_port)
        self._last_listener = ""
        self._unrestarted: set[str] = set()

    def services(self) -> Mapping[str, Service]:
        """See ports.Compose."""
        return {service: found[0] for service, found in self.containers().items()}

    def containers(self) -> Mapping[str, Sequence[Service]]:
        """See ports.Compose."""
        return self._by_service(self._docker.run(*LIST, seconds=ANSWER_SECONDS))

    def restarts(self, service: str) -> int:
        """See ports.Compose."""
        found = self.services().get(service)
        if found is None or not found.container:
            return 0
        try:
            count = self._docker.run("inspect", "--format", "{{.RestartCount}}", found.container).strip()
        except Refused:  # it was removed meanwhile
            return 0
        if not count.isdecimal():
            raise Unavailable("docker inspect", "wrong shape")
        return int(count)

    def up(self, services: Collection[str] = SERVICES) -> PolledTask[None]:
        """See ports.Compose."""
        return PolledTask(self._up(() if set(services) == set(SERVICES) else ("--no-deps", *sorted(services))))

    def terminate(self, service: str) -> None:
        """See ports.Compose. Uses docker without compose, which would take three times as long."""
        try:
            found = self._by_service(self._docker.run(*LIST, seconds=SIGNAL_CALL_SECONDS))
        except Unavailable:
            if service != WORKER or not self._port_owner.terminate():
                raise
            return
        running = [each for each in found.get(service, ()) if not each.down]  # `restarting`: it stays down then
        # Docker restarts what exits after a signal other than its image's STOPSIGNAL, if the policy is `always` or
        # `on-failure`. Compose's own containers have STOPSIGNAL TERM from the override.
        foreign = {each.container for each in running if each.foreign}
        self._run_on("update", "--restart", "no", containers=sorted(foreign - self._unrestarted))
        self._unrestarted |= foreign
        self._run_on("kill", "--signal", "TERM", containers=[each.container for each in running])

    def stop(self, services: Collection[str], grace: float) -> PolledTask[None]:
        """See ports.Compose."""
        return PolledTask(self._stop(services, grace))

    def remove(self, containers: Collection[str], grace: float) -> PolledTask[None]:
        """See ports.Compose."""
        return PolledTask(self._remove(sorted(containers), grace))

    def _by_service(self, output: str) -> dict[str, list[Service]]:
        """The containers in the output of `docker ps`. Raises Unavailable."""
        listener = self._port_owner.container()
        found = containers(output, self._name, listener, self._last_listener)
        if any(container.service.listens for container in found):
            self._last_listener = listener
        roles = {container.role for container in found}
        return {role: in_order(found, role, self._last_listener) for role in sorted(roles)}

    def _run_on(self, *arguments: str, containers: Sequence[str]) -> None:
        """A short docker command on containers; those that have exited meanwhile are no error."""
        try:
            if containers:
                self._docker.run(*arguments, *containers, seconds=SIGNAL_CALL_SECONDS)
        except Refused as refusal:
            if refusal.code != "NotRunning":
                raise

    def _up(self, selection: Sequence[str]) -> Steps[None]:
        lock = self._lock()
        try:
            while not _try_lock(lock):
                yield None
            os.ftruncate(lock, 0)
            arguments = (*self._project, *self._files(), "up", "--detach", "--wait", "--no-build", *selection)
            command = self._docker.start(*arguments, pass_fds=[lock])
            os.pwrite(lock, command.identity.encode(), 0)
        finally:
            os.close(lock)  # the command has inherited it: the lock is held while any of its processes runs
        checked((yield from until_completed(command)), arguments)

    def _stop(self, services: Collection[str], grace: float) -> Steps[None]:
        yield from self._kill_up()
        found = self._by_service((yield from self._docker.steps(*LIST)).output)
        selected = [each.container for service in sorted(services) for each in found.get(service, ())]
        yield from self._stop_containers(selected, grace)

    def _remove(self, selected: Sequence[str], grace: float) -> Steps[None]:
        yield from self._kill_up()
        yield from self._stop_containers(selected, grace)
        yield from self._steps_on("rm", "--force", containers=selected)

    def _stop_containers(self, selected: Sequence[str], grace: float) -> Steps[None]:
        yield from self._steps_on("stop", "-t", str(max(0, round(grace))), containers=selected)

    def _steps_on(self, *arguments: str, containers: Sequence[str]) -> Steps[None]:
        """As `_run_on`, for a command that may take long."""
        try:
            if containers:
                yield from self._docker.steps(*arguments, *containers)
        except Refused as refusal:
            if refusal.code != "NotRunning":
                raise

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
