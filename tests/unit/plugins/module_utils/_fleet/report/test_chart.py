# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances as a chart."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.chart import (
    Chart,
    chart,
    described,
    fit,
    missing,
    versions,
)
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report import samples
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report.samples import (
    busy,
    fleet,
    instance,
)


def drawn(of: dict[str, Any]) -> Chart:
    """The chart of a fleet that has one."""
    made = chart(of)
    assert made is not None
    return made


def symbols(made: Chart) -> dict[str, int]:
    """How often each symbol is drawn."""
    return dict(Counter(symbol for block in made.blocks for cell in block.cells for symbol in cell.symbols))


def test_every_instance_is_a_cell_shaped_by_its_version() -> None:
    found = {"busy": 4, "missing": 2, "old": 2, "older": 2, "unhealthy": 1, "current": 6}
    assert symbols(drawn(samples.faulty()[0])) == found


@pytest.mark.parametrize("number", [1, 7, 100, 1_000, 10_000])
def test_the_size_of_a_cell_adapts_and_none_is_left_out(number: int) -> None:
    grid = fit(number)
    assert 6 <= grid.side <= 38
    assert grid.side * grid.columns <= 800
    if number <= 1_000:
        assert symbols(drawn(fleet([instance(n) for n in range(number)]))) == {"current": number}


def test_an_empty_fleet_has_no_chart_and_one_that_should_have_instances_shows_the_gap() -> None:
    assert chart(fleet([])) is None
    assert symbols(drawn(fleet([], desired=3))) == {"missing": 3}
    assert missing(fleet([], desired=None)) == 0


def test_versions_other_than_the_desired_one_get_shapes_newest_first() -> None:
    members = [
        instance(n, template_version=version)
        for n, version in enumerate(["2", "10", "9", "8", "7", "", None, "$Latest"])
    ]
    made = versions(fleet(members, template_version="9"))
    assert [(name, version.shape) for name, version in made.items()] == [
        ("9", "current"),
        *(("10", "old"), ("8", "older"), ("7", "oldest"), ("2", "oldest"), ("$Latest", "oldest"), ("none", "none")),
    ]
    assert made["10"].text == "version 10, not the desired one"
    assert made["8"].text == "version 8, old"


def test_a_block_says_how_long_its_instances_have_waited_and_how_long_they_may() -> None:
    notes = {block.state: block.note for block in drawn(samples.faulty()[0]).blocks}
    assert notes["Terminating:Wait"] == "draining, held by the termination hook; 20 min 12 s of 35 min"
    assert notes["Pending:Wait"] == "waiting for the launch hook; 5 min 40 s"


def test_a_block_is_described_and_the_chart_has_its_numbers_as_a_table() -> None:
    made = drawn(samples.faulty()[0])
    assert made.blocks[0].title == "6 instances in InService"
    assert made.blocks[0].description == "4 of version 3, as desired, 2 of version 2, old; 3 busy, 1 unhealthy."
    assert made.columns == ["State", "version 3, as desired", "version 2, old", "version 1, old", "All"]
    assert made.rows[0] == ["InService", "4", "2", "0", "6"]


def test_an_unknown_state_is_drawn_last() -> None:
    made = drawn(fleet([instance(1, "Hovering"), instance(2)], desired=1))
    assert [block.state for block in made.blocks] == ["InService", "Hovering"]


def test_an_instance_is_described_in_words() -> None:
    member = instance(1, health="Unhealthy", **busy(1))
    assert described(member, versions(fleet([member]))["3"]) == (
        "i-00000000000000001: InService, Unhealthy, us-east-1b, version 3, as desired, c5.xlarge, "
        "protected from scale-in, busy with job 6f1c0001-02d4-4e6b-9a51-3d0c77f1b2aa"
    )
