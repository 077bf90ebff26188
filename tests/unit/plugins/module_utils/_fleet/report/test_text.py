# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of strangers made fit to be shown."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import (
    shortened,
    visible,
)
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report.samples import HOSTILE


def test_what_is_invisible_is_spelt_out() -> None:
    assert visible("\x1b[2J a\u202eb \ud800\x00\r\u200b") == r"\x1b[2J a\u202eb \ud800\x00\r\u200b"


def test_what_can_be_read_stays() -> None:
    words = "Grüße, \U0001f600 日本 <b>&\"' \\ two\nlines"
    assert visible(words) == words


@pytest.mark.parametrize("words", HOSTILE)
def test_whatever_comes_can_be_written_as_utf_8_and_shows_on_a_terminal(words: str) -> None:
    told = visible(words)
    told.encode("utf-8")
    assert told.replace("\n", "").isprintable()


def test_of_an_overlong_text_the_beginning_is_told_and_how_much_is_not() -> None:
    assert shortened("w" * 10_240, 40) == "w" * 40 + "\N{HORIZONTAL ELLIPSIS} (10,200 more characters in report.json)"
    assert shortened("w" * 40, 40) == "w" * 40
