"""Agents with one mistake each: the real procedures over ports of which one does something else than it is called for.

The rules must catch every one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from dataclasses import replace
from typing import Any

from ghosthands_agent.ports import WORKER, FileName, Flag, Ports, Result, Unavailable, WorkerStatus
from ghosthands_agent.settings import Settings
from model.agent_conf import TERMINATION_HOOK

from schedules.agent_host import Procedures
from schedules.agent_service import Procedure

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


def drains_a_busy_legacy_worker(ports: Ports) -> Ports:
    """The worker releases its job 30 s later and goes on with it."""

    def status() -> WorkerStatus:
        status = ports.worker.status()
        if status.busy and ports.metadata.target_state() == "Terminated":
            ports.worker.drain()
        return replace(status, is_draining=False)

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


def raises_other_errors(ports: Ports) -> Ports:
    def target_state() -> str | None:
        try:
            return ports.metadata.target_state()
        except Unavailable:
            raise ValueError("an adapter's own error") from None

    return replace(ports, metadata=Replaced(ports.metadata, target_state=target_state))


def procedures(change: Change) -> Procedures:
    """The real procedures with that mistake."""
    real = Procedures()

    def broken(procedure: Procedure) -> Procedure:
        def run(ports: Ports, settings: Settings) -> Generator[float, None, Any]:
            return procedure(change(ports), settings)

        return run

    return Procedures(broken(real.boot), broken(real.watch), broken(real.drain), broken(real.stop))
