# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How findings speak: times, names, commands."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import Place, count, named, span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172799, "48 h"),
        (172800, "2 days"),
        (9e6, "104 days"),
    ],
)
def test_a_time_is_told_in_the_unit_that_people_use(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_a_few_instances_are_all_named_in_order() -> None:
    assert named(["i-3", "i-1", "i-2"]) == "i-1, i-2, i-3"


def test_of_many_instances_five_are_named_and_the_rest_counted() -> None:
    assert named(f"i-{n}" for n in range(8)) == "i-0, i-1, i-2, i-3, i-4 and 3 more"


def test_one_is_one_and_others_are_many() -> None:
    assert [count(n, "job") for n in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]


def test_a_remedy_is_a_command_line_for_where_the_operator_stands() -> None:
    place = Place("playbooks", "staging", "stg")
    assert (
        place.run("iam.yml", "-e fleet_force=true")
        == "ansible-playbook playbooks/iam.yml -i staging -l stg -e fleet_force=true"
    )


def test_an_inventory_with_a_blank_in_its_path_is_quoted() -> None:
    assert (
        Place("a clone/playbooks", "my inventory", "stg").run("iam.yml")
        == "ansible-playbook 'a clone/playbooks/iam.yml' -i 'my inventory' -l stg"
    )
