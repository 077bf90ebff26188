"""Stop the services at a shutdown or reboot, the worker first; and the time limits of the units."""

from __future__ import annotations

from typing import NamedTuple

from .boot import LONGEST_BACK_OFF_SECONDS, REPORT_SECONDS
from .ports import API, DEPLOY_SERVER, Level, Ports, Procedure, Unavailable
from .settings import Settings
from .termination import (
    MARGIN_SECONDS,
    OTHERS_GRACE_SECONDS,
    REQUEUE_SECONDS,
    SECOND_SIGNAL_SECONDS,
    Process,
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
    start = settings.boot_timeout_seconds + LONGEST_BACK_OFF_SECONDS + 2 * REPORT_SECONDS + MARGIN_SECONDS
    worker = _requeue_seconds(settings) + settings.stop_grace_seconds + SECOND_SIGNAL_SECONDS + 4 * MARGIN_SECONDS
    return UnitLimits(round(start), round(worker + OTHERS_GRACE_SECONDS + MARGIN_SECONDS), WATCHDOG_SECONDS)


def stop(ports: Ports, settings: Settings) -> Procedure[int]:
    """Stop everything, the worker first; 0 when all is down, else 1. Touches no hook, since the instance may reboot."""
    began = ports.clock.monotonic()
    ports.journal.step("stop_began")
    process = Process()
    read_status(ports, process)
    try:
        termination = yield from terminate_worker(
            ports,
            _pause,
            process,
            release_at=lambda: began + _requeue_seconds(settings),
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


def _requeue_seconds(settings: Settings) -> int:
    """Seconds that a job gets after the signal.

    Only a worker that drains by itself can use them. Any other should return its job to the queue at once.
    """
    return REQUEUE_SECONDS if settings.drain_policy == "sigterm" else 0


def _drains_itself(settings: Settings) -> bool:
    return settings.drain_policy == "sigterm" and settings.worker_guard == "off"


def _pause(seconds: float) -> Procedure[None]:
    yield seconds
