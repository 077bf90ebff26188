"""The results as text."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = (
    *("mode", "guard", "scenario", "ended", "jobs", "lost", "called clean", "doubled", "at once", "put back"),
    *("elsewhere", "after idle", "results", "attached", "load", "seconds"),
)


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a table of the scenarios, then the other measurements a line each."""
    trials = [row for row in rows if "ended" in row]
    cells = [list(map(str, _cells(row))) for row in trials]
    lines = []
    if rows:
        lines.append(f"worker {rows[0]['source']}, this checkout {rows[0]['commit']}")
    if cells:
        widths = [max(map(len, column)) for column in zip(COLUMNS, *cells, strict=True)]
        rule = ["-" * width for width in widths]
        lines += [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(one, widths, strict=True)) + " |"
            for one in (COLUMNS, rule, *cells)
        ]
    return "\n".join([*lines, *(line(row) for row in rows if "ended" not in row)])


def line(row: Mapping[str, Any]) -> str:
    """A row as a line."""
    if "ended" in row:
        named = dict(zip(COLUMNS, _cells(row), strict=True))
    else:
        named = {name: value for name, value in row.items() if name not in ("source", "commit")}
    return ", ".join(f"{name} {value}" for name, value in named.items())


def _cells(row: Mapping[str, Any]) -> list[Any]:
    idle = row["seconds_after_idle"]
    return [
        *(row[name] for name in ("mode", "guard", "scenario", "ended", "jobs", "lost", "lost_but_clean", "doubled")),
        *(row[name] for name in ("claimed_at_once", "put_back", "finished_elsewhere")),
        f"{statistics.median(idle):.1f} (max {max(idle):.1f})" if idle else "-",
        " ".join(f"{name} {number}" for name, number in sorted(row["results"].items())) or "-",
        f"{row['attached']}/{row['workers']}",
        row["load"],
        row["seconds"],
    ]
