"""amazon-cloudwatch-agent, the log shipper, which sends what it has buffered when it is stopped."""

from __future__ import annotations

import time

from .command import Command, PolledTask, Steps
from .ports import Unavailable

UNIT = "amazon-cloudwatch-agent.service"
FLUSH_SECONDS = 2.0


class CloudWatchShipper:
    """ports.Logs: a restart flushes the buffers.

    Args:
        enabled: whether a log group is configured; if not, there is nothing to flush.
        program: systemctl.
    """

    def __init__(self, enabled: bool, program: str = "systemctl") -> None:
        self._enabled, self._program = enabled, program

    def flush(self) -> PolledTask[None]:
        """See ports.Logs."""
        return PolledTask(self._restart())

    def _restart(self) -> Steps[None]:
        if not self._enabled:
            return
        command = Command([self._program, "try-restart", UNIT])
        deadline = time.monotonic() + FLUSH_SECONDS
        while (completed := command.poll()) is None:
            if time.monotonic() > deadline:
                command.kill()
                raise Unavailable("systemctl try-restart", "Timeout")
            yield command
        if completed.code:
            raise Unavailable("systemctl try-restart", f"exit {completed.code}")
