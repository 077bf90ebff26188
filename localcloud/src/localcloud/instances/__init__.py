"""The machine behind an instance: nothing but time (``simulated``), a process, or a systemd container.

EC2 asks a ``Host`` for machines, which reports to a ``Listener``. A host's methods return at once; it works in
threads of its own and reports each change once, from any thread. A machine that crashes is a report and never an
exception. Nothing here knows moto or the services.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

#: Why a machine has ended: stopped (also from within), terminated, or failed.
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
        disk_gib: size of its root volume.
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
    disk_gib: int = 8


@dataclass(frozen=True)
class Registry:
    """A registry of container images as machines reach it.

    Attributes:
        host: its name, under which it answers on port 443.
        port: of this machine's loopback, where it really listens.
        authority: the certificate of the authority that they have to trust, in PEM.
    """

    host: str
    port: int
    authority: bytes


class Listener(Protocol):
    """Receives a host's reports; every method may be called from any thread."""

    def running(self, instance_id: str) -> None:
        """The machine runs."""

    def ended(self, instance_id: str, cause: Cause, reason: str) -> None:
        """The machine has ended. ``reason`` is one line for EC2's StateReason, without secrets."""

    def image_made(self, image_id: str, problem: str | None) -> None:
        """The image can be booted, or ``problem`` says in one line why it cannot."""


class Host(Protocol):
    """Runs machines. Methods only queue the work, except `close`; the work on one machine keeps its order."""

    #: ``simulated``, ``process`` or ``container``.
    kind: str

    def launch(self, machine: Machine) -> None:
        """Create and start a machine; answered by ``running``, or by ``ended`` with the cause ``failed``."""

    def stop(self, instance_id: str) -> None:
        """Shut down cleanly and keep the disk; answered by ``ended`` (``stopped``)."""

    def start(self, instance_id: str) -> None:
        """Start a stopped machine with the same disk and address; answered by ``running``."""

    def reboot(self, instance_id: str) -> None:
        """Shut down cleanly and start again; not answered, as EC2 shows ``running`` throughout."""

    def terminate(self, instance_id: str) -> None:
        """Shut down, by force after a timeout, and leave nothing behind; answered by ``ended`` (``terminated``)."""

    def make_image(self, instance_id: str, image_id: str, *, reboot: bool) -> None:
        """Make an image of the machine's disk, stopped meanwhile if ``reboot``; answered by ``image_made``."""

    def drop_image(self, image_id: str) -> None:
        """Delete an image's disk; machines that were launched from it keep running."""

    def close(self) -> None:
        """End every machine and leave nothing behind, such as processes, containers or files. Blocks until done."""
