"""The agent's long life: shields the worker while it is busy, and drains it when the instance is to end. Runs whatever became of `boot`."""

from __future__ import annotations

from .drain import drain, let_go
from .ports import Mark, Ports, Story
from .settings import Settings
from .vigil import LOOK_SECONDS, Vigil


def watch(ports: Ports, settings: Settings) -> Story[None]:
    """Never ends by itself."""
    vigil = Vigil(ports, settings)
    ports.journal.step(
        "watch_began", group=settings.group, hook=settings.termination_hook, policy=settings.drain_policy
    )
    ports.supervisor.ready()
    vigil.look()
    settled: set[Mark] = set()
    while True:
        if set(vigil.causes()) - settled:
            ports.supervisor.status("draining")
            settled |= yield from _drained(vigil)
            ports.supervisor.status("drained")
        else:
            vigil.worker()
            yield from vigil.rest(LOOK_SECONDS)


def _drained(vigil: Vigil) -> Story[set[Mark]]:
    """One drain, and the hook if the instance is to end; the causes that are settled by it."""
    result = yield from drain(vigil)
    settled = set(vigil.causes())
    if "terminated" in settled and not vigil.hook_done:
        yield from let_go(vigil, result)
    return settled
