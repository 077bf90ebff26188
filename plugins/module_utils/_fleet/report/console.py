# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.outcome import (
    PASSED,
    Result,
    heading,
    results,
    totals,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import shortened, visible

WORDS = {"ok": "ok", "skipped": "-", "error": "FAIL", "warning": "warn", "info": "note"}
WIDTH = 120
WIDEST_ID = 32
#: Of findings that say the same about many hosts, so many are printed.
FEW = 5


def table(findings: Sequence[Finding], width: int = WIDTH) -> list[str]:
    """The findings by runbook section: a line each, and the remedy under those that failed.

    :param width: of the terminal, in characters. Commands are never broken, so that they can be copied.
    """
    found = results(findings)
    column = min(WIDEST_ID, max((len(_line(result.id)) for result in found), default=0))
    lines = []
    for section in dict.fromkeys(result.section for result in found):
        lines.append(heading(section))
        for result in found:
            if result.section == section:
                lines += _result(result, column, width)
    return [*lines, f"{count(len(findings), 'finding')}: {totals(findings) or 'all as it should be'}."]


def _result(result: Result, column: int, width: int) -> Iterator[str]:
    first = f"  {WORDS[result.outcome]:4}  {_line(result.id):{column}}  "
    indent = " " * (column + 10)
    details = list(dict.fromkeys(_line(finding.detail) for finding in result.findings))
    if result.outcome == PASSED and len(result.findings) > 1:
        details = [f"{details[0]} (the same for {len(result.findings) - 1:,} more)"]
    for detail in details[:FEW]:
        yield from _wrapped(detail, width, first, indent)
        first = indent
    if len(details) > FEW:
        yield f"{indent}and {len(details) - FEW:,} more like these"
    for remedy in dict.fromkeys(finding.remedy for finding in result.findings if not finding.ok):
        yield from _remedy(remedy, width, indent)


def _remedy(remedy: Remedy, width: int, indent: str) -> Iterator[str]:
    if remedy.text:
        yield from _wrapped(_line(remedy.text), width, f"{indent}-> ", f"{indent}   ")
    for command in remedy.commands:
        yield f"{indent}   {visible(command)}".replace("\n", "\\n")


def _line(text: str) -> str:
    return " ".join(shortened(text).split())


def _wrapped(text: str, width: int, first: str, indent: str) -> list[str]:
    width = max(width, len(indent) + 30)  # a narrow terminal still leaves some room for the text
    broken = textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return broken or [first.rstrip()]
