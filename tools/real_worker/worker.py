"""What the stand-in for docker starts as the worker: for compose's container the command of the override that `boot`
wrote, for any other the image's; with this tool's preload, bun's path and the mounted files in their places.

`python worker.py FOLDER BUN` in a checkout of the worker; FOLDER holds the instances' folders.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

SLOW_JOB = Path(__file__).with_name("slow_job.ts")
COMPOSE_CONTAINER = "ghosthands-worker-1"
#: The image's compose file starts this.
COMMAND = ["bun", "packages/ghosthands/src/workers/workerLauncher.ts"]


def command(service: dict[str, Any], bun: str) -> list[str]:
    """The command of the override's service on this machine."""
    program, *words = service.get("command") or COMMAND
    if program != "bun":
        raise ValueError(f"the override's command is expected to begin with bun, not {program}")
    for volume in service.get("volumes", ()):
        words = [word.replace(volume["target"], volume["source"]) for word in words]
    return [bun, "--preload", str(SLOW_JOB), *words]


if __name__ == "__main__":
    own = Path(sys.argv[1]) / os.environ["INSTANCE_ID"]
    override = json.loads((own / "root/opt/ghosthands/docker-compose.override.yml").read_text())
    by_compose = os.environ.get("CONTAINER", COMPOSE_CONTAINER) == COMPOSE_CONTAINER
    words = command(override["services"]["worker"] if by_compose else {}, sys.argv[2])
    os.environ["BUN_RUNTIME_TRANSPILER_CACHE_PATH"] = str(own.parent / "bun-cache")
    os.execv(words[0], words)
