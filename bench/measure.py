"""Wall times, side by side, and the table that tells them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


def interleaved(rounds: int, ways: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of every way in every round; the ways take turns, so that a busy minute of the machine is shared by all."""
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
    """ms that every call takes longer"""
    seconds: Sequence[float]
    """of each round"""
    calls: int | None = None
    writes: int | None = None
    against: Sequence[float] = ()
    """the seconds of the baseline"""
    aim: float | None = None
    """the most that the ratio may be"""

    @property
    def ratio(self) -> float | None:
        """Of the minima: what else the machine does can only make a run slower."""
        return min(self.seconds) / min(self.against) if self.against else None

    @property
    def verdict(self) -> str:
        """Whether the aim is met."""
        if self.aim is None or self.ratio is None:
            return ""
        return f"<= {self.aim:.2f} {'met' if self.ratio <= self.aim else 'MISSED'}"

    def cells(self) -> list[str]:
        """As text."""
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


HEAD = ["a call +", "what", "calls", "writes", "min s", "median s", "rounds", "ratio", "aim"]


def table(lines: Sequence[Line]) -> str:
    """The lines under their heads, numbers to the right."""
    rows = [HEAD, *(line.cells() for line in lines)]
    widths = [max(len(row[c]) for row in rows) for c in range(len(HEAD))]
    text = [
        [cell.ljust(w) if c in (1, 8) else cell.rjust(w) for c, (cell, w) in enumerate(zip(row, widths, strict=True))]
        for row in rows
    ]
    return "\n".join("  ".join(row).rstrip() for row in text)
