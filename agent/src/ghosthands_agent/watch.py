"""The agent's service: protects the instance while the worker is busy, drains the worker before termination, and has an
instance that cannot serve replaced.

It runs whether `boot` succeeded or not, and whether there is an agent.conf or not.
"""

from __future__ import annotations

from .drain import complete_hook, drain
from .fitness import Fitness
from .monitor import CHECK_SECONDS, Monitor
from .operations import Operations
from .paths import Paths
from .ports import NO_CREDENTIALS, Flag, Ports, Procedure
from .retention import within_limit
from .settings import Settings

#: Exit code of a process that cannot get credentials: sysexits' EX_TEMPFAIL. systemd starts another one.
NO_CREDENTIALS_EXIT = 75
HOST = Paths()


def watch(ports: Ports, settings: Settings, unfit: str = "", paths: Paths = HOST) -> Procedure[int]:
    """Runs until its process has to be restarted; the exit code.

    :param unfit: why the instance cannot serve, whatever happens: without its agent.conf.
    """
    monitor = Monitor(ports, settings)
    for pause in _run(monitor, Operations(monitor, paths), unfit):
        yield pause
        if monitor.needs_new_process:
            failures = monitor.without_credentials
            ports.journal.step("watch_restarts", "error", reason=NO_CREDENTIALS, failures=failures)
            return NO_CREDENTIALS_EXIT
    return 0


def _run(monitor: Monitor, operations: Operations, unfit: str) -> Procedure[None]:
    ports, settings = monitor.ports, monitor.settings
    ports.journal.step(
        "watch_began", group=settings.group, hook=settings.termination_hook, policy=settings.drain_policy
    )
    ports.supervisor.ready()
    monitor.check()
    handled: set[Flag] = set()
    fitness = Fitness(monitor, unfit)
    while True:
        if set(monitor.causes()) - handled:
            ports.supervisor.status("draining")
            handled |= yield from _drain(monitor)
            ports.supervisor.status("drained")
            continue
        yield from operations.pursue()
        if not set(monitor.causes()) - handled:
            fitness.check(monitor.worker())
            yield from monitor.pause(CHECK_SECONDS)


def _drain(monitor: Monitor) -> Procedure[set[Flag]]:
    """Drain, and complete the hook if the instance is to terminate; the causes that this handled."""
    result = yield from drain(monitor)
    handled = set(monitor.causes())
    if "terminated" in handled and not monitor.hook_done:
        yield from complete_hook(monitor, (yield from within_limit(monitor, result)))
    return handled
