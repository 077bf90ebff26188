"""Hosts of a fleet that are folders here: SSH is a small program that runs their commands, with the real agent."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.fleet.cloud import ROOT
from tests.fleet.healthy import HealthyFleet

#: Runs what SSH would run on the host, below that host's own folder.
SSH = """#!/bin/sh
for word; do case $word in HostKeyAlias=*) instance=${word#*=};; esac; command=$word; done
cd "$(dirname "$0")"
[ -d "$instance" ] || { echo "Connection refused" >&2; exit 255; }
export HOST="$PWD/$instance"
command=$(printf %s "${command#sudo -n }" | sed "s#/usr/local/bin/ghosthands-agent#$PWD/agent#; s#/run/#$HOST/#g")
exec sh -c "$command"
"""
AGENT = """#!/bin/sh
PYTHONPATH=@SOURCE@ exec @PYTHON@ -m ghosthands_agent --root "$HOST" "$@"
"""
CANARY = "c4n4ry-of-the-secret-8f7e6d5c"


class HostsHere:
    """The hosts of a fleet, each with the agent and a `.env`.

    Attributes:
        programs: a folder for the front of the PATH.
        bundles: where bundles go.
    """

    def __init__(self, fleet: HealthyFleet, folder: Path) -> None:
        self.programs, self.bundles, self.ids = folder / "programs", folder / "bundles", fleet.in_service()
        self.programs.mkdir()
        agent = AGENT.replace("@SOURCE@", str(ROOT / "agent/src")).replace("@PYTHON@", sys.executable)
        for name, text in {"ssh": SSH, "agent": agent}.items():
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)
        for id in self.ids:
            project, logs = self.programs / id / "opt/ghosthands", self.programs / id / "var/log"
            project.mkdir(parents=True)
            logs.mkdir(parents=True)
            (project / ".env").write_text(f"GH_SERVICE_SECRET='{CANARY}'\n")
            (logs / "cloud-init-output.log").write_text(f"host {id} logged {CANARY}\n{os.urandom(300_000).hex()}\n")
