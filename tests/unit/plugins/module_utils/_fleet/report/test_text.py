# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from outside, made safe to show."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import (
    shortened,
    visible,
)
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report.samples import HOSTILE


def test_invisible_characters_are_escaped() -> None:
    assert visible("\x1b[2J a\u202eb \ud800\x00\r\u200b") == r"\x1b[2J a\u202eb \ud800\x00\r\u200b"


def test_visible_text_stays() -> None:
    words = "Grüße, \U0001f600 日本 <b>&\"' \\ two\nlines"
    assert visible(words) == words


@pytest.mark.parametrize("words", HOSTILE)
def test_every_text_can_be_written_as_utf_8_and_printed_on_a_terminal(words: str) -> None:
    text = visible(words)
    text.encode("utf-8")
    assert text.replace("\n", "").isprintable()


def test_an_overlong_text_is_cut_and_says_by_how_much() -> None:
    assert shortened("w" * 10_240, 40) == "w" * 40 + "\N{HORIZONTAL ELLIPSIS} (10,200 more characters in report.json)"
    assert shortened("w" * 40, 40) == "w" * 40
