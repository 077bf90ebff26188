"""What a process instance runs as the runbook has it: the script, then the ExecStop of the unit.

`python -m processes.runbook_instance FOLDER` is used like `processes.instance`, and with the same fake docker command.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from processes import instance

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "bench/user-data.sh"


def main(folder: Path) -> int:
    own = folder / os.environ["INSTANCE_ID"]
    instance.install(folder, own)
    project = own / "root/opt/ghosthands"
    environment = instance.environment(own) | {"APP_DIR": str(project), "LOG_FILE": str(own / "user-data.log")}
    # the script that pip installs does not work in a path with a blank
    instance.write_program(own / "bin/aws", str(Path(sys.executable).with_name("aws")))
    subprocess.run(["bash", str(SCRIPT)], env=environment, check=True, stdout=subprocess.DEVNULL)
    wait_for_shutdown()
    down = ["compose", "-f", "docker-compose.prod.yml", "down"]  # section 2, ExecStop
    return subprocess.run([own / "bin/docker", *down], cwd=project, env=environment, check=False).returncode


def wait_for_shutdown() -> None:
    """Nothing on this instance watches its target state: it runs until systemd's SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.sigwait({signal.SIGTERM})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
