"""The agent's long life: shields the worker while it is busy, and drains it when the instance is to end. Runs whatever became of `boot`."""

from __future__ import annotations

from .drain import complete_hook, drain
from .monitor import CHECK_SECONDS, Monitor
from .ports import Flag, Ports, Procedure
from .settings import Settings


def watch(ports: Ports, settings: Settings) -> Procedure[None]:
    """Never ends by itself."""
    monitor = Monitor(ports, settings)
    ports.journal.step(
        "watch_began", group=settings.group, hook=settings.termination_hook, policy=settings.drain_policy
    )
    ports.supervisor.ready()
    monitor.check()
    handled: set[Flag] = set()
    while True:
        if set(monitor.causes()) - handled:
            ports.supervisor.status("draining")
            handled |= yield from _drain(monitor)
            ports.supervisor.status("drained")
        else:
            monitor.worker()
            yield from monitor.pause(CHECK_SECONDS)


def _drain(monitor: Monitor) -> Procedure[set[Flag]]:
    """One drain, and the hook if the instance is to end; the causes that are handled by it."""
    result = yield from drain(monitor)
    handled = set(monitor.causes())
    if "terminated" in handled and not monitor.hook_done:
        yield from complete_hook(monitor, result)
    return handled
