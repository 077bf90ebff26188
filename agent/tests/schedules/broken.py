"""Agents with one mistake each: the true procedures over neighbours of which one does not do what it is told. The rules must catch every one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from dataclasses import replace
from typing import Any

from ghosthands_agent.ports import WORKER, FileName, Flag, Ports, Result, Unavailable, WorkerStatus
from ghosthands_agent.settings import Settings

from schedules.agent import Procedures, Telling

Change = Callable[[Ports], Ports]


class Instead:
    """A neighbour of which some calls are others."""

    def __init__(self, true: object, **calls: Callable[..., object]) -> None:
        self._true = true
        self.__dict__.update(calls)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._true, name)


def _nothing(*_: object) -> None:
    pass


def never_heartbeats(ports: Ports) -> Ports:
    return replace(ports, group=Instead(ports.group, heartbeat=_nothing))


def never_completes(ports: Ports) -> Ports:
    return replace(ports, group=Instead(ports.group, complete=_nothing))


def completes_twice(ports: Ports) -> Ports:
    def complete(hook: str, result: Result) -> None:
        ports.group.complete(hook, result)
        ports.group.complete(hook, result)

    return replace(ports, group=Instead(ports.group, complete=complete))


def always_abandons(ports: Ports) -> Ports:
    return replace(
        ports, group=Instead(ports.group, complete=lambda hook, result: ports.group.complete(hook, "ABANDON"))
    )


def completes_before_it_stops(ports: Ports) -> Ports:
    def set_flag(mark: Flag, moment: float) -> None:
        ports.records.set_flag(mark, moment)
        if mark == "terminated":
            ports.group.complete("gh-worker-termination", "CONTINUE")

    return replace(ports, records=Instead(ports.records, set_flag=set_flag))


def never_shields(ports: Ports) -> Ports:
    return replace(
        ports, group=Instead(ports.group, protect=lambda wanted: None if wanted else ports.group.protect(False))
    )


def never_takes_the_shield_away(ports: Ports) -> Ports:
    return replace(
        ports, group=Instead(ports.group, protect=lambda wanted: ports.group.protect(True) if wanted else None)
    )


def _seen_idle(status: WorkerStatus) -> WorkerStatus:
    return replace(status, active_jobs=0)


def does_not_look_whether_it_is_busy(ports: Ports) -> Ports:
    def status() -> WorkerStatus:
        true = ports.worker.status()
        return _seen_idle(true) if ports.metadata.target_state() == "Terminated" else true

    return replace(ports, worker=Instead(ports.worker, status=status))


def kills_instead_of_waiting(ports: Ports) -> Ports:
    """SIGKILL right after SIGTERM, at the first sight of the end."""

    def status() -> WorkerStatus:
        true = ports.worker.status()
        if true.busy and ports.metadata.target_state() == "Terminated":
            ports.compose.stop((WORKER,), 0.0)
        return true

    return replace(ports, worker=Instead(ports.worker, status=status))


def drains_a_busy_legacy_worker(ports: Ports) -> Ports:
    """The worker hands its job back 30 s later and goes on with it."""

    def status() -> WorkerStatus:
        true = ports.worker.status()
        if true.busy and ports.metadata.target_state() == "Terminated":
            ports.worker.drain()
        return replace(true, is_draining=False)

    return replace(ports, worker=Instead(ports.worker, status=status))


def gives_the_worker_the_hook(ports: Ports) -> Ports:
    def write(name: FileName, text: str) -> bool:
        return ports.files.write(name, text.replace("-is-the-agents", ""))

    return replace(ports, files=Instead(ports.files, write=write))


def cannot_stop_the_worker(ports: Ports) -> Ports:
    def stop(services: Collection[str], grace: float) -> object:
        if WORKER in services:
            raise Unavailable("docker compose stop", "exit 1")
        return ports.compose.stop(services, grace)

    return replace(ports, compose=Instead(ports.compose, stop=stop, terminate=_nothing, services=dict))


def leaves_the_worker_down(ports: Ports) -> Ports:
    def up() -> object:
        raise Unavailable("docker compose up", "exit 1")

    return replace(ports, compose=Instead(ports.compose, up=up))


def lets_errors_through(ports: Ports) -> Ports:
    def target_state() -> str | None:
        try:
            return ports.metadata.target_state()
        except Unavailable:
            raise ValueError("an adapter's own error") from None

    return replace(ports, metadata=Instead(ports.metadata, target_state=target_state))


def procedures(change: Change) -> Procedures:
    """The true procedures with that mistake."""
    true = Procedures()

    def broken(procedure: Telling) -> Telling:
        def tell(ports: Ports, settings: Settings) -> Generator[float, None, Any]:
            return procedure(change(ports), settings)

        return tell

    return Procedures(broken(true.boot), broken(true.watch), broken(true.ask), broken(true.stop))
