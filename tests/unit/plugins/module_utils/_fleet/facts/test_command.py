# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of wishes and answers."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import (
    DID,
    WANT,
    Answer,
    Told,
    Wish,
    told,
)

DIGEST = "sha256:" + "0f" * 32


@pytest.mark.parametrize("wish", [Wish("hold", "0a1b2c3d"), Wish("release", "0a1b2c3d", DIGEST)])
def test_a_wish_is_read_back_as_it_was_written(wish: Wish) -> None:
    assert Wish.parse(wish.text) == wish
    assert len(wish.text) <= 256


@pytest.mark.parametrize(
    "text", ["", "hold", "hold@XYZ", "stop@0a1b2c3d", "release@0a1b2c3d", "hold=sha256:0@0a1b2c3d", "hold@0a1b2c3d "]
)
def test_another_text_is_no_wish(text: str) -> None:
    assert Wish.parse(text) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("hold@0a1b2c3d begun", Answer("hold", "0a1b2c3d", "begun")),
        ("renew@0a1b2c3d failed no key GH_X", Answer("renew", "0a1b2c3d", "failed", "no key GH_X")),
        ("renew@0a1b2c3d maybe", None),
        ("", None),
    ],
)
def test_an_answer_has_a_state_and_maybe_a_reason(text: str, answer: Answer | None) -> None:
    assert Answer.parse(text) == answer


@pytest.mark.parametrize(
    ("want", "did", "shown"),
    [
        ("", "", ""),
        ("hold@0a1b2c3d", "", "hold not answered"),
        ("hold@0a1b2c3d", "hold@0a1b2c3d begun", "held"),
        ("renew@0a1b2c3d", "renew@0a1b2c3d done held: its worker starts with the next resume", "held"),
        ("renew@0a1b2c3d", "renew@0a1b2c3d failed no key GH_X", "renew failed: no key GH_X"),
        ("resume@0a1b2c3d", "resume@0a1b2c3d done", "resume done"),
    ],
)
def test_what_an_instance_was_told_is_shown_in_words(want: str, did: str, shown: str) -> None:
    assert str(told({WANT: want, DID: did})) == shown


def test_an_answer_to_an_earlier_wish_does_not_count() -> None:
    tags = {WANT: "hold@0a1b2c3d", DID: "resume@ffffffff done"}
    assert told(tags) == Told(Wish("hold", "0a1b2c3d"), None)
    assert told(tags).unanswered
    assert told(tags | {DID: "hold@0a1b2c3d begun"}).state == "begun"
    assert not told({DID: "hold@0a1b2c3d begun"}).unanswered
