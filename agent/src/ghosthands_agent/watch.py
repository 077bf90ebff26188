"""The agent's service: protects the instance while the worker is busy, and drains the worker before termination.

It runs whether `boot` succeeded or not.
"""

from __future__ import annotations

from .drain import complete_hook, drain
from .monitor import CHECK_SECONDS, Monitor
from .ports import Flag, Ports, Procedure
from .settings import Settings


def watch(ports: Ports, settings: Settings) -> Procedure[None]:
    """Runs for ever."""
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
    """Drain, and complete the hook if the instance is to terminate; the causes that this handled."""
    result = yield from drain(monitor)
    handled = set(monitor.causes())
    if "terminated" in handled and not monitor.hook_done:
        yield from complete_hook(monitor, result)
    return handled
