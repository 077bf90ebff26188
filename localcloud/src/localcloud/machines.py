"""Between EC2's instances and the host of their machines: asks it, and writes what it says into EC2 and the groups."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends

from localcloud.autoscaling import groups
from localcloud.instances import Cause, Host, Machine
from localcloud.instances.simulated import Simulated, Timetable

if TYPE_CHECKING:
    from localcloud.ec2.instances import InstanceBackend

#: How long after a machine's own end its group's health check finds it, in seconds of the wall clock (derived): a command
#: that always fails is then started once a second, not as often as the processor allows.
NOTICED_AFTER_SECONDS = 1.0
#: How long a reset waits for machines to end, in seconds: longer than any host lets a machine take.
CLEAR_SECONDS = 120.0
log = logging.getLogger(__name__)


class Machines:
    """The machines of this process's cloud, and the listener of their host.

    There is one of it, for moto keeps one account state a process. ``lock`` guards all of that: who reads or changes EC2
    or the groups holds it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.timetable = Timetable(groups.CLOCK.now)
        self.host: Host = Simulated(self, self.timetable)
        self._present: set[str] = set()
        self._images: set[str] = set()
        self._clearing = False
        self._changed = threading.Condition(self.lock)

    def open(self, host: Host) -> None:
        """Let another host run machines from now on; the last one's end."""
        self.close()
        with self.lock:
            self.host = host
            groups.FOLLOWERS[:] = [host.moved] if isinstance(host, Simulated) else []

    def close(self) -> None:
        """End every machine; nothing of them is left when this returns. Not to be called with the lock held: hosts report."""
        self.host.close()
        with self.lock:
            self._forget()

    def simulated(self, boot_seconds: float = 0.0, agent_seconds: float | None = None) -> Host:
        """A host of simulated machines: how long they take to boot, and to drain if they have an agent."""
        return Simulated(
            self,
            self.timetable,
            boot_seconds=boot_seconds,
            agent_seconds=agent_seconds,
            finish=_finish_lifecycle_actions,
        )

    # --- what EC2 asks --------------------------------------------------------------------------------------------------

    def launch(self, machine: Machine) -> None:
        """Have a machine made; a host that breaks over it has failed it."""
        self._present.add(machine.id)
        try:
            self.host.launch(machine)
        except Exception:
            log.exception("%s was not launched", machine.id)
            self.ended(machine.id, "failed", "its machine cannot be made")

    def make_image(self, instance_id: str, image_id: str, *, reboot: bool) -> None:
        """Have a machine's disk kept."""
        self._images.add(image_id)
        self.host.make_image(instance_id, image_id, reboot=reboot)

    def drop_image(self, image_id: str) -> None:
        """Have a kept disk forgotten."""
        if image_id in self._images:
            self._images.discard(image_id)
            self.host.drop_image(image_id)

    def tick(self) -> None:
        """Let happen what has fallen due; one action's trouble stops nothing else."""
        try:
            self.timetable.tick()
        except Exception:
            log.exception("something that was due failed")

    def check_restorable(self) -> None:
        """Only simulated machines can be brought back.

        Raises:
            ValueError: the host runs real ones.
        """
        if self.host.kind != "simulated":
            raise ValueError(
                f"instances are of the kind {self.host.kind}: snapshot and restore know simulated ones only"
            )

    def adopt(self) -> None:
        """Go on with the simulated machines that EC2 names now, after its state was put back."""
        self.host.close()
        self._forget()
        for backend in _backends():
            for instance in list(backend.known.values()):
                if instance.state != "terminated":
                    self._present.add(instance.id)
                if instance.state == "pending":
                    self.host.launch(backend.machine_of(instance))
        for regional in groups.all_groups():
            regional.repeat_waits()

    def clear(self) -> None:
        """End every machine and forget every image, and return when that is done; groups hear nothing of it.

        Raises:
            OSError: machines did not end in time.
        """
        deadline = time.monotonic() + CLEAR_SECONDS
        told: set[str] = set()
        with self._changed:
            self._clearing = True
            try:
                self.timetable.clear()
                while self._present:
                    for id in self._present - told:
                        self.host.terminate(id)
                    told |= self._present
                    if self._present and not self._changed.wait(deadline - time.monotonic()):
                        raise OSError(f"{len(self._present)} machines did not end in {CLEAR_SECONDS:.0f} s")
                for id in list(self._images):
                    self.drop_image(id)
            finally:
                self._clearing = False

    def _forget(self) -> None:
        self._present.clear()
        self._images.clear()
        self.timetable.clear()

    # --- what the host says ---------------------------------------------------------------------------------------------

    def running(self, instance_id: str) -> None:
        """The machine is on."""
        with self._hearing(instance_id) as found:
            if found and found[0].switched_on(found[1]):
                _groups_of(found[0]).booted(instance_id)

    def ended(self, instance_id: str, cause: Cause, reason: str) -> None:
        """The machine is off."""
        if cause == "failed":
            log.warning("%s failed: %s", instance_id, reason)
        with self._hearing(instance_id) as found:
            if cause == "terminated":
                self._present.discard(instance_id)
            if found:
                self._end(*found, cause, reason)
        if cause == "failed":
            self.host.terminate(instance_id)  # what is left of it

    def image_made(self, image_id: str, problem: str | None) -> None:
        """The image can be booted, or not."""
        with self._hearing(image_id):
            if problem:
                self._images.discard(image_id)
            for backend in _backends():
                backend.image_made(image_id, problem)

    def _end(self, backend: InstanceBackend, instance: Any, cause: Cause, reason: str) -> None:
        asked = instance.state in ("stopping", "shutting-down")
        if instance.state == "terminated":
            return
        regional = _groups_of(backend)
        backend.switched_off(instance, cause, reason)
        if instance.state == "terminated":
            regional.gone(instance.id)
        if not asked:
            stopped = cause == "stopped" and instance.state == "stopped"
            notice = NOTICED_AFTER_SECONDS * groups.CLOCK.speed
            self.timetable.after(notice, lambda: regional.lost([instance.id], stopped=stopped))

    @contextlib.contextmanager
    def _hearing(self, id: str) -> Iterator[tuple[InstanceBackend, Any] | None]:
        """Hold the lock; gives the instance, None while all are cleared away. What fails is logged: no machine stops the cloud."""
        with self._changed:
            try:
                yield None if self._clearing else find(id)
            except Exception:
                log.exception("what became of %s was not taken in", id)
            finally:
                self._changed.notify_all()


def _backends() -> list[Any]:
    return [regional for account in ec2_backends.values() for regional in account.values()]


def _groups_of(backend: Any) -> groups.Groups:
    found: groups.Groups = groups.backends[backend.account_id][backend.region_name]
    return found


def find(instance_id: str) -> tuple[Any, Any] | None:
    """An instance with the backend that it is of, among all accounts and regions."""
    for backend in _backends():
        if (instance := backend.known.get(instance_id)) is not None:
            return backend, instance
    return None


def _finish_lifecycle_actions(instance_id: str) -> None:
    """What an agent does in the end: complete every action that its instance waits in."""
    for regional in groups.all_groups():
        regional.finish(instance_id)


MACHINES = Machines()
