"""An instance of a built image, to test what an instance of the fleet finds on it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.testing.containers import BOOT_RESULT, KeyPair, create_key_pair, ssh_command

from tests.image.cloud import ImageCloud

#: The image's Docker volumes are unpacked first, which takes time on a busy machine.
SSH_SECONDS = 120


@dataclass(frozen=True)
class Booted:
    """An instance of the image."""

    id: str
    address: str
    key: KeyPair

    def ssh(self, script: str, *, seconds: float = 60) -> tuple[int, str]:
        """Run a script as the default user; its exit code and output."""
        done = subprocess.run(
            ssh_command(self.key.private_key, self.address, script),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout.strip()

    def read(self, script: str) -> str:
        """A script's output. Raises AssertionError if it fails."""
        code, output = self.ssh(script)
        assert code == 0, f"{script!r} exited with {code}: {output}"
        return output

    def wait(self) -> None:
        """Wait until cloud-init has finished without errors."""
        deadline = time.monotonic() + SSH_SECONDS
        while self.ssh(f"test -e {BOOT_RESULT}") != (0, ""):
            assert time.monotonic() < deadline, f"{self.id} did not boot within {SSH_SECONDS} s"
            time.sleep(0.2)
        assert json.loads(self.read(f"cat {BOOT_RESULT}"))["v1"]["errors"] == []


@contextlib.contextmanager
def boot(cloud: ImageCloud, image_id: str) -> Iterator[Booted]:
    """Run an instance of the image with a new key pair during the block."""
    ec2 = cloud.client("ec2")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as undo:
        key = create_key_pair(Path(folder, "id"))
        name = f"booted-{image_id}"
        ec2.import_key_pair(KeyName=name, PublicKeyMaterial=key.public_key.encode())
        undo.callback(ec2.delete_key_pair, KeyName=name)
        made = ec2.run_instances(ImageId=image_id, InstanceType="t3.large", KeyName=name, MinCount=1, MaxCount=1)[
            "Instances"
        ][0]
        undo.callback(_terminate, ec2, made["InstanceId"])
        booted = Booted(made["InstanceId"], made["PrivateIpAddress"], key)
        booted.wait()
        yield booted


def _terminate(ec2: Any, instance_id: str) -> None:
    ec2.terminate_instances(InstanceIds=[instance_id])
    ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance_id], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
