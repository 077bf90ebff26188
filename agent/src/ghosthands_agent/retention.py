"""The limit of retained instances: each one is billed until somebody ends it, and none counts as capacity.

A drain that lost a job completes its hook with ABANDON, for which the group retains the instance. Where the group has
as many as RETAINED_MAX, the instance has its logs shipped and ends.
"""

from __future__ import annotations

from .log_shipper import FLUSH_SECONDS
from .monitor import Monitor
from .passing_errors import BackOff
from .ports import GroupState, PortError, Procedure, Result, Unavailable
from .replacement import slot_wait

RETAINED = "Terminating:Retained"
#: Two readings of the files by the shipper, which follows them by the second, and its sending.
SHIP_SECONDS = 3.0 * FLUSH_SECONDS
READ_SECONDS = 60.0  # how long the group is read again after errors that pass
#: So long may an instance wait for its turn: at the longest as many as end together with a lost job each.
TURN_SECONDS = 120.0
PAUSE = 1.0


def within_limit(monitor: Monitor, result: Result) -> Procedure[Result]:
    """The result with which to complete the termination hook instead of this one.

    A group that cannot be read is no reason to let the evidence of a lost job go: ABANDON then.
    """
    if result != "ABANDON" or "terminated" not in monitor.flags:
        return result
    try:
        retained = yield from _retained(monitor)
    except PortError as error:
        monitor.ports.journal.step("retained_unknown", "warning", call=error.call, code=error.code)
        return result
    limit = monitor.settings.retained_max
    if retained < limit:
        return result
    logs = monitor.settings.log_group or "none: the logs go with the instance"
    monitor.ports.journal.step("retained_limit", "error", retained=retained, limit=limit, logs=logs)
    if monitor.settings.log_group is not None:
        yield from _ship_logs(monitor)
    return "CONTINUE"


def _retained(monitor: Monitor) -> Procedure[int]:
    """How many the group has, read when it is this instance's turn of those that end. Raises PortError."""
    until, give_up = monitor.now + READ_SECONDS, monitor.now + TURN_SECONDS
    back_off = BackOff(monitor.ports.random, PAUSE, READ_SECONDS / 6)
    while True:
        try:
            id, group = monitor.ports.metadata.instance().id, monitor.ports.group.state()
        except Unavailable:
            if monitor.now >= until:
                raise
            yield from monitor.pause(back_off.pause())
            continue
        wait = _turn(group, id, monitor.ports.clock.wall())
        if not wait or monitor.now + wait > give_up:
            return sum(each.state == RETAINED for each in group.members)
        yield from monitor.pause(min(wait, PAUSE))
        until = monitor.now + READ_SECONDS


def _turn(group: GroupState, id: str, wall: float) -> float:
    """Seconds until its turn among the instances that end."""
    ending = [each.id for each in group.members if each.state.startswith("Terminating") and each.state != RETAINED]
    return slot_wait(ending.index(id), len(ending), wall) if id in ending else 0.0


def _ship_logs(monitor: Monitor) -> Procedure[None]:
    """Give the shipper time for this drain's last lines, then have it send what it holds."""
    until = monitor.now + SHIP_SECONDS
    while monitor.now < until:
        yield from monitor.pause(PAUSE)
    task, until = monitor.ports.logs.flush(), monitor.now + FLUSH_SECONDS
    while not task.done() and monitor.now < until:
        yield from monitor.pause(PAUSE / 4)
