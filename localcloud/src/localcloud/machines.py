"""The machines behind EC2's instances: which host runs them, and which of them exist."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from localcloud.instances import Host, Listener, Machine
from localcloud.instances.simulated import SimulatedHost, Timetable

#: How long `clear` waits for machines to terminate, in seconds: longer than any host lets a machine take.
CLEAR_SECONDS = 120.0
log = logging.getLogger(__name__)


class Machines:
    """The machines of one world. Every method but `close` is called with the world's lock held.

    Args:
        listener: hears from the host.
        now: the world's clock, in seconds since the epoch.
        lock: the world's.
    """

    def __init__(self, listener: Listener, now: Callable[[], float], lock: threading.RLock) -> None:
        self._listener = listener
        self.timetable = Timetable(now)
        self.host: Host = SimulatedHost(listener, self.timetable)
        #: True while `clear` waits: what machines report meanwhile is ignored.
        self.clearing = False
        self._existing: set[str] = set()
        self._images: set[str] = set()
        self._lock = lock
        self._changed = threading.Condition(lock)

    def use(self, host: Host) -> None:
        """Run machines on another host from now on, and end the former host's. Call it without the lock."""
        self.close()
        with self._lock:
            self.host = host

    def close(self) -> None:
        """End every machine; return once nothing of them is left. Call it without the lock, as hosts report."""
        self.host.close()
        with self._lock:
            self.forget()

    def forget(self) -> None:
        """Forget every machine, image and what was to happen."""
        self._existing.clear()
        self._images.clear()
        self.timetable.clear()

    def launch(self, machine: Machine) -> None:
        """Have a machine made; if the host raises, the machine has failed."""
        self._existing.add(machine.id)
        try:
            self.host.launch(machine)
        except Exception:
            log.exception("%s was not launched", machine.id)
            self._listener.ended(machine.id, "failed", "its machine cannot be made")

    def make_image(self, instance_id: str, image_id: str, *, reboot: bool) -> None:
        """Have an image made of a machine's disk."""
        self._images.add(image_id)
        self.host.make_image(instance_id, image_id, reboot=reboot)

    def drop_image(self, image_id: str) -> None:
        """Have an image's disk deleted."""
        if image_id in self._images:
            self._images.discard(image_id)
            self.host.drop_image(image_id)

    def image_failed(self, image_id: str) -> None:
        """The host could not make the image: there is nothing to delete."""
        self._images.discard(image_id)

    def add_existing(self, instance_id: str) -> None:
        """A machine exists without having been launched here: its instance was restored."""
        self._existing.add(instance_id)

    def terminated(self, instance_id: str) -> None:
        """The host has terminated a machine."""
        self._existing.discard(instance_id)
        self._changed.notify_all()

    def tick(self) -> None:
        """Do what is due on the timetable; an action that fails stops nothing else."""
        try:
            self.timetable.tick()
        except Exception:
            log.exception("something that was due failed")

    def check_restorable(self) -> None:
        """Only simulated machines can be restored.

        Raises:
            ValueError: the host runs real ones.
        """
        if self.host.kind != "simulated":
            raise ValueError(
                f"instances are of the kind {self.host.kind}: snapshot and restore support simulated ones only"
            )

    def clear(self) -> None:
        """Terminate every machine, delete every image, and return when that is done; groups are not notified.

        Raises:
            OSError: machines did not terminate in time.
        """
        deadline = time.monotonic() + CLEAR_SECONDS
        asked: set[str] = set()
        self.clearing = True
        try:
            self.timetable.clear()
            while self._existing:
                for id in self._existing - asked:
                    self.host.terminate(id)
                asked |= self._existing
                if self._existing and not self._changed.wait(deadline - time.monotonic()):
                    raise OSError(f"{len(self._existing)} machines did not terminate in {CLEAR_SECONDS:.0f} s")
            for id in list(self._images):
                self.drop_image(id)
        finally:
            self.clearing = False
