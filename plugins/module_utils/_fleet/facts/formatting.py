# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers, durations and lists as text for people. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NAMES = 5  # how many ids a sentence lists; the evidence has all of them
UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`: two units at most, the second left out where it is zero."""
    left = max(0, round(seconds))
    first = next((place for place, unit in enumerate(UNITS) if left >= unit[1]), len(UNITS) - 1)
    words: list[str] = []
    for name, size in UNITS[first : first + 2]:
        number, left = divmod(left, size)
        words += [f"{number:,} {name}"] if number or not words else []
    return " ".join(words)


def count(number: int, noun: str) -> str:
    """`1 warning`, `2 warnings`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def first_of(ids: Iterable[str]) -> str:
    """The first few ids in alphabetical order, and how many more there are."""
    ids = sorted(ids)
    return ", ".join(ids[:NAMES]) + (f" and {len(ids) - NAMES} more" if len(ids) > NAMES else "")


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
