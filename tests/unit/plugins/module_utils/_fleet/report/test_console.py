# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table for a terminal."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.console import table
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report import samples
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report.samples import (
    HOSTILE,
    finding,
)


def test_one_line_for_each_check_by_section_with_remedies_under_failed_ones() -> None:
    assert table(
        [
            finding(
                "hook",
                5,
                ok=False,
                detail="There is no hook.",
                remedy="Create it:",
                commands=("ansible-playbook playbooks/lifecycle_hook.yml",),
            ),
            finding("image-age", 2, "warning", False, "Baked 200 days ago.", "Bake a new one."),
            finding("image", 2, detail="ami-1 is available.", remedy="Not printed."),
            finding("sizes", 4, "info", False, "Left to VALET."),
        ]
    ) == [
        "§2 Golden AMI",
        "  warn  image-age  Baked 200 days ago.",
        "                   -> Bake a new one.",
        "  ok    image      ami-1 is available.",
        "§4 Auto Scaling group",
        "  note  sizes      Left to VALET.",
        "§5 Lifecycle hook",
        "  FAIL  hook       There is no hook.",
        "                   -> Create it:",
        "                      ansible-playbook playbooks/lifecycle_hook.yml",
        "4 findings: 1 error, 1 warning.",
    ]


def test_a_table_without_findings_is_its_last_line() -> None:
    assert table([]) == ["0 findings: all as it should be."]


def test_lines_end_within_the_terminal_and_commands_stay_whole() -> None:
    lines = table(samples.faulty()[1], width=90)
    over = [line.strip() for line in lines if len(line) > 90]
    assert [line.split()[0] for line in over] == ["ansible-playbook", "aws"]
    assert over[1].endswith("--instance-id i-00000000000000008 --region us-east-1")


def test_a_narrow_terminal_still_gets_some_words_on_a_line() -> None:
    assert max(map(len, table(samples.right()[1], width=10))) <= 72


def test_a_thousand_hosts_with_the_same_detail_take_a_line() -> None:
    hosts = [finding("host-clock", 8, detail="+0 s", instance=f"i-{n}") for n in range(1_000)]
    assert table(hosts) == [
        "§8 User data",
        "  ok    host-clock  +0 s (the same for 999 more)",
        "1,000 findings: all as it should be.",
    ]


def test_of_many_bad_hosts_a_few_are_printed_and_their_remedy_once() -> None:
    hosts = [finding("host-disk", 8, ok=False, detail=f"i-{n} is full.", remedy="Grow it.") for n in range(300)]
    lines = table(hosts)
    assert lines[1:7] == [
        "  FAIL  host-disk  i-0 is full.",
        *(f"                   i-{n} is full." for n in range(1, 5)),
        lines[6],
    ]
    assert lines[6:] == [
        "                   and 295 more like these",
        "                   -> Grow it.",
        "300 findings: 300 errors.",
    ]


@pytest.mark.parametrize("words", HOSTILE)
def test_no_text_from_outside_moves_the_cursor_or_makes_a_line(words: str) -> None:
    lines = table([finding(words, 4, ok=False, detail=words, remedy=words, commands=(words,))])
    assert all(line.isprintable() for line in lines)
    assert lines[0] == "§4 Auto Scaling group"
    assert [line for line in lines if not line.startswith("  ")] == [lines[0], lines[-1]]
