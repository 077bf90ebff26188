# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report import verdict
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import (
    counted,
    pieces,
    shortened,
    visible,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.verdict import Check, Finding

WORDS = {"ok": "ok", "skipped": "-", "error": "FAIL", "warning": "warn", "info": "note"}
WIDTH = 120
WIDEST_ID = 32
#: Of findings that say the same about many hosts, so many are told.
FEW = 5


def table(findings: Sequence[Finding], width: int = WIDTH) -> list[str]:
    """The findings by runbook section: a line each, and what to do under those that are bad. Findings alike share a line.

    :param width: of the terminal, in characters. Commands are never broken, so that they can be copied.
    """
    found = verdict.checks(findings)
    column = min(WIDEST_ID, max((len(_line(check.id)) for check in found), default=0))
    lines = []
    for section in dict.fromkeys(check.section for check in found):
        lines.append(verdict.heading(section))
        for check in found:
            if check.section == section:
                lines += _check(check, column, width)
    bad = verdict.counts(findings)
    return [*lines, f"{counted(len(findings), 'finding')}: {bad or 'all as it should be'}."]


def _check(check: Check, column: int, width: int) -> Iterator[str]:
    first = f"  {WORDS[check.outcome]:4}  {_line(check.id):{column}}  "
    rest = " " * (column + 10)
    details = list(dict.fromkeys(_line(finding["detail"]) for finding in check.findings))
    if check.outcome == verdict.OK and len(check.findings) > 1:
        details = [f"{details[0]} (and so of {len(check.findings) - 1:,} more)"]
    for detail in details[:FEW]:
        yield from _wrapped(detail, width, first, rest)
        first = rest
    if len(details) > FEW:
        yield f"{rest}and {len(details) - FEW:,} more like these"
    for remedy in dict.fromkeys(
        finding["remedy"] for finding in check.findings if not finding["ok"] and finding["remedy"]
    ):
        mark = f"{rest}-> "
        for piece in pieces(remedy):
            if piece.is_command:
                yield mark + visible(piece.words)
            else:
                yield from _wrapped(_line(piece.words), width, mark, f"{rest}   ")
            mark = f"{rest}   "


def _line(text: str) -> str:
    return " ".join(shortened(text).split())


def _wrapped(text: str, width: int, first: str, rest: str) -> list[str]:
    # A narrow terminal still gives the words some room.
    width = max(width, len(rest) + 30)
    broken = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return broken or [first.rstrip()]
