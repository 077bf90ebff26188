"""Stop the services at a shutdown or reboot, the worker first; and the time limits of the units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .boot import REPORT_SECONDS, RETRY_SECONDS
from .ports import API, DEPLOY_SERVER, Flag, Level, PortError, Ports, Procedure, Unavailable
from .settings import Settings
from .termination import (
    MARGIN_SECONDS,
    OTHERS_GRACE_SECONDS,
    REQUEUE_SECONDS,
    SECOND_SIGNAL_SECONDS,
    SIGNAL_SHOWS_SECONDS,
    Process,
    await_earlier_signal,
    read_status,
    stop_services,
    terminate_worker,
)

WATCHDOG_SECONDS = 60  # watch reports in every check; the port calls of one check take 25 s at worst


class UnitLimits(NamedTuple):
    """The units' options for these settings, in seconds.

    Attributes:
        boot_start: TimeoutStartSec of the unit that runs `boot`.
        boot_stop: TimeoutStopSec of the same unit, whose ExecStop is `stop`.
        watchdog: WatchdogSec of the unit that runs `watch`.
    """

    boot_start: int
    boot_stop: int
    watchdog: int


def unit_limits(settings: Settings) -> UnitLimits:
    """Limits within which the procedures finish by themselves."""
    start = settings.boot_timeout_seconds + RETRY_SECONDS + REPORT_SECONDS + MARGIN_SECONDS
    worker = _requeue_seconds(settings) + settings.stop_grace_seconds + SECOND_SIGNAL_SECONDS + 4 * MARGIN_SECONDS
    stop = SIGNAL_SHOWS_SECONDS + worker + OTHERS_GRACE_SECONDS + MARGIN_SECONDS
    return UnitLimits(round(start), round(stop), WATCHDOG_SECONDS)


def stop(ports: Ports, settings: Settings) -> Procedure[int]:
    """Stop everything, the worker first; 0 when all is down, else 1. Touches no hook, since the instance may reboot."""
    began = ports.clock.monotonic()
    ports.journal.step("stop_began")
    process = yield from _read_process(ports, settings)
    release_at = ports.clock.monotonic() + _requeue_seconds(settings)
    try:
        termination = yield from terminate_worker(
            ports,
            _pause,
            process,
            release_at=lambda: release_at,
            grace=settings.stop_grace_seconds,
            drains_itself=_drains_itself(settings),
        )
        termination.log_job(ports.journal)
        worker = True
    except Unavailable as error:
        ports.journal.step("worker_stop_failed", "error", code=error.code)
        worker = False
    others = yield from stop_services(
        ports, _pause, (API, DEPLOY_SERVER), OTHERS_GRACE_SECONDS, OTHERS_GRACE_SECONDS + MARGIN_SECONDS
    )
    level: Level = "info" if worker and others else "error"
    ports.journal.step(
        "stop_ended", level, worker=worker, others=others, seconds=round(ports.clock.monotonic() - began, 1)
    )
    return 0 if worker and others else 1


def _read_process(ports: Ports, settings: Settings) -> Procedure[Process]:
    """What is known of the worker's process. A drain may have signalled it, and a second signal may lose its job."""
    process, flags = Process(), _flags(ports)
    if _drains_itself(settings):
        read_status(ports, process)
    else:
        yield from await_earlier_signal(ports, _pause, process, flags)
    process.recall(flags)
    return process


def _flags(ports: Ports) -> Mapping[Flag, float]:
    try:
        return ports.records.flags()
    except PortError:
        return {}


def _requeue_seconds(settings: Settings) -> int:
    """Seconds that a job gets after the signal.

    Only a worker that drains by itself can use them. Any other should return its job to the queue at once.
    """
    return REQUEUE_SECONDS if settings.drain_policy == "sigterm" else 0


def _drains_itself(settings: Settings) -> bool:
    return settings.drain_policy == "sigterm" and settings.worker_guard == "off"


def _pause(seconds: float) -> Procedure[None]:
    yield seconds
