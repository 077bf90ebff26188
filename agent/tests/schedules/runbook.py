"""An instance as the runbook has it: the unit of section 2, the script of section 8, and nothing that listens to the hook.

- The script runs once, at the first boot, and starts the containers after its pull; later boots have them started by
  ``restart: unless-stopped`` (dockerd) and by the unit.
- Nothing tells the worker that its instance is to end: it goes on taking jobs until the hook times out, 300 s later. ABANDON
  ends the instance all the same. Only then does the system shut down: ``docker compose down`` and dockerd send SIGTERM, and
  SIGKILL 10 s later. The worker would complete the hook then; it is over by that time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schedules.machine import Machine

if TYPE_CHECKING:
    from schedules.cloud import Cloud


class RunbookMachine(Machine):
    """An instance without an agent."""

    worker_hook = "gh-worker-termination"

    def __init__(self, world: Cloud, id: str, zone: str) -> None:
        self._first_boot = True
        super().__init__(world, id, zone)

    def system_is_up(self) -> None:
        if self._first_boot:
            self._first_boot = False
            self.world.timeline.after(self.world.dice.uniform(20, 90), self._script_starts_containers)

    def _script_starts_containers(self) -> None:
        if self.up and self.docker_up and not self.shutting_down:
            self.compose_up()
