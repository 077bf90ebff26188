"""The system's clock."""

from __future__ import annotations

import time


class LinuxClock:
    """ports.Clock.

    CLOCK_BOOTTIME is the same after a restart of the agent, and includes the time of a suspended machine.
    """

    def monotonic(self) -> float:
        """See ports.Clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """See ports.Clock."""
        return time.time()
