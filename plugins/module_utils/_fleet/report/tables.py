# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables that stay tables to a screen reader where a narrow window lays them out as blocks."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.markup import Html, tag


def table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], class_: str) -> Html:
    """A table; the first cell of a row is its header. The roles are said because `display: block` takes them away."""
    head = [tag("th", column, scope="col", role="columnheader") for column in columns]
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *head, role="row"), role="rowgroup"),
        tag("tbody", *(_row(columns, row) for row in rows), role="rowgroup"),
        class_=class_,
        role="table",
    )


def _row(columns: Sequence[str], row: Sequence[str]) -> Html:
    cells = map(_cell, columns[1:], row[1:])
    return tag("tr", tag("th", row[0], scope="row", role="rowheader"), *cells, role="row")


def _cell(column: str, cell: str) -> Html:
    return tag("td", cell, role="cell", data_name=column)
