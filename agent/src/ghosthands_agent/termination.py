"""Terminate the worker's process: one SIGTERM, a second one if a job runs, and SIGKILL only if neither works.

The worker's behaviour (docs/agent.md, and its source): at SIGTERM it takes no more jobs. With a job, a legacy worker
waits 30 s and returns it to the queue while it still runs; a queue worker exits after 10 s and the job is lost. A
second SIGTERM returns the job to the queue at once, exit code 1. The worker answers status requests until it exits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple, TypeAlias

from .ports import WORKER, PortError, Ports, Procedure, Service, Unavailable
from .settings import Settings

#: legacy: 30 s until the job is back in the queue, and the exit. For senders of one signal only: compose, the deploy
#: server.
REQUEUE_SECONDS = 40
SECOND_SIGNAL_SECONDS = 15  # from the second signal to the exit
KILL_SECONDS = 1  # from compose's SIGTERM, the last one, to its SIGKILL
OTHERS_GRACE_SECONDS = 10  # docker's own default; api and deploy server hold no jobs
MARGIN_SECONDS = 20  # docker's and compose's own time
POLL_SECONDS = 0.1
RETRY_SECONDS = 1.0

#: `Monitor.pause`, or a plain pause in `stop`.
Pause: TypeAlias = Callable[[float], Procedure[None]]


class Termination(NamedTuple):
    """How the worker's process was terminated.

    Attributes:
        service: its container; None if there is none.
        requeued: whether a second signal was needed to return a job to the queue.
        killed: whether SIGKILL was needed.
    """

    service: Service | None
    requeued: bool = False
    killed: bool = False


def terminate_worker(
    ports: Ports, pause: Pause, requeue_at: float, grace: float, signalled: Callable[[], None] = lambda: None
) -> Procedure[Termination]:
    """Terminate the worker's process.

    :param pause: waits some seconds.
    :param requeue_at: when a second signal returns a running job to the queue. Until then the worker may finish the
        job.
    :param grace: seconds from `requeue_at` to SIGKILL; more after a second signal.
    :param signalled: called after the first signal.
    :raises Unavailable: docker does not report it as stopped some time after that.
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
            # Between two processes: only compose's stop keeps docker from starting the next one.
            return Termination((yield from _kill(ports, pause)))
        yield from pause(POLL_SECONDS)
    return Termination((yield from _kill(ports, pause)), requeued=signals > 1, killed=True)


def stop_services(
    ports: Ports, pause: Pause, services: Collection[str], grace: float, timeout: float
) -> Procedure[bool]:
    """Have compose stop `services`; whether it finished within `timeout` seconds, after which it continues alone."""
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
    """Whether a job certainly runs."""
    try:
        return ports.worker.status().busy
    except PortError:
        return False


def worker_stop_timeout(settings: Settings) -> int:
    """compose's stop_grace_period: seconds that the worker needs after one SIGTERM, so that its job is not lost.

    A worker with the policy `sigterm` finishes its job after the signal; any other returns it to the queue.
    """
    if settings.drain_policy == "sigterm":
        return settings.drain_limit_seconds
    return max(settings.stop_grace_seconds, REQUEUE_SECONDS)
