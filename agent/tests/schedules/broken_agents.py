"""Agents with one mistake each: the real procedures over ports of which one does something else than it is called for.

The rules must catch every one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ghosthands_agent.ports import (
    NOT_LISTENING,
    WORKER,
    FileName,
    Flag,
    Ports,
    Result,
    Service,
    Unavailable,
    WorkerStatus,
)
from ghosthands_agent.settings import Settings
from model.agent_conf import TERMINATION_HOOK

from schedules.agent_host import Procedures
from schedules.agent_service import Procedure
from schedules.schedule import Schedule

Change = Callable[[Ports], Ports]


class Replaced:
    """A port of which some calls are replaced."""

    def __init__(self, port: object, **calls: Callable[..., object]) -> None:
        self._port = port
        self.__dict__.update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def _do_nothing(*_: object) -> None:
    pass


def never_heartbeats(ports: Ports) -> Ports:
    return replace(ports, group=Replaced(ports.group, heartbeat=_do_nothing))


def never_completes(ports: Ports) -> Ports:
    return replace(ports, group=Replaced(ports.group, complete=_do_nothing))


def completes_twice(ports: Ports) -> Ports:
    def complete(hook: str, result: Result) -> None:
        ports.group.complete(hook, result)
        ports.group.complete(hook, result)

    return replace(ports, group=Replaced(ports.group, complete=complete))


def always_abandons(ports: Ports) -> Ports:
    def complete(hook: str, result: Result) -> None:
        ports.group.complete(hook, "ABANDON")

    return replace(ports, group=Replaced(ports.group, complete=complete))


def completes_before_it_stops_the_worker(ports: Ports) -> Ports:
    def set_flag(flag: Flag, moment: float) -> None:
        ports.records.set_flag(flag, moment)
        if flag == "terminated":
            ports.group.complete(TERMINATION_HOOK, "CONTINUE")

    return replace(ports, records=Replaced(ports.records, set_flag=set_flag))


def never_protects(ports: Ports) -> Ports:
    def protect(protected: bool) -> None:
        if not protected:
            ports.group.protect(False)

    return replace(ports, group=Replaced(ports.group, protect=protect))


def never_removes_protection(ports: Ports) -> Ports:
    def protect(protected: bool) -> None:
        if protected:
            ports.group.protect(True)

    return replace(ports, group=Replaced(ports.group, protect=protect))


def takes_a_busy_worker_for_idle(ports: Ports) -> Ports:
    def status() -> WorkerStatus:
        status = ports.worker.status()
        return replace(status, active_jobs=0) if ports.metadata.target_state() == "Terminated" else status

    return replace(ports, worker=Replaced(ports.worker, status=status))


def kills_a_busy_worker(ports: Ports) -> Ports:
    """SIGKILL right after SIGTERM, as soon as the instance terminates."""

    def status() -> WorkerStatus:
        status = ports.worker.status()
        if status.busy and ports.metadata.target_state() == "Terminated":
            ports.compose.stop((WORKER,), 0.0)
        return status

    return replace(ports, worker=Replaced(ports.worker, status=status))


def drains_a_busy_worker_without_a_guard(ports: Ports) -> Ports:
    """A legacy worker releases its job 30 s later and goes on with it."""

    def status() -> WorkerStatus:
        status = ports.worker.status()
        if status.busy and ports.metadata.target_state() == "Terminated":
            ports.worker.drain()
        return replace(status, is_draining=False)

    return replace(ports, worker=Replaced(ports.worker, status=status))


def posts_no_drain(ports: Ports) -> Ports:
    return replace(ports, worker=Replaced(ports.worker, drain=_do_nothing))


def sends_two_signals(ports: Ports) -> Ports:
    def terminate(service: str) -> None:
        ports.compose.terminate(service)
        ports.compose.terminate(service)

    def status() -> WorkerStatus:
        status = ports.worker.status()
        if status.busy and "terminated" in ports.records.flags():
            terminate(WORKER)
        return status

    compose = Replaced(ports.compose, terminate=terminate)
    return replace(ports, compose=compose, worker=Replaced(ports.worker, status=status))


def always_continues(ports: Ports) -> Ports:
    """Also when a job was lost."""

    def complete(hook: str, result: Result) -> None:
        ports.group.complete(hook, "CONTINUE")

    return replace(ports, group=Replaced(ports.group, complete=complete))


def ignores_raw_containers(ports: Ports) -> Ports:
    """Only what Compose has started is a worker."""

    def containers() -> Mapping[str, Sequence[Service]]:
        found = {
            name: [each for each in services if not each.foreign]
            for name, services in ports.compose.containers().items()
        }
        return {name: services for name, services in found.items() if services}

    def services() -> Mapping[str, Service]:
        return {name: found[0] for name, found in containers().items()}

    def status() -> WorkerStatus:
        if any(each.foreign and each.listens for each in ports.compose.containers().get(WORKER, ())):
            raise Unavailable("worker:status", NOT_LISTENING)
        return ports.worker.status()

    def terminate(service: str) -> None:
        if any(each.runs for each in containers().get(service, ())):
            ports.compose.terminate(service)

    compose = Replaced(ports.compose, containers=containers, services=services, terminate=terminate)
    return replace(ports, compose=compose, worker=Replaced(ports.worker, status=status))


def takes_silence_for_gone(ports: Ports) -> Ports:
    """A worker that does not answer has no container."""
    silent = [False]

    def status() -> WorkerStatus:
        try:
            found = ports.worker.status()
        except Unavailable:
            silent[0] = True
            raise Unavailable("worker:status", NOT_LISTENING) from None
        silent[0] = False
        return found

    def services() -> Mapping[str, Service]:
        return {} if silent[0] else ports.compose.services()

    return replace(
        ports, worker=Replaced(ports.worker, status=status), compose=Replaced(ports.compose, services=services)
    )


def forgets_that_the_worker_was_busy(ports: Ports) -> Ports:
    """It reads "idle" from the first signal on."""

    def status() -> WorkerStatus:
        status = ports.worker.status()
        return replace(status, active_jobs=0) if "stopping" in ports.records.flags() else status

    return replace(ports, worker=Replaced(ports.worker, status=status))


def gives_the_worker_the_hook(ports: Ports) -> Ports:
    def write(name: FileName, text: str) -> bool:
        return ports.files.write(name, text.replace("-is-the-agents", ""))

    return replace(ports, files=Replaced(ports.files, write=write))


def cannot_stop_the_worker(ports: Ports) -> Ports:
    def stop(services: Collection[str], grace: float) -> object:
        if WORKER in services:
            raise Unavailable("docker compose stop", "exit 1")
        return ports.compose.stop(services, grace)

    return replace(ports, compose=Replaced(ports.compose, stop=stop, terminate=_do_nothing, services=dict))


def never_starts_the_worker(ports: Ports) -> Ports:
    def up() -> object:
        raise Unavailable("docker compose up", "exit 1")

    return replace(ports, compose=Replaced(ports.compose, up=up))


def reads_no_wishes(ports: Ports) -> Ports:
    return replace(ports, metadata=Replaced(ports.metadata, wish=_do_nothing))


def loses_the_environment_before(ports: Ports) -> Ports:
    def read(name: FileName) -> str | None:
        return None if name == "previous_environment" else ports.files.read(name)

    return replace(ports, files=Replaced(ports.files, read=read))


def raises_other_errors(ports: Ports) -> Ports:
    def target_state() -> str | None:
        try:
            return ports.metadata.target_state()
        except Unavailable:
            raise ValueError("an adapter's own error") from None

    return replace(ports, metadata=Replaced(ports.metadata, target_state=target_state))


@dataclass(frozen=True)
class Mistake:
    """A broken agent, and the schedules that show it.

    Attributes:
        guard: whether its workers have a guard.
        limit: the drain's limit, where that has to be short.
    """

    change: Change
    guard: bool = True
    limit: int = 0

    @property
    def id(self) -> str:
        return f"{self.change.__name__}{'' if self.guard else ' (no guard)'}"

    def schedule(self, drawn: Schedule) -> Schedule:
        """The schedule to run it in."""
        return replace(drawn, drain_limit=self.limit) if self.limit else drawn

    def procedures(self) -> Procedures:
        """The real procedures with that mistake."""
        real = Procedures()

        def broken(procedure: Procedure) -> Procedure:
            def run(ports: Ports, settings: Settings) -> Generator[float, None, Any]:
                return procedure(self.change(ports), settings)

            return run

        return Procedures(broken(real.boot), broken(real.watch), broken(real.drain), broken(real.stop))
