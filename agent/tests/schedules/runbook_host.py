"""What a process instance runs in place of an operating system set up by the runbook: its script, then its unit's end.

`python -m schedules.runbook_host FOLDER`: as `processes.machine`, whose stand-in for docker it uses. The worker is section 8's to configure.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from processes import machine

SCRIPT = machine.ROOT / "bench/user-data.sh"


def main(folder: Path) -> int:
    own = folder / os.environ["INSTANCE_ID"]
    machine.install(folder, own)
    project = own / "root/opt/ghosthands"
    environment = machine.environment(own) | {"APP_DIR": str(project), "LOG_FILE": str(own / "user-data.log")}
    machine.put_program(
        own / "bin/aws", str(Path(sys.executable).with_name("aws"))
    )  # pip's own script does not bear a blank in its path
    subprocess.run(["bash", str(SCRIPT)], env=environment, check=True, stdout=subprocess.DEVNULL)
    wait_for_shutdown()
    down = ["compose", "-f", "docker-compose.prod.yml", "down"]  # section 2, ExecStop
    return subprocess.run([own / "bin/docker", *down], cwd=project, env=environment, check=False).returncode


def wait_for_shutdown() -> None:
    """Nothing on this instance listens to its group: what ends it is systemd's SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.sigwait({signal.SIGTERM})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
