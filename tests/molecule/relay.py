"""What an instance of Molecule's fleet runs: it relays the metadata service and the API to the containers' network.

`python -m tests.molecule.relay FOLDER` writes the addresses and the rest that the container needs to
FOLDER/INSTANCE_ID.json, and runs until the instance is terminated.
"""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from localcloud.instances.relay import Relay
from processes.fleet import GROUP, HOOK, IMAGE, REGION, SECRET

SUBNET = ("docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}")


def main(folder: Path) -> None:
    """Relay until a signal ends the process."""
    subnet = subprocess.run(SUBNET, check=True, capture_output=True, text=True).stdout.strip()
    gateway = str(next(ipaddress.ip_network(subnet).hosts()))
    addresses = {"metadata": os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"], "api": os.environ["AWS_ENDPOINT_URL"]}
    relays = {}
    for name, address in addresses.items():
        target = urlsplit(address)
        assert target.hostname
        assert target.port
        relays[name] = f"{gateway}:{Relay((gateway, 0), (target.hostname, target.port)).port}"
    id = os.environ["INSTANCE_ID"]
    instance = {"id": id, "region": REGION, "group": GROUP, "hook": HOOK, "secret": SECRET, "image": IMAGE, **relays}
    new = folder / f".{id}"
    new.write_text(json.dumps(instance))
    new.rename(folder / f"{id}.json")
    signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
