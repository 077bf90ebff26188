"""What an instance is behind its API record: nothing but time (``simulated``), a process, or a systemd container.

The API side asks a ``Host`` for machines and hears from it by ``Listener``. A host answers at once and does its work
in threads of its own; what it did, or could not do, it tells the listener, from any thread, once per change. A machine that
crashes is news for the listener and never an exception for anybody. Nothing here knows moto or the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

#: Why a machine is not running any more: told to stop or switched off from within, told to terminate, or its host failed it.
Cause = Literal["stopped", "terminated", "failed"]


@dataclass(frozen=True)
class Machine:
    """An EC2 instance as its host needs to know it.

    Attributes:
        id: the instance's id, such as ``i-0123456789abcdef0``.
        image: id of the image that it boots.
        address: its private IPv4 address, of the subnet ``subnet_cidr`` in the network ``vpc_cidr``.
        host_name: such as ``ip-172-28-1-5``.
        user_data: as RunInstances got it, decoded from base64; None without any.
        public_keys: OpenSSH public keys by key pair name.
        hop_limit: HttpPutResponseHopLimit, 1 to 64.
    """

    id: str
    image: str
    address: str
    subnet_cidr: str
    vpc_cidr: str
    host_name: str
    user_data: bytes | None = None
    public_keys: Mapping[str, str] = field(default_factory=dict)
    hop_limit: int = 1


class Listener(Protocol):
    """Who hears what became of machines and images; every method may be called from any thread."""

    def running(self, instance_id: str) -> None:
        """The machine has been switched on: EC2 says ``running`` from now on."""

    def ended(self, instance_id: str, cause: Cause, reason: str) -> None:
        """The machine is off. ``reason`` is one line for EC2's StateReason, without secrets."""

    def image_made(self, image_id: str, problem: str | None) -> None:
        """The image can be booted, or says in one line why it cannot."""


class Host(Protocol):
    """Runs machines. No method blocks for longer than it takes to queue the work; work on one machine keeps its order."""

    #: ``simulated``, ``process`` or ``container``.
    kind: str

    def launch(self, machine: Machine) -> None:
        """Make and switch on a machine; answered by ``running``, or by ``ended`` with the cause ``failed``."""

    def stop(self, instance_id: str) -> None:
        """Shut down in order and keep the disk; answered by ``ended`` (``stopped``)."""

    def start(self, instance_id: str) -> None:
        """Switch a stopped machine on again, same disk, same address; answered by ``running``."""

    def reboot(self, instance_id: str) -> None:
        """Shut down in order and come back; answered by nothing, as EC2 shows ``running`` throughout."""

    def terminate(self, instance_id: str) -> None:
        """Shut down in order within a bound, else by force, and leave nothing behind; answered by ``ended`` (``terminated``)."""

    def make_image(self, instance_id: str, image_id: str, *, reboot: bool) -> None:
        """Keep the machine's disk as an image, stopped meanwhile if ``reboot``; answered by ``image_made``."""

    def drop_image(self, image_id: str) -> None:
        """Forget an image's disk, as when its last snapshot is deleted; machines that run from it go on."""

    def close(self) -> None:
        """End every machine and leave nothing behind: no process, container, volume, network, rule or file. Blocks until done."""
