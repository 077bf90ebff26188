# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTML built of elements: whatever is not `Html` already is escaped where it is put in, so nothing can be forgotten."""

from __future__ import annotations

import html
from collections.abc import Iterable

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import visible

VOID = ("br", "link", "meta")


class Html(str):
    """Text that is HTML already."""


def tag(element: str, /, *children: str | float | None, **attributes: str | float | None) -> Html:
    """An element. Children that are None are left out, and so are such attributes; `class_` is `class`, `aria_label` is `aria-label`."""
    told = "".join(
        f' {_name(key)}="{html.escape(visible(value))}"' for key, value in attributes.items() if value is not None
    )
    return Html(f"<{element}{told}>" if element in VOID else f"<{element}{told}>{together(children)}</{element}>")


def together(children: Iterable[str | float | None]) -> Html:
    """One after the other."""
    return Html("".join(c if isinstance(c, Html) else html.escape(visible(c)) for c in children if c is not None))


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
