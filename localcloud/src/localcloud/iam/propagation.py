"""When a change of IAM takes effect: some seconds after the call. Pure: values and times in, the value in effect out.

IAM User Guide, troubleshoot ("Changes that I make are not always immediately visible"): what is written can be read
back at once, while the places that decide about calls learn of it later. AWS gives no time; agents and installers meet
some seconds, at most minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Propagation(Generic[Value]):
    """The facts that decide about calls, each with its last changes."""

    def __init__(self) -> None:
        self._changes: dict[Hashable, list[tuple[float, Value]]] = {}

    def note(self, facts: Mapping[Hashable, Value], now: float, delay: Callable[[], float]) -> None:
        """Take in all facts as they are after a change: those that differ take effect after a delay, in order.

        A fact that is missing is gone at once: what it was about has been deleted.
        """
        for key in self._changes.keys() - facts.keys():
            del self._changes[key]
        for key, value in facts.items():
            changes = self._changes.setdefault(key, [])
            if not changes or changes[-1][1] != value:
                changes.append((max([now + delay(), *(at for at, _ in changes)]), value))

    def effective(self, key: Hashable, written: Value, now: float) -> Value | None:
        """The value that is in effect; None: nothing is yet.

        Args:
            written: the value as it is now, for a fact that no change has been noted of.
        """
        changes = self._changes.get(key)
        if not changes:
            return written
        known = [change for change in changes if change[0] <= now]
        if not known:
            return None
        changes[: len(known) - 1] = []
        return known[-1][1]
