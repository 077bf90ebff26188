# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of strangers made fit to be shown, and the commands in a remedy."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import (
    counted,
    listed,
    pieces,
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


@pytest.mark.parametrize(
    ("remedy", "commands", "rest"),
    [
        (
            "Run iam.yml: ansible-playbook playbooks/iam.yml -i staging",
            ["ansible-playbook playbooks/iam.yml -i staging"],
            ["Run iam.yml:"],
        ),
        (
            "Keep it: aws secretsmanager restore-secret --secret-id a.b",
            ["aws secretsmanager restore-secret --secret-id a.b"],
            ["Keep it:"],
        ),
        ("To converge them: -e fleet_size_owner=playbook", ["-e fleet_size_owner=playbook"], ["To converge them:"]),
        (
            "Let it ask: systemctl restart chronyd; chronyc tracking. Then look again.",
            ["systemctl restart chronyd; chronyc tracking"],
            ["Let it ask:", "Then look again."],
        ),
        ("aws sso login\nThen once more: make demo.", ["aws sso login", "make demo"], ["Then once more:"]),
        ("Say `fly auth login` here.", ["fly auth login"], ["Say", "here."]),
        (
            "Bake one (§2, packer build), or name one in fleet_image.",
            [],
            ["Bake one (§2, packer build), or name one in fleet_image."],
        ),
        ("Grow it: make room on the disk.", ["make room on the disk"], ["Grow it:"]),
        ("Ask the owner: awsome people know.", [], ["Ask the owner: awsome people know."]),
        ("", [], []),
    ],
)
def test_a_remedy_is_words_and_commands(remedy: str, commands: list[str], rest: list[str]) -> None:
    found = pieces(remedy)
    assert [piece.words for piece in found if piece.is_command] == commands
    assert [piece.words for piece in found if not piece.is_command] == rest


def test_numbers_and_lists_are_put_in_words() -> None:
    assert [counted(1, "error"), counted(1200, "error")] == ["1 error", "1,200 errors"]
    assert [listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
