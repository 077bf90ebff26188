"""Wall times of several ways to do the same, and the table that shows them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

NOTE = "min and median over the rounds, in which the ways take turns; ratio of the minima."


def interleaved(rounds: int, ways: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of every way in every round; the ways take turns, so that load of the machine affects all alike."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - began)
    return taken


class Line(NamedTuple):
    """One line of the table."""

    what: str
    latency: int
    """added to every API call, in ms"""
    seconds: Sequence[float]
    """of each round"""
    calls: int | None = None
    writes: int | None = None
    against: Sequence[float] = ()
    """the seconds of the baseline"""
    target: float | None = None
    """the highest ratio"""

    @property
    def ratio(self) -> float | None:
        """Of the minima, as other load can only make a run slower."""
        return min(self.seconds) / min(self.against) if self.against else None

    @property
    def verdict(self) -> str:
        """Whether the target is met."""
        if self.target is None or self.ratio is None:
            return ""
        return f"<= {self.target:.2f} {verdict(self.ratio <= self.target)}"

    def cells(self) -> list[str]:
        """The line as texts, one per column."""
        count = ["" if n is None else str(n) for n in (self.calls, self.writes)]
        times = [f"{min(self.seconds):.2f}", f"{statistics.median(self.seconds):.2f}", str(len(self.seconds))]
        return [
            f"{self.latency} ms",
            self.what,
            *count,
            *times,
            f"{self.ratio:.2f}" if self.ratio else "",
            self.verdict,
        ]


def verdict(met: bool) -> str:
    """How a target's result is printed."""
    return "met" if met else "MISSED"


HEAD = ["latency", "what", "calls", "writes", "min s", "median s", "rounds", "ratio", "target"]


def table(lines: Sequence[Line]) -> str:
    """The lines as a table, numbers aligned to the right."""
    rows = [HEAD, *(line.cells() for line in lines)]
    widths = [max(len(row[c]) for row in rows) for c in range(len(HEAD))]
    text = [
        [cell.ljust(w) if c in (1, 8) else cell.rjust(w) for c, (cell, w) in enumerate(zip(row, widths, strict=True))]
        for row in rows
    ]
    return "\n".join("  ".join(row).rstrip() for row in text)
