"""What a process instance runs: the agent where its user data is agent.conf, else what the runbook's script starts.

`python -m tests.fleet.machine FOLDER`; FOLDER/IMAGE_ID, or else FOLDER/new and FOLDER/old, hold what instances of an
image, or of either kind, need (processes.instance), and their own folders. Nothing runs without a worker.json.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from processes import instance
from processes.runbook_instance import wait_for_shutdown


def main(folder: Path) -> int:
    """Run until SIGTERM."""
    data, image = metadata("user-data", "meta-data/ami-id")
    has_agent = data.startswith("#cloud-config")
    own = folder / image
    kind = own if own.exists() else folder / ("new" if has_agent else "old")
    if not (kind / "worker.json").exists():
        print(f"{image} does not boot", file=sys.stderr)
        wait_for_shutdown()
        return 0
    if not has_agent:
        return run_by_hand(kind)
    return instance.main(kind, "".join(f"{line}\n" for line in re.findall(r"^ +([A-Z_]+=.*)$", data, re.MULTILINE)))


def metadata(*paths: str) -> list[str]:
    """What this instance's metadata service answers."""
    service, ttl = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"].rstrip("/"), "X-aws-ec2-metadata-token-ttl-seconds"
    asked = urllib.request.Request(f"{service}/latest/api/token", method="PUT", headers={ttl: "60"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        headers = {"X-aws-ec2-metadata-token": answer.read().decode()}
    found = []
    for path in paths:
        asked = urllib.request.Request(f"{service}/latest/{path}", headers=headers)
        with urllib.request.urlopen(asked, timeout=10) as answer:
            found.append(str(answer.read().decode()))
    return found


def run_by_hand(folder: Path) -> int:
    """The containers, without an agent; on shutdown what the runbook's unit does."""
    id = os.environ["INSTANCE_ID"]
    own = folder / id
    instance.install(folder, own, "# no agent\n")
    project, environment = own / "root/opt/ghosthands", instance.environment(own)
    (project / ".env").write_text(f"EC2_INSTANCE_ID={id}\nGH_WORKER_ID={id}\n")
    compose = [str(own / "bin/docker"), "compose", "-f", "docker-compose.prod.yml"]
    subprocess.run([*compose, "up", "-d"], cwd=project, env=environment, check=True)
    wait_for_shutdown()
    return subprocess.run([*compose, "down"], cwd=project, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
