"""What a process instance runs: the agent where its user data is agent.conf, else what the runbook's script starts.

`python -m tests.fleet.machine FOLDER`; FOLDER/new and FOLDER/old hold what instances of either kind need
(processes.instance), and their own folders.
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
    data = user_data()
    if not data.startswith("#cloud-config"):
        return run_by_hand(folder / "old")
    conf = "".join(f"{line}\n" for line in re.findall(r"^ +([A-Z_]+=.*)$", data, re.MULTILINE))
    (folder / "new/agent.conf").write_text(conf)
    return instance.main(folder / "new")


def user_data() -> str:
    """This instance's, from its metadata service."""
    service, ttl = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"].rstrip("/"), "X-aws-ec2-metadata-token-ttl-seconds"
    token = urllib.request.Request(f"{service}/latest/api/token", method="PUT", headers={ttl: "60"})
    with urllib.request.urlopen(token, timeout=10) as answer:
        headers = {"X-aws-ec2-metadata-token": answer.read().decode()}
    asked = urllib.request.Request(f"{service}/latest/user-data", headers=headers)
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return str(answer.read().decode())


def run_by_hand(folder: Path) -> int:
    """The containers, without an agent; on shutdown what the runbook's unit does."""
    id = os.environ["INSTANCE_ID"]
    own = folder / id
    instance.install(folder, own)
    project, environment = own / "root/opt/ghosthands", instance.environment(own)
    (project / ".env").write_text(f"EC2_INSTANCE_ID={id}\nGH_WORKER_ID={id}\n")
    compose = [str(own / "bin/docker"), "compose", "-f", "docker-compose.prod.yml"]
    subprocess.run([*compose, "up", "-d"], cwd=project, env=environment, check=True)
    wait_for_shutdown()
    return subprocess.run([*compose, "down"], cwd=project, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
