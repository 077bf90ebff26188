"""Machines as these tests use them: launched, waited for, logged in to."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from localcloud.instances import Cause, Host, Machine
from localcloud.instances.docker import docker
from localcloud.instances.network import METADATA_ADDRESS
from localcloud.testing.containers import BOOT_RESULT, KeyPair, remaining, ssh_command

from localcloud import imds

VPC = "172.29.0.0/16"
TOKEN = f"http://{METADATA_ADDRESS}/latest/api/token"
#: The same by hand, for a container that has nothing but busybox.
TOKEN_BY_NC = (
    r"printf 'PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n"
    r"X-aws-ec2-metadata-token-ttl-seconds: 60\r\nConnection: close\r\n\r\n'"
    f" | timeout 5 nc {METADATA_ADDRESS} 80"
)

Event = tuple[str, ...]


class Recorder:
    """A ``Listener`` that records reports and can wait for one."""

    def __init__(self) -> None:
        self.reports: list[Event] = []
        self._changed = threading.Condition()

    def running(self, instance_id: str) -> None:
        self._report("running", instance_id)

    def ended(self, instance_id: str, cause: Cause, reason: str) -> None:
        self._report("ended", instance_id, cause, reason)

    def image_made(self, image_id: str, problem: str | None) -> None:
        self._report("image_made", image_id, problem or "")

    def _report(self, *event: str) -> None:
        with self._changed:
            self.reports.append(event)
            self._changed.notify_all()

    def wait(self, after: int, *beginning: str, seconds: float = 60) -> Event:
        """The first event after so many that begins so; fails where none comes in time."""

        def found() -> Event | None:
            return next((event for event in self.reports[after:] if event[: len(beginning)] == beginning), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None, seconds)
            event = found()
        assert event is not None, f"waited {seconds} s for {beginning}, reported {self.reports[after:]}"
        return event


@dataclass
class Rig:
    """A host of containers, its reports, and the metadata of its machines."""

    host: Host
    recorder: Recorder
    key: KeyPair
    port: int
    numbers: Iterator[int]
    views: dict[str, imds.View] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"localcloud.port={self.port}"

    def machine(self, *, image: str = "ami-published", user_data: bytes | None = None) -> Machine:
        """The next machine: an id and an address that none has had, and the session's key."""
        number = next(self.numbers)
        machine = Machine(
            id=f"i-{self.port:05d}{number:012d}",
            image=image,
            address=f"172.29.1.{number}",
            subnet_cidr="172.29.1.0/24",
            vpc_cidr=VPC,
            host_name=f"ip-172-29-1-{number}",
            user_data=user_data,
            public_keys={"test": self.key.public_key},
        )
        self.views[machine.id] = imds.View(
            instance_id=machine.id,
            image=image,
            instance_type="t3.small",
            address=machine.address,
            host_name=machine.host_name,
            zone="us-east-1a",
            region="us-east-1",
            account="123456789012",
            reservation="r-1",
            mac="02:00:00:00:00:01",
            launched=time.time(),
        )
        return machine

    def launch(self, *, image: str = "ami-published", user_data: bytes | None = None) -> Instance:
        """A machine that has been switched on and answers by SSH."""
        machine = self.machine(image=image, user_data=user_data)
        before = len(self.recorder.reports)
        started = time.perf_counter()
        self.host.launch(machine)
        self.recorder.wait(before, "running", machine.id)
        instance = Instance(self, machine)
        instance.wait_for_ssh()
        instance.ssh_seconds = time.perf_counter() - started
        return instance

    def left(self) -> list[str]:
        """What there is of this rig in Docker."""
        return remaining(self.port)


@dataclass
class Instance:
    """A machine that runs, as its user sees it."""

    rig: Rig
    machine: Machine
    ssh_seconds: float = 0.0

    @property
    def id(self) -> str:
        return self.machine.id

    def ssh(self, script: str, *, check: bool = True, seconds: float = 60) -> str:
        """What a script of the default user prints, stripped."""
        words = ssh_command(self.rig.key.private_key, self.machine.address, script)
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0 or not check, f"{script!r} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def wait_for_ssh(self, seconds: float = 30) -> None:
        """Wait until a login succeeds."""
        deadline = time.monotonic() + seconds
        while self.ssh("echo here", check=False) != "here":
            assert time.monotonic() < deadline, f"no SSH after {seconds} s: {docker('logs', '--tail', '20', self.id)}"
            time.sleep(0.05)

    def wait_for_boot(self) -> None:
        """Wait until cloud-init has finished; its own ``status --wait`` also returns between two stages."""
        result = self.ssh(f"until [ -e {BOOT_RESULT} ]; do sleep 0.1; done; cat {BOOT_RESULT}")
        assert json.loads(result)["v1"]["errors"] == []

    def booted_at(self) -> str:
        """When process 1 was started; another after every boot."""
        return docker("inspect", "--format", "{{.State.StartedAt}}", self.id)

    def wait_for_another_boot(self, earlier: str, seconds: float = 60) -> None:
        """Wait until it has booted again and a login succeeds."""
        deadline = time.monotonic() + seconds
        while self.booted_at() == earlier:
            assert time.monotonic() < deadline, f"{self.id} did not come back within {seconds} s"
            time.sleep(0.05)
        self.wait_for_ssh()

    def stop(self) -> Event:
        before = len(self.rig.recorder.reports)
        self.rig.host.stop(self.id)
        return self.rig.recorder.wait(before, "ended", self.id)

    def start(self) -> None:
        before = len(self.rig.recorder.reports)
        self.rig.host.start(self.id)
        self.rig.recorder.wait(before, "running", self.id)
        self.wait_for_ssh()

    def terminate(self) -> float:
        """End it; how long that took, in seconds."""
        started = time.perf_counter()
        before = len(self.rig.recorder.reports)
        self.rig.host.terminate(self.id)
        assert self.rig.recorder.wait(before, "ended", self.id)[2] == "terminated"
        return time.perf_counter() - started

    def make_image(self, image_id: str, *, reboot: bool) -> None:
        before = len(self.rig.recorder.reports)
        self.rig.host.make_image(self.id, image_id, reboot=reboot)
        assert self.rig.recorder.wait(before, "image_made", image_id, seconds=120) == ("image_made", image_id, "")

    def limit_hops(self, hops: int) -> None:
        """As ModifyInstanceMetadataOptions does."""
        view = self.rig.views[self.id]
        self.rig.views[self.id] = replace(view, options=replace(view.options, hop_limit=hops))

    def load_busybox(self, archive: bytes) -> None:
        """Give its Docker an image ``box`` that holds nothing but busybox."""
        docker("exec", "-i", self.id, "docker", "import", "-", "box", stdin=archive)
