# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as a picture."""

from __future__ import annotations

import re

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.chart import (
    grid,
    kinds,
    missing,
    picture,
    said_of,
)
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report import samples
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report.samples import (
    busy,
    fleet,
    instance,
)


def drawn(text: str) -> dict[str, int]:
    """How often each symbol is drawn as a cell or a mark; the legend's are not."""
    cells = re.findall(r'<use href="#([a-z]+)" x=', text)
    return {symbol: cells.count(symbol) for symbol in sorted(set(cells))}


def test_every_instance_is_a_cell_shaped_by_its_version() -> None:
    assert drawn(picture(samples.faulty()[0])) == {
        "busy": 4,
        "missing": 2,
        "old": 2,
        "older": 2,
        "unhealthy": 1,
        "wanted": 6,
    }


@pytest.mark.parametrize("number", [1, 7, 100, 1_000, 10_000])
def test_the_size_of_a_cell_adapts_and_none_is_left_out(number: int) -> None:
    made = grid(number)
    assert 6 <= made.side <= 38
    assert made.side * made.columns <= 800
    if number <= 1_000:
        text = picture(fleet([instance(n) for n in range(number)]))
        assert drawn(text) == {"wanted": number}
        assert text.count("<g><title>") == number


def test_a_fleet_of_none_says_so_and_one_that_wants_some_shows_the_gap() -> None:
    assert picture(fleet([])) == '<p class="quiet">The group has no instance, and wants none.</p>'
    assert drawn(picture(fleet([], desired=3))) == {"missing": 3}
    assert missing(fleet([], desired=None)) == 0


def test_versions_beyond_the_wanted_one_get_shapes_newest_first() -> None:
    members = [
        instance(n, template_version=version)
        for n, version in enumerate(["2", "10", "9", "8", "7", "", None, "$Latest"])
    ]
    made = kinds(fleet(members, template_version="9"))
    assert [(version, kind.shape) for version, kind in made.items()] == [
        ("9", "wanted"),
        *(("10", "old"), ("8", "older"), ("7", "oldest"), ("2", "oldest"), ("$Latest", "oldest"), ("none", "none")),
    ]
    assert made["10"].says == "version 10, not the wanted one"
    assert made["8"].says == "version 8, old"


def test_a_wait_tells_how_long_of_how_much() -> None:
    text = picture(samples.faulty()[0])
    assert "draining, held by the termination hook; 1 h 10 min of 5 min" in text
    assert "waiting for the launch hook; 5 min 40 s" in text


def test_a_drawing_has_a_title_a_description_and_its_figures() -> None:
    text = picture(samples.faulty()[0])
    assert '<title id="block-1-title">6 instances in InService</title>' in text
    assert "4 of version 3, as wanted, 2 of version 2, old; 3 busy, 1 unhealthy." in text
    assert '<th scope="row" role="rowheader">InService</th>' in text


def test_a_state_that_nobody_knows_is_drawn_last() -> None:
    text = picture(fleet([instance(1, "Hovering"), instance(2)]))
    assert text.index("InService") < text.index("Hovering")


def test_an_instance_is_told_in_words() -> None:
    member = instance(1, health="Unhealthy", **busy(1))
    assert said_of(member, kinds(fleet([member]))["3"]) == (
        "i-00000000000000001: InService, Unhealthy, us-east-1b, version 3, as wanted, c5.xlarge, protected from scale-in, "
        "busy with job 6f1c0001-02d4-4e6b-9a51-3d0c77f1b2aa"
    )
