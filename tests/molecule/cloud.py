"""`python -m tests.molecule.cloud up|down|terminate FOLDER`: a localcloud whose instances are Molecule's containers.

Each member of its group is a process here that does nothing but hand two ports on to the container's network: the API, and the member's own metadata service.
So what runs in the container has an id, a role's credentials, a group and a hook, as on EC2. `up` prints, a line of JSON, what each member is to be told.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localcloud.instances.relay import Relay
from processes.fleet import GROUP, HOOK, IMAGE, REGION, SECRET, Fleet, eventually

SUBNET = ("docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}")


class Bridged(Fleet):
    """A fleet whose members are containers that somebody else makes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)
        known = folder / "port"
        if known.exists():
            self.port = int(known.read_text())
            self.url = f"http://127.0.0.1:{self.port}"
        known.write_text(str(self.port))

    def _localcloud(self, *words: str) -> None:
        command = shlex.join(
            [
                "sh",
                "-c",
                "exec " + shlex.join([sys.executable, "-m", "tests.molecule.cloud", "relay", str(self.folder)]),
            ]
        )
        if "--command" in words:
            words = (*words[: words.index("--command") + 1], command, *words[words.index("--command") + 2 :])
        self._environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        super()._localcloud(*words)

    def told(self, count: int) -> list[dict[str, Any]]:
        """What so many members are to be told: their id, and where in the containers' network their two services are."""
        group = self.client("autoscaling")
        group.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=count)
        eventually(lambda: len(self.members()) == count)
        eventually(lambda: len(list(self.folder.glob("i-*.json"))) == count, 60)
        files = sorted(self.folder.glob("i-*.json"))
        return [json.loads(file.read_text()) for file in files]


def relay(folder: Path) -> None:
    """What a member runs: it ends when the member does."""
    subnet = subprocess.run(SUBNET, check=True, capture_output=True, text=True).stdout.strip()
    gateway = str(next(ipaddress.ip_network(subnet).hosts()))
    addresses = {"metadata": os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"], "api": os.environ["AWS_ENDPOINT_URL"]}
    places = {}
    for name, address in addresses.items():
        target = urlsplit(address)
        assert target.hostname
        assert target.port
        places[name] = f"{gateway}:{Relay((gateway, 0), (target.hostname, target.port)).port}"
    instance = os.environ["INSTANCE_ID"]
    new = folder / f".{instance}"
    new.write_text(
        json.dumps(
            {"id": instance, "region": REGION, "group": GROUP, "hook": HOOK, "secret": SECRET, "image": IMAGE, **places}
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
        for file in (*folder.glob("i-*.json"), *folder.glob("trace.jsonl"), folder / "port"):
            file.unlink(missing_ok=True)
        fleet = Bridged(folder)
        fleet.up()
        print(json.dumps(fleet.told(int(rest[0]))))
    elif verb == "down":
        fleet.down()
    elif verb == "terminate":
        fleet.terminate(rest[0])
        print(fleet.completion(rest[0], 120).result)
    else:
        sys.exit(f"{verb}: up, down or terminate")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), *sys.argv[3:])
