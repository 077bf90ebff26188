"""Time as Linux tells it."""

from __future__ import annotations

import time


class LinuxClock:
    """ports.Clock: CLOCK_BOOTTIME goes on over restarts of the agent and also counts a suspended machine's sleep."""

    def monotonic(self) -> float:
        """See ports.Clock."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        """See ports.Clock."""
        return time.time()
