"""README's "On AWS": its steps in order, each with the commands that an operator would type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """A step: its number, its title, and its commands (the text of its one block of shell)."""

    number: int
    title: str
    commands: str


def steps(readme: Path) -> list[Step]:
    """The steps. Raises ValueError where one has not exactly one block, or the numbers have gaps."""
    section = re.search(r"^## On AWS\n(.*?)^## ", readme.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    parts = re.split(r"^### (\d+)\. (.+)$", section[1] if section else "", flags=re.MULTILINE)[1:]
    found = []
    for number, title, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if len(blocks) != 1:
            raise ValueError(f"{readme}: step {number} has {len(blocks)} blocks of shell, not one")
        found.append(Step(int(number), title.strip(), blocks[0]))
    if [step.number for step in found] != list(range(1, len(found) + 1)) or not found:
        raise ValueError(f"{readme}: the steps of On AWS are not numbered from 1 without a gap")
    return found
