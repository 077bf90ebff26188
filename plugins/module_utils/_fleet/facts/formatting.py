# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers, durations, lists and differences as text for people. Standard library only."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

SHOWN = 200  # characters of a value
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


def differences(name: str, found: Any, desired: Any) -> Iterator[str]:
    """The innermost values that differ: `name.key old -> new`; of texts of several lines, the lines."""
    if found is None and desired is None:
        yield name
    elif isinstance(found, Mapping) and isinstance(desired, Mapping):
        for key in sorted({*found, *desired}, key=str):
            if found.get(key) != desired.get(key):
                yield from differences(f"{name}.{key}", found.get(key), desired.get(key))
    elif isinstance(found, list) and isinstance(desired, list):
        yield from _items(name, found, desired)
    elif isinstance(found, str) and isinstance(desired, str) and "\n" in found + desired:
        lines = difflib.ndiff(found.splitlines(), desired.splitlines())
        yield f"{name}: {short(' | '.join(line.rstrip() for line in lines if line[0] in '-+'))}"
    else:
        yield f"{name} {short(found)} -> {short(desired)}"


def _items(name: str, found: list[Any], desired: list[Any]) -> Iterator[str]:
    """Those of one list only, where they are no mappings that stand at the same place."""
    if len(found) == len(desired) and all(isinstance(item, Mapping) for item in [*found, *desired]):
        for number, (one, other) in enumerate(zip(found, desired, strict=True)):
            yield from differences(f"{name}[{number}]", one, other) if one != other else ()
        return
    removed, added = ([x for x in one if x not in other] for one, other in ((found, desired), (desired, found)))
    in_another_order = not removed and not added
    yield f"{name} {short(found if in_another_order else removed)} -> {short(desired if in_another_order else added)}"


def short(value: Any) -> str:
    """A value in the line of a report."""
    text = value if isinstance(value, str) else "-" if value is None else json.dumps(value, default=str)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
