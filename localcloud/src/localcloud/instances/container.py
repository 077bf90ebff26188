"""Instances that are systemd containers: private address, cloud-init, sshd, Docker inside, metadata at 169.254.169.254.

Everything has a label with the port of its localcloud, by which the next one of that port removes what a killed one has
left. Whether a machine runs is always asked of Docker, never remembered.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from localcloud import imds
from localcloud.instances import Host, Listener, Machine, Registry, disks, hosts_file, nocloud
from localcloud.instances.base_image import base_image
from localcloud.instances.docker import HostError, docker, inspect, list_by_label
from localcloud.instances.network import Network, check_iptables, drop_redirections, make_network, redirect_metadata
from localcloud.instances.relay import Relay
from localcloud.instances.task_queues import TaskQueues

log = logging.getLogger(__name__)

#: Machines that are worked on at once; most of that is waiting for Docker.
WORKERS = 8
#: How long a shutdown may take before it is forced: systemd's own timeout of a service when stopping, less when
#: terminating.
STOP_SECONDS, TERMINATE_SECONDS = 90, 20
POWER_ON = Path(__file__).with_name("power_on.sh").read_text(encoding="utf-8")

#: What systemd and Docker need inside, short of --privileged. With SYS_BOOT a machine's own `reboot` and `poweroff` end
#: it by different signals (reboot(2), "Behavior inside PID namespaces").
FLAGS = (
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_BOOT", "--cap-add", "SYS_PTRACE"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
    *("--tmpfs", "/run:exec", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec"),
    *("--stop-signal", "SIGRTMIN+3", "--env", "container=docker", "--pull", "never"),
)
#: Where clients look for a registry whose name has no port.
REGISTRY_PORT = 443
REBOOTED, SWITCHED_OFF = 128 + 1, 128 + 2

#: EC2's words for why an instance is not running (EC2 API Reference, StateReason).
BY_USER, FROM_WITHIN = "User initiated shutdown", "Instance initiated shutdown"


@dataclass(frozen=True)
class Surroundings:
    """What machines find beside the API and their metadata.

    Attributes:
        registry: of container images.
        for_operator: this machine itself reaches the registry under its name, too.
        forward: ports of this machine's loopback that answer at the network's gateway, such as a database's.
        disk_gib: at most so large is the disk of Docker in a machine, or as its volume if that is smaller; None: it is
            this machine's own.
    """

    registry: Registry | None = None
    for_operator: bool = False
    forward: tuple[int, ...] = ()
    disk_gib: int | None = None


def open_host(
    port: int,
    listener: Listener,
    *,
    serve: imds.Serve,
    report: Callable[[str], None],
    surroundings: Surroundings = Surroundings(),
) -> Host:
    """A host for the localcloud of this port; what an earlier one of the port has left is removed first.

    Raises:
        HostError: containers cannot run here; the message is one line and says what to do.
    """
    check()
    base = base_image(report)
    clean_up(label_of(port))
    return ContainerHost(port, base, listener, serve, surroundings)


def check() -> None:
    """Check that this machine has what container instances need.

    Raises:
        HostError: something is missing.
    """
    try:
        docker("version", "--format", "{{.Server.Version}}", timeout=10)
    except HostError as problem:
        raise HostError(
            f"container instances need Docker, and it does not answer ({problem}); start it, or run .ci/docker as root"
        ) from None
    if os.geteuid():
        raise HostError("container instances need root, for the metadata address (iptables); run localcloud as root")
    try:
        check_iptables()
    except HostError as problem:
        raise HostError(
            f"container instances need iptables ({problem}); run .ci/docker, or apt-get install iptables"
        ) from None


def clean_up(label: str) -> None:
    """Remove every container, volume, network, rule, name, image and disk of a label, by force.

    Raises:
        HostError: Docker would not.
    """
    drop_redirections(label)
    hosts_file.drop_names(label)
    for listing, removal in (
        (("ps", "--all"), ("rm", "--force", "--volumes")),
        (("volume", "ls"), ("volume", "rm", "--force")),
        (("network", "ls"), ("network", "rm")),
        (("images",), ("rmi", "--force")),
    ):
        try:
            if found := list_by_label(*listing, label=label):
                docker(*removal, *found)
        except HostError:  # one may go with another: an image with the last that is made of it
            if list_by_label(*listing, label=label):
                raise
    disks.drop_disks(label)


def label_of(port: int) -> str:
    """The label of everything that belongs to the localcloud of a port."""
    return f"localcloud.port={port}"


@dataclass(frozen=True)
class VpcNetwork:
    """A VPC's network with what answers at its gateway."""

    network: Network
    relays: tuple[Relay, ...]
    metadata: imds.Endpoint


class ContainerHost:
    """A ``Host``. `_on` has the machines that should run."""

    kind = "container"

    def __init__(self, port: int, base: str, listener: Listener, serve: imds.Serve, surroundings: Surroundings) -> None:
        self._port, self._base, self._listener, self._serve = port, base, listener, serve
        self._surroundings = surroundings
        self._label = label_of(port)
        self._for_operator = self._open_for_operator()
        self._queues = TaskQueues(WORKERS)
        self._lock = threading.Lock()
        self._networks: dict[str, VpcNetwork] = {}
        self._machines: dict[tuple[str, str], str] = {}
        self._on: set[str] = set()
        self._dropped = False
        self._closing = threading.Event()
        self._events: subprocess.Popen[str] | None = None
        self._watcher = threading.Thread(target=self._watch, name="docker events", daemon=True)
        self._watcher.start()

    def launch(self, machine: Machine) -> None:
        """As ``Host.launch``."""
        self._work(machine.id, partial(self._launch, machine))

    def stop(self, instance_id: str) -> None:
        """As ``Host.stop``."""
        self._work(instance_id, partial(self._stop, instance_id))

    def start(self, instance_id: str) -> None:
        """As ``Host.start``."""
        self._work(instance_id, partial(self._start, instance_id))

    def reboot(self, instance_id: str) -> None:
        """As ``Host.reboot``."""
        self._work(instance_id, partial(self._restart, instance_id))

    def terminate(self, instance_id: str) -> None:
        """As ``Host.terminate``."""
        self._work(instance_id, partial(self._terminate, instance_id))

    def make_image(self, instance_id: str, image_id: str, *, reboot: bool) -> None:
        """As ``Host.make_image``."""
        self._work(instance_id, partial(self._make_image, instance_id, image_id, reboot))

    def drop_image(self, image_id: str) -> None:
        """As ``Host.drop_image``."""
        self._queues.put(image_id, partial(self._drop_image, image_id))

    def close(self) -> None:
        """As ``Host.close``. Containers are killed, so that it takes seconds whatever they do."""
        self._closing.set()
        if self._events:
            self._events.terminate()
        self._cut_power()  # what waits for a shutdown need wait no longer
        self._queues.close()
        self._watcher.join()
        for place in self._networks.values():
            for relay in place.relays:
                relay.close()
            place.metadata.close()
        if self._for_operator:
            self._for_operator.close()
        clean_up(self._label)

    def _cut_power(self) -> None:
        with contextlib.suppress(HostError):  # one that ended by itself in between; `clean_up` has the last word
            if running := list_by_label("ps", label=self._label):
                docker("kill", *running)

    # What the queues run. A machine that fails is reported to the listener.

    def _work(self, instance_id: str, task: Callable[[], None]) -> None:
        def attempt() -> None:
            if self._closing.is_set():
                return
            try:
                task()
            except Exception as problem:
                if not self._closing.is_set():
                    log.warning("%s failed: %s", instance_id, problem, exc_info=not isinstance(problem, HostError))
                    self._failed(instance_id, str(problem))

        self._queues.put(instance_id, attempt)

    def _failed(self, instance_id: str, why: str) -> None:
        """Remove the machine and report it as failed; EC2 then terminates the instance."""
        self._on.discard(instance_id)
        self._remove(instance_id)
        self._listener.ended(instance_id, "failed", why)

    def _launch(self, machine: Machine) -> None:
        place = self._network(machine.vpc_cidr)
        self._create(machine, place)
        registry = self._surroundings.registry
        trust = {f"etc/docker/certs.d/{registry.host}/ca.crt": registry.authority} if registry else {}
        docker("cp", "-", f"{machine.id}:/", stdin=nocloud.seed(machine, trust))
        self._machines[machine.vpc_cidr, machine.address] = machine.id
        self._start(machine.id)

    def _network(self, vpc_cidr: str) -> VpcNetwork:
        """The VPC's network, made when it is first asked for."""
        with self._lock:
            if vpc_cidr not in self._networks:
                self._networks[vpc_cidr] = self._open_network(vpc_cidr)
            return self._networks[vpc_cidr]

    def _open_network(self, vpc_cidr: str) -> VpcNetwork:
        with contextlib.ExitStack() as undo:
            network = make_network(self._label, vpc_cidr)
            undo.callback(docker, "network", "rm", network.name)
            ports = {port: port for port in (self._port, *self._surroundings.forward)}
            if self._surroundings.registry:
                ports[REGISTRY_PORT] = self._surroundings.registry.port
            relays = []
            for port, target in ports.items():
                relays.append(_relay(network.gateway, port, target))
                undo.callback(relays[-1].close)
            metadata = self._serve(network.gateway, 0, lambda address: self._machines.get((vpc_cidr, address)))
            undo.callback(metadata.close)
            redirect_metadata(self._label, network, metadata.port)
            undo.pop_all()
        return VpcNetwork(network, tuple(relays), metadata)

    def _open_for_operator(self) -> Relay | None:
        """The registry under its name on this machine itself."""
        registry = self._surroundings.registry
        if registry is None or not self._surroundings.for_operator:
            return None
        hosts_file.add_name(self._label, registry.host)
        try:
            return _relay(hosts_file.ADDRESS, REGISTRY_PORT, registry.port)
        except HostError:
            hosts_file.drop_names(self._label)
            raise

    def _create(self, machine: Machine, place: VpcNetwork) -> None:
        registry, limit = self._surroundings.registry, self._surroundings.disk_gib
        device = disks.make_disk(self._label, machine.id, min(limit, machine.disk_gib)) if limit else None
        docker(
            *("create", "--name", machine.id, "--hostname", machine.host_name, "--label", self._label),
            *("--network", place.network.name, "--ip", machine.address),
            *FLAGS,
            *(("--add-host", f"{registry.host}:{place.network.gateway}") if registry else ()),
            *disks.volumes(self._label, device),
            *("--entrypoint", "/bin/sh", self._image(machine.image)),
            *("-c", POWER_ON, "power_on", place.network.gateway, str(self._port), disks.ARCHIVE),
        )

    def _tag(self, image_id: str) -> str:
        return f"localcloud-{self._port}:{image_id}"

    def _image(self, image_id: str) -> str:
        """What a machine boots: the image made of another, or the base in place of any that AWS publishes."""
        return self._tag(image_id) if docker("images", "--quiet", self._tag(image_id)) else self._base

    def _start(self, instance_id: str) -> None:
        docker("start", instance_id)
        self._on.add(instance_id)
        self._listener.running(instance_id)

    def _shut_down(self, instance_id: str, seconds: int) -> None:
        docker("stop", "-t", str(seconds), instance_id, timeout=seconds + 30)

    def _stop(self, instance_id: str) -> None:
        self._on.discard(instance_id)
        self._shut_down(instance_id, STOP_SECONDS)
        self._listener.ended(instance_id, "stopped", BY_USER)

    def _restart(self, instance_id: str) -> None:
        self._shut_down(instance_id, STOP_SECONDS)
        docker("start", instance_id)

    def _terminate(self, instance_id: str) -> None:
        self._on.discard(instance_id)
        with contextlib.suppress(HostError):  # gone already, or stuck: it is removed by force next
            self._shut_down(instance_id, TERMINATE_SECONDS)
        self._remove(instance_id)
        self._listener.ended(instance_id, "terminated", BY_USER)

    def _remove(self, instance_id: str) -> None:
        for place, holder in list(self._machines.items()):
            if holder == instance_id:
                del self._machines[place]
        try:
            docker("rm", "--force", "--volumes", instance_id)
        except HostError as problem:
            if "No such container" not in str(problem):
                log.warning("%s is still there, to be swept up at the end: %s", instance_id, problem)
        disks.drop_disks(self._label, instance_id)
        if self._dropped:
            self._prune()

    def _make_image(self, instance_id: str, image_id: str, reboot: bool) -> None:
        interrupted = reboot and instance_id in self._on
        problem: str | None = None
        if interrupted:
            self._shut_down(instance_id, STOP_SECONDS)
        try:
            disks.keep(instance_id, self._tag(image_id), self._label)
        except HostError as refusal:
            problem = str(refusal)
        self._listener.image_made(image_id, problem)
        if interrupted:
            docker("start", instance_id)

    def _drop_image(self, image_id: str) -> None:
        with contextlib.suppress(HostError):  # never made
            docker("rmi", "--force", self._tag(image_id))
            self._dropped = True
            self._prune()

    def _prune(self) -> None:
        """Remove the layers of dropped images that no machine needs any more."""
        with self._lock, contextlib.suppress(HostError):
            docker("image", "prune", "--force", "--filter", f"label={self._label}")

    # What happens by itself.

    def _watch(self) -> None:
        """Check every machine that Docker reports as dead. Events are hints only, so that one may come twice."""
        since = time.time()
        while not self._closing.is_set():
            words = [
                "docker",
                "events",
                "--since",
                f"{since:.3f}",
                "--filter",
                f"label={self._label}",
                "--filter",
                "event=die",
            ]
            with subprocess.Popen(
                [*words, "--format", "{{.Actor.Attributes.name}}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            ) as self._events:
                assert self._events.stdout
                if self._closing.is_set():
                    self._events.terminate()
                for line in self._events.stdout:
                    self._look_after(line.strip())
            since = time.time()
            if not self._closing.wait(1):  # dockerd went away; with it perhaps machines
                for instance_id in list(self._on):
                    self._look_after(instance_id)

    def _look_after(self, instance_id: str) -> None:
        self._work(instance_id, partial(self._look, instance_id))

    def _look(self, instance_id: str) -> None:
        """Find out why a machine that should run does not."""
        if instance_id not in self._on:
            return
        state = inspect("container", instance_id)["State"]
        if state["Running"]:
            return
        match state["ExitCode"]:
            case code if code == REBOOTED:
                docker("start", instance_id)
            case code if code == SWITCHED_OFF:
                self._on.discard(instance_id)
                self._listener.ended(instance_id, "stopped", FROM_WITHIN)
            case code:
                self._failed(instance_id, f"its container ended with {code}")


def _relay(address: str, port: int, target: int) -> Relay:
    """A port of an address leads to another one of loopback.

    Raises:
        HostError: another program has it.
    """
    try:
        return Relay((address, port), ("127.0.0.1", target))
    except OSError as problem:
        raise HostError(f"port {port} of {address} is needed for instances: {problem.strerror or problem}") from None
