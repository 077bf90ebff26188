"""Virtual time: a queue of what happens when. One thread, no wall clock; equal moments keep the order in which they were set."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any

Act = Callable[..., object]


class Timeline:
    """What happens when. ``now`` is in seconds since the epoch."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._acts: list[tuple[float, int, Act, tuple[Any, ...]]] = []
        self._order = itertools.count()

    def at(self, when: float, act: Act, *args: Any) -> None:
        """Have ``act`` happen at that moment, or now if it has passed."""
        heapq.heappush(self._acts, (when, next(self._order), act, args))

    def after(self, seconds: float, act: Act, *args: Any) -> None:
        """Have ``act`` happen in so many seconds."""
        heapq.heappush(self._acts, (self.now + seconds, next(self._order), act, args))

    def run_until(self, end: float) -> None:
        """Let time pass. May be called by an act: then what falls into that span happens within it."""
        acts = self._acts
        while acts and acts[0][0] <= end:
            when, _, act, args = heapq.heappop(acts)
            if when > self.now:
                self.now = when
            act(*args)
        self.now = max(self.now, end)
