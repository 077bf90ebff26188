"""An instance as the runbook has it: the unit of section 2, the script of section 8, and nothing that watches the hook.

- The script runs once, at the first boot, and starts the containers after its pull; at later boots they are started by
  `restart: unless-stopped` (dockerd) and by the unit.
- Nothing informs the worker that its instance terminates: it goes on taking jobs until the hook times out, 300 s later.
  ABANDON terminates the instance all the same. Only then does the system shut down: `docker compose down` and dockerd
  send SIGTERM, and SIGKILL 10 s later. The worker would complete the hook then, which is too late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.agent_conf import TERMINATION_HOOK
from model.host import RestartPolicy

from schedules.fleet_host import FleetHost

if TYPE_CHECKING:
    from schedules.simulated_fleet import SimulatedFleet


class RunbookHost(FleetHost):
    """An instance without an agent."""

    restart_policy: RestartPolicy = "unless-stopped"
    worker_hook = TERMINATION_HOOK

    def __init__(self, fleet: SimulatedFleet, id: str, zone: str) -> None:
        self._first_boot = True
        super().__init__(fleet, id, zone)

    def start_units(self) -> None:
        if self._first_boot:
            self._first_boot = False
            self.timeline.after(self.fleet.delay(20, 90), self._start_containers)

    def _start_containers(self) -> None:
        if self.up and self.docker_up and not self.shutting_down:
            self.compose_up()
