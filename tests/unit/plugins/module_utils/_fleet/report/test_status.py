# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's resources as a table of text."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.status import Row
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.status import table


def test_the_columns_of_a_table_line_up() -> None:
    lines = table([Row("§4", "group", "g", "1 to 2"), Row("§10", "VALET's policy", "a-long-name", "missing")])
    assert [line.index(state) for line, state in zip(lines, ["state", "1 to 2", "missing"], strict=True)] == [
        lines[0].index("state")
    ] * 3


def test_a_table_of_nothing_is_its_headings() -> None:
    assert len(table([])) == 1
