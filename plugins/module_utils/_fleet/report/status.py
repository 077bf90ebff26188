# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's resources as a table of text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.status import Row


def table(rows: Sequence[Row]) -> list[str]:
    """One line for each row, below a line of headings."""
    lines = [Row("runbook", "resource", "id", "state"), *rows]
    widths = [max(len(row[column]) for row in lines) for column in range(3)]
    return ["  ".join([*(row[c].ljust(widths[c]) for c in range(3)), row.state]) for row in lines]
