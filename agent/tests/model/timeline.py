"""Virtual time: a queue of actions, without threads and without a wall clock."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any

Action = Callable[..., object]


class Timeline:
    """Actions in the order of their time; actions of the same time keep the order in which they were scheduled.

    Attributes:
        now: the current time in seconds.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self._actions: list[tuple[float, int, Action, tuple[Any, ...]]] = []
        self._order = itertools.count()

    def at(self, when: float, action: Action, *args: Any) -> None:
        """Schedule an action for that time, or for now if that time has passed."""
        heapq.heappush(self._actions, (when, next(self._order), action, args))

    def after(self, seconds: float, action: Action, *args: Any) -> None:
        """Schedule an action in that many seconds."""
        heapq.heappush(self._actions, (self.now + seconds, next(self._order), action, args))

    def run_until(self, end: float) -> None:
        """Let time pass. An action may call this too; actions that are due in that span then run inside it."""
        actions = self._actions
        while actions and actions[0][0] <= end:
            when, _, action, args = heapq.heappop(actions)
            if when > self.now:
                self.now = when
            action(*args)
        self.now = max(self.now, end)
