"""Simulated instances: nothing but time until they run or are drained, on a clock that may run fast."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

from localcloud.instances import Listener, Machine


class Timetable:
    """Actions with the time at which they are due; `tick` runs them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have an action run after so many seconds."""
        heapq.heappush(self._entries, (self.clock() + seconds, next(self._numbers), action))

    def tick(self) -> None:
        """Run what is due, in order, and what that makes due at once."""
        while self._entries and self._entries[0][0] <= self.clock():
            heapq.heappop(self._entries)[2]()

    def clear(self) -> None:
        """Forget all of it."""
        self._entries.clear()


class SimulatedHost:
    """A ``Host`` of such instances; it reports from within its methods and from the timetable.

    Args:
        boot_seconds: how long a machine takes to be switched on; 0 is at once.
        agent_seconds: how long an instance drains before it completes its hooks; None: it does not complete them.
        complete_hooks: completes whatever lifecycle actions the instance waits in.

    Attributes:
        completes_launches: whether an instance completes its launch hooks once it runs, also without `agent_seconds`.
    """

    kind = "simulated"

    def __init__(
        self,
        listener: Listener,
        timetable: Timetable,
        *,
        boot_seconds: float = 0.0,
        agent_seconds: float | None = None,
        complete_hooks: Callable[[str], None] = lambda instance_id: None,
    ) -> None:
        self._listener = listener
        self._timetable = timetable
        self._boot_seconds = boot_seconds
        self._agent_seconds = agent_seconds
        self._complete_hooks = complete_hooks
        self.completes_launches = agent_seconds is not None
        #: Machines by id with the number of their present boot; None while they are off.
        self._boots: dict[str, int | None] = {}
        self._numbers = itertools.count()

    def launch(self, machine: Machine) -> None:
        """Switch a machine on."""
        self.start(machine.id)

    def start(self, instance_id: str) -> None:
        """Switch it on; it runs after its boot, unless it has been switched off meanwhile."""
        boot = self._boots[instance_id] = next(self._numbers)

        def booted() -> None:
            if self._boots.get(instance_id) == boot:
                self._listener.running(instance_id)

        if self._boot_seconds:
            self._timetable.after(self._boot_seconds, booted)
        else:
            booted()

    def stop(self, instance_id: str) -> None:
        """Switch it off."""
        self._boots[instance_id] = None
        self._listener.ended(instance_id, "stopped", "")

    def reboot(self, instance_id: str) -> None:
        """Nothing to do."""

    def terminate(self, instance_id: str) -> None:
        """Forget it."""
        self._boots.pop(instance_id, None)
        self._listener.ended(instance_id, "terminated", "")

    def make_image(self, instance_id: str, image_id: str, *, reboot: bool) -> None:
        """An image of nothing is made at once."""
        self._listener.image_made(image_id, None)

    def drop_image(self, image_id: str) -> None:
        """Nothing was kept."""

    def lifecycle_state_changed(self, instance_id: str, state: str) -> None:
        """In a lifecycle hook, have the instance complete it after its time."""
        if not state.endswith(":Wait"):
            return
        if not state.startswith("Terminating"):
            if self.completes_launches:
                self._timetable.after(0.0, lambda: self._complete_hooks(instance_id))
        elif self._agent_seconds is not None:
            self._timetable.after(self._agent_seconds, lambda: self._complete_hooks(instance_id))

    def close(self) -> None:
        """Forget every machine and all that was to happen."""
        self._boots.clear()
        self._timetable.clear()
