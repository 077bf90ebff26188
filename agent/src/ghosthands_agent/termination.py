"""How a worker's process is ended: by a signal, a second one where a job is inside, and the kill only when neither helped.

What the worker does (docs/agent.md, and its source): at SIGTERM it takes no more jobs; with a job a legacy worker waits 30 s and then puts it back into
the queue while it still runs, a queue worker exits after 10 s and the job is lost. A second SIGTERM puts the job back at once and exits 1. Its status
answers until it exits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple, TypeAlias

from .ports import WORKER, PortError, Ports, Procedure, Service, Unavailable
from .settings import Settings

REQUEUE_SECONDS = 40  # legacy: 30 s until the job is back, and the exit. For whoever sends one signal only (compose, the deploy server)
SECOND_SIGNAL_SECONDS = 15  # for the second signal to be obeyed
KILL_SECONDS = 1  # from compose's SIGTERM, the last one, to its SIGKILL
OTHERS_GRACE_SECONDS = 10  # docker's own default; api and deploy server hold no jobs
MARGIN_SECONDS = 20  # docker's and compose's own time
POLL_SECONDS = 0.1
RETRY_SECONDS = 1.0

#: Pauses as `Monitor.pause` does; `stop` has no duties meanwhile and just yields.
Pause: TypeAlias = Callable[[float], Procedure[None]]


class Termination(NamedTuple):
    """A worker without a process.

    Attributes:
        service: its container; None where there is none.
        requeued: whether a job was inside that had to be put back.
        killed: whether signals alone did not end it.
    """

    service: Service | None
    requeued: bool = False
    killed: bool = False


def terminate_worker(
    ports: Ports, pause: Pause, requeue_at: float, grace: float, signalled: Callable[[], None] = lambda: None
) -> Procedure[Termination]:
    """End the worker's process.

    :param requeue_at: the moment from which on a job inside is put back by a second signal; until then the worker has time to finish it.
    :param grace: seconds after `requeue_at` until it is killed; more where a job is being put back.
    :param signalled: called after the first signal.
    :raises Unavailable: docker does not say that it is down, some time after that.
    """
    clock = ports.clock
    failure = ""
    signals, kill_at = 0, max(requeue_at, clock.monotonic()) + grace
    while clock.monotonic() < kill_at:
        due = 1 if signals == 0 or clock.monotonic() < requeue_at or not _is_busy(ports) else 2
        if signals < due:
            try:
                ports.compose.terminate(WORKER)
                signals += 1
                kill_at = max(kill_at, clock.monotonic() + SECOND_SIGNAL_SECONDS) if signals == 2 else kill_at
                ports.journal.step("worker_signal", number=signals)
                if signals == 1:
                    signalled()
            except PortError as error:
                if error.code != failure:
                    ports.journal.step("worker_signal_failed", "warning", call=error.call, code=error.code)
                failure = error.code
                yield from pause(RETRY_SECONDS)
                continue
        try:
            service = ports.compose.services().get(WORKER)
        except PortError:
            yield from pause(RETRY_SECONDS)
            continue
        if service is None or service.down:
            return Termination(service, requeued=signals > 1)
        if not service.runs:
            return Termination(
                (yield from _kill(ports, pause))
            )  # between two lives: only compose's stop keeps docker from starting it again
        yield from pause(POLL_SECONDS)
    return Termination((yield from _kill(ports, pause)), requeued=signals > 1, killed=True)


def stop_services(
    ports: Ports, pause: Pause, services: Collection[str], grace: float, timeout: float
) -> Procedure[bool]:
    """Have compose stop `services`; whether it says that it did, within `timeout` seconds. Does not wait for it longer."""
    until = ports.clock.monotonic() + timeout
    try:
        task = ports.compose.stop(services, grace)
        while not task.done() and ports.clock.monotonic() < until:
            yield from pause(POLL_SECONDS)
        if task.done():
            task.result()
        return task.done()
    except PortError as error:
        ports.journal.step(
            "compose_stop_failed", "warning", services=",".join(services), call=error.call, code=error.code
        )
        return False


def _kill(ports: Ports, pause: Pause) -> Procedure[Service | None]:
    until = ports.clock.monotonic() + 3 * MARGIN_SECONDS
    code = "still running"
    while ports.clock.monotonic() < until:
        yield from stop_services(ports, pause, (WORKER,), KILL_SECONDS, MARGIN_SECONDS)
        try:
            service = ports.compose.services().get(WORKER)
            if service is None or service.down:
                return service
        except PortError as error:
            code = error.code
        yield from pause(RETRY_SECONDS)
    raise Unavailable("worker stop", code)


def _is_busy(ports: Ports) -> bool:
    """Whether a job is inside for certain."""
    try:
        return ports.worker.status().busy
    except PortError:
        return False


def worker_stop_timeout(settings: Settings) -> int:
    """Seconds that a worker which is told once, by whomever, needs so that its job is not lost: compose's stop_grace_period.

    A worker that fits the policy `sigterm` finishes its job after the signal; any other puts it back.
    """
    return (
        settings.drain_limit_seconds
        if settings.drain_policy == "sigterm"
        else max(settings.stop_grace_seconds, REQUEUE_SECONDS)
    )
