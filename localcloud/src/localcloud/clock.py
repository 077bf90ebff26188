"""The clock of a cloud, which may run faster than the world's."""

from __future__ import annotations

import time


class Clock:
    """Seconds since the epoch, which may pass faster than they do outside."""

    def __init__(self) -> None:
        self.speed = 1.0
        self._real = self._ours = time.time()

    def now(self) -> float:
        """The time now."""
        return self._ours + (time.time() - self._real) * self.speed

    def run_at(self, speed: float) -> None:
        """Pass ``speed`` times as fast from now on.

        Raises:
            ValueError: speed is not above 0.
        """
        if speed <= 0:
            raise ValueError("speed must be above 0")
        self._ours, self._real, self.speed = self.now(), time.time(), speed

    @property
    def lead(self) -> float:
        """How many seconds it is ahead of the world's."""
        return self.now() - time.time()

    @lead.setter
    def lead(self, seconds: float) -> None:
        self._real = time.time()
        self._ours = self._real + seconds
