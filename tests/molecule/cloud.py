"""`python -m tests.molecule.cloud up|down|terminate FOLDER`: a localcloud whose instances are Molecule's containers.

Each instance of its group is a process here that only forwards two ports to the containers' network: the API, and the
instance's metadata service. So what runs in the container has an instance id, credentials of a role, a group and a
hook, as on EC2. `up` prints, as a line of JSON, what each container has to know.
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "agent/tests"))

from localcloud.instances.relay import Relay  # noqa: E402
from localcloud.testing import wait_until  # noqa: E402
from processes.fleet import GROUP, HOOK, IMAGE, REGION, SECRET, Fleet  # noqa: E402

SUBNET = ("docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}")


class Bridged(Fleet):
    """A fleet whose instances are containers that Molecule makes."""

    machine = ("tests.molecule.cloud", "relay")

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        known = folder / "url"
        if known.exists():
            self.url = known.read_text()
        known.write_text(self.url)

    def launch_instances(self, count: int) -> list[dict[str, Any]]:
        """Launch so many instances; return what the container of each has to know.

        That is the instance's id, the names of the fleet's resources, and where in the containers' network the API and
        the instance's metadata service answer.
        """
        group = self.client("autoscaling")
        group.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=count)
        wait_until(lambda: len(self.instances()) == count)
        wait_until(lambda: len(list(self.folder.glob("i-*.json"))) == count, 60)
        files = sorted(self.folder.glob("i-*.json"))
        return [json.loads(file.read_text()) for file in files]


def relay(folder: Path) -> None:
    """Forward the ports of one instance until it is terminated; this is what an instance runs."""
    subnet = subprocess.run(SUBNET, check=True, capture_output=True, text=True).stdout.strip()
    gateway = str(next(ipaddress.ip_network(subnet).hosts()))
    addresses = {"metadata": os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"], "api": os.environ["AWS_ENDPOINT_URL"]}
    endpoints = {}
    for name, address in addresses.items():
        target = urlsplit(address)
        assert target.hostname
        assert target.port
        endpoints[name] = f"{gateway}:{Relay((gateway, 0), (target.hostname, target.port)).port}"
    instance = os.environ["INSTANCE_ID"]
    new = folder / f".{instance}"
    new.write_text(
        json.dumps(
            {
                "id": instance,
                "region": REGION,
                "group": GROUP,
                "hook": HOOK,
                "secret": SECRET,
                "image": IMAGE,
                **endpoints,
            }
        )
    )
    new.rename(folder / f"{instance}.json")
    signal.pause()


def main(verb: str, folder: Path, *rest: str) -> None:
    if verb == "relay":
        relay(folder)
        return
    fleet = Bridged(folder)
    if verb == "up":
        fleet.down()  # what a run that was interrupted left; its port may be somebody else's by now
        for file in (*folder.glob("i-*.json"), *folder.glob("trace.jsonl"), folder / "url"):
            file.unlink(missing_ok=True)
        fleet = Bridged(folder)
        fleet.up()
        print(json.dumps(fleet.launch_instances(int(rest[0]))))
    elif verb == "down":
        fleet.down()
    elif verb == "terminate":
        fleet.terminate(rest[0])
        print(fleet.completion(rest[0], 120).result)
    else:
        sys.exit(f"{verb}: up, down or terminate")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), *sys.argv[3:])
