"""What a process instance of the trial runs in place of an operating system: `boot` once, then `watch`, started again whenever it ends.

`python -m processes.machine FOLDER` expects FOLDER/agent.conf and FOLDER/project.json, and keeps all that is the instance's in FOLDER/INSTANCE_ID.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from localcloud.testing import free_port

ROOT = Path(__file__).parents[3]
AGENT = ROOT / "agent/src"
RESTART_SECONDS = 0.1  # systemd's default RestartSec


def main(folder: Path) -> int:
    own = folder / os.environ["INSTANCE_ID"]
    command = agent(own) if own.exists() else install(folder, own)
    signal.signal(signal.SIGTERM, _end)
    with (own / "boot.log").open("a") as log:
        subprocess.run([*command, "boot"], env=environment(own), stderr=log, check=False)
    while True:
        with (own / "watch.log").open("a") as log:
            watching = subprocess.Popen([*command, "watch"], env=environment(own), stderr=log)
        (own / "watch.pid").write_text(str(watching.pid))
        watching.wait()
        time.sleep(RESTART_SECONDS)


def install(folder: Path, own: Path) -> list[str]:
    """Lay out a root for the agent and a docker command that is a stand-in; the agent's command line."""
    root, programs = own / "root", own / "bin"
    for part in (root / "etc/ghosthands", root / "opt/ghosthands", programs):
        part.mkdir(parents=True)
    shutil.copy(folder / "agent.conf", root / "etc/ghosthands/agent.conf")
    (root / "opt/ghosthands/docker-compose.prod.yml").write_text(
        "# read by docker_stand_in.py, which knows what the services are\n"
    )
    port = free_port()
    told = json.loads((folder / "project.json").read_text())
    (own / "machine.json").write_text(json.dumps({**told, "port": port, "environment": dict(os.environ)}))
    put_program(programs / "docker", "-S", str(Path(__file__).with_name("docker_stand_in.py")), str(own))
    return agent(own)


def put_program(place: Path, *words: str) -> None:
    """A command that is this Python with `words` and then its own arguments; any of them may hold blanks."""
    place.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, *words])} "$@"\n')
    place.chmod(0o755)


def agent(own: Path) -> list[str]:
    port = json.loads((own / "machine.json").read_text())["port"]
    return [sys.executable, "-P", "-m", "ghosthands_agent", "--root", str(own / "root"), "--worker-port", str(port)]


def environment(own: Path) -> dict[str, str]:
    """What localcloud told the instance, and the way to the agent and its docker."""
    told = json.loads((own / "machine.json").read_text())["environment"]
    return {**told, "PATH": f"{own / 'bin'}:{told['PATH']}", "PYTHONPATH": str(AGENT)}


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
