"""What a process instance runs in place of an operating system: `boot`, then `watch`, restarted whenever it exits.

A boot that fails is tried again beside it, as its unit has it.

`python -m processes.instance FOLDER` expects FOLDER/worker.json, and FOLDER/agent.conf unless `main` is given its text.
All files of the instance are in FOLDER/INSTANCE_ID.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import ghosthands_agent
from localcloud.testing import free_port

AGENT = Path(ghosthands_agent.__file__).parents[1]
RESTART_SECONDS = 0.1  # systemd's default RestartSec
BOOT_RESTART_SECONDS = 5.0  # that of the boot unit


def main(folder: Path, conf: str = "") -> int:
    """Run until SIGTERM."""
    own = folder / os.environ["INSTANCE_ID"]
    command = agent_command(own) if own.exists() else install(folder, own, conf)
    signal.signal(signal.SIGTERM, _exit)
    if boot(command, own):
        threading.Thread(target=boot_again, args=(command, own), daemon=True).start()
    while True:
        with (own / "watch.log").open("a") as log:
            watch = subprocess.Popen([*command, "watch"], env=environment(own), stderr=log)
        (own / "watch.pid").write_text(str(watch.pid))
        watch.wait()
        time.sleep(RESTART_SECONDS)


def boot(command: list[str], own: Path) -> int:
    with (own / "boot.log").open("a") as log:
        return subprocess.run([*command, "boot"], env=environment(own), stderr=log, check=False).returncode


def boot_again(command: list[str], own: Path) -> None:
    """Restart=on-failure."""
    time.sleep(BOOT_RESTART_SECONDS)
    while boot(command, own):
        time.sleep(BOOT_RESTART_SECONDS)


def install(folder: Path, own: Path, conf: str = "") -> list[str]:
    """Create a root directory for the agent and a fake docker command; return the agent's command line."""
    root, programs = own / "root", own / "bin"
    for part in (root / "etc/ghosthands", root / "opt/ghosthands", programs):
        part.mkdir(parents=True)
    (root / "etc/ghosthands/agent.conf").write_text(conf or (folder / "agent.conf").read_text())
    (root / "opt/ghosthands/docker-compose.prod.yml").write_text("# the services are those of fake_docker.py\n")
    worker = json.loads((folder / "worker.json").read_text())
    instance = {**worker, "port": free_port(), "environment": dict(os.environ)}
    (own / "instance.json").write_text(json.dumps(instance))
    write_program(programs / "docker", "-S", str(Path(__file__).with_name("fake_docker.py")), str(own))
    return agent_command(own)


def write_program(path: Path, *words: str) -> None:
    """Write a command that runs this Python with `words` and its own arguments; all of them may contain blanks."""
    path.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *words])} "$@"\n')
    path.chmod(0o755)


def agent_command(own: Path) -> list[str]:
    """The agent's command line, without the verb."""
    port = json.loads((own / "instance.json").read_text())["port"]
    return [sys.executable, "-P", "-m", "ghosthands_agent", "--root", str(own / "root"), "--worker-port", str(port)]


def environment(own: Path) -> dict[str, str]:
    """The environment variables that localcloud gave the instance, with the agent and the fake docker in the paths."""
    given = json.loads((own / "instance.json").read_text())["environment"]
    return {**given, "PATH": f"{own / 'bin'}:{given['PATH']}", "PYTHONPATH": str(AGENT)}


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
