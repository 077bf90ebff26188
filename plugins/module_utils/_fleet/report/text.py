# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from AWS, hosts and the registry, made safe to show."""

from __future__ import annotations

#: A longer detail is cut off; report.json has all of it.
LONGEST = 600


def visible(text: object) -> str:
    r"""The text with every invisible character escaped: `\x1b`, `\u202e`, `\ud800`; line breaks stay.

    Invisible is what Python does not call printable: control characters (a terminal obeys them, XML 1.0 cannot hold
    them), marks of direction (they reorder a line), lone surrogates (UTF-8 cannot hold them).
    """
    whole = str(text)
    if whole.replace("\n", "").isprintable():  # nearly every text, and there are tens of thousands
        return whole
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in whole)


def shortened(text: object, longest: int = LONGEST) -> str:
    """The text, made visible; of an overlong one the beginning, and how much is left out."""
    whole = visible(text)
    more = len(whole) - longest
    return whole if more <= 0 else f"{whole[:longest]}\N{HORIZONTAL ELLIPSIS} ({more:,} more characters in report.json)"
