# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of strangers, made fit to be shown; and the commands in a remedy."""

from __future__ import annotations

import re
from typing import NamedTuple

#: A detail longer than this says nothing to a reader any more; report.json has all of it.
LONGEST = 600
_PROGRAMS = "ansible-playbook|aws|chronyc|cloud-init|curl|docker|fly|flyctl|journalctl|make|packer|psql|python3?|sh|ssh|sudo|systemctl|timedatectl"
#: In backquotes; or, at a line's beginning or after a colon, a known program (or an option for it) to the line's or the sentence's end.
_COMMAND = re.compile(
    rf"`([^`\n]+)`|(?:(?<=:[ ])|^)((?:-e|(?:{_PROGRAMS})(?=[ ]))[ ]?[^\n]*?)(?=[.]?[ ]*$|[.][ ]+[A-Z(])",
    re.MULTILINE,
)


class Piece(NamedTuple):
    words: str
    is_command: bool


def visible(text: object) -> str:
    r"""The text with everything invisible spelt out: `\x1b`, `\u202e`, `\ud800`; ends of lines stay.

    Invisible is what Python does not call printable: control characters (a terminal obeys them, XML 1.0 has no way to write them),
    marks of direction (they turn a line about), lone surrogates (UTF-8 has no way to write them).
    """
    whole = str(text)
    if whole.replace("\n", "").isprintable():  # nearly every text, and there are tens of thousands
        return whole
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in whole)


def shortened(text: object, longest: int = LONGEST) -> str:
    """The text, made visible; of an overlong one the beginning, and how much is left out."""
    whole = visible(text)
    left_out = len(whole) - longest
    return (
        whole
        if left_out <= 0
        else f"{whole[:longest]}\N{HORIZONTAL ELLIPSIS} ({left_out:,} more characters in report.json)"
    )


def pieces(remedy: str) -> list[Piece]:
    """A remedy's words and its commands, in order, none empty."""
    found, end = [], 0
    for match in _COMMAND.finditer(remedy):
        found += [Piece(remedy[end : match.start()], False), Piece(match[1] or match[2], True)]
        end = match.end()
    # The full stop after a command is neither the command's nor the next sentence's.
    stripped = [
        Piece(piece.words.lstrip(" .\n").rstrip(), piece.is_command) for piece in [*found, Piece(remedy[end:], False)]
    ]
    return [piece for piece in stripped if piece.words]


def counted(number: int, word: str) -> str:
    """`1 warning`, `2 warnings`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
