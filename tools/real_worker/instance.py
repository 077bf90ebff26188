"""What a process instance runs: `processes.instance`, and at SIGUSR1 the shutdown of its operating system.

systemd then stops `watch` first and runs `ghosthands-agent stop` (agent/README.md); the end of this process is that of
the machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from processes import instance


class ShutDown(Exception):
    """The operating system is to shut down."""


def main(folder: Path) -> int:
    own = folder / os.environ["INSTANCE_ID"]
    own.with_suffix(".pid").write_text(str(os.getpid()))
    signal.signal(signal.SIGUSR1, _shut_down)
    try:
        return instance.main(folder)
    except ShutDown:
        watch = int((own / "watch.pid").read_text())
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(watch, signal.SIGTERM)
            os.waitpid(watch, 0)
        with (own / "watch.log").open("a") as log:
            subprocess.run(
                [*instance.agent_command(own), "stop"], env=instance.environment(own), stderr=log, check=False
            )
        time.sleep(1)  # what is left ends with the machine
        return 0


def _shut_down(number: int, frame: FrameType | None) -> None:
    raise ShutDown


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
