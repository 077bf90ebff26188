"""Virtual time: a queue of actions, without threads and without a wall clock."""

from __future__ import annotations

import heapq
import itertools
import math
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
        self._polls: list[tuple[float, int, Action, tuple[Any, ...]]] = []
        self._order = itertools.count()

    def at(self, when: float, action: Action, *args: Any) -> None:
        """Schedule an action for that time, or for now if that time has passed."""
        heapq.heappush(self._actions, (when, next(self._order), action, args))

    def after(self, seconds: float, action: Action, *args: Any) -> None:
        """Schedule an action in that many seconds."""
        heapq.heappush(self._actions, (self.now + seconds, next(self._order), action, args))

    def poll_at(self, when: float, action: Action, *args: Any) -> None:
        """Schedule an action that looks whether something has changed."""
        heapq.heappush(self._polls, (when, next(self._order), action, args))

    def next_action_at(self) -> float:
        """When the next action is due that is no poll: until then nothing changes by itself."""
        return self._actions[0][0] if self._actions else math.inf

    def run_until(self, end: float) -> None:
        """Let time pass. An action may call this too; actions that are due in that span then run inside it."""
        actions, polls = self._actions, self._polls
        while True:
            first = polls if polls and (not actions or polls[0] < actions[0]) else actions
            if not first or first[0][0] > end:
                break
            when, _, action, args = heapq.heappop(first)
            if when > self.now:
                self.now = when
            action(*args)
        self.now = max(self.now, end)
