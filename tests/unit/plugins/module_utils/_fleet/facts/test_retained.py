# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which retained instances an operator wants ended, and what the list says of them."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, GroupInstance
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.retained import (
    STATE,
    Retained,
    chosen,
    listing,
)


def group(**states: str) -> Group:
    """A group of instances i-NAME in these states."""
    every = (
        GroupInstance(f"i-{name}", state, "Healthy", "us-east-1a", "t3.medium", "1", protected=False)
        for name, state in states.items()
    )
    return Group("g", "arn:g", 0, 1, 1, instances=tuple(every))


FOUND = group(a=STATE, b="InService", c=STATE)


@pytest.mark.parametrize(
    ("release", "ends"),
    [([], []), (["i-c"], ["i-c"]), (["all"], ["i-a", "i-c"]), (["i-c", "i-gone"], ["i-c"]), (["i-gone"], [])],
)
def test_what_is_named_and_retained_is_ended(release: list[str], ends: list[str]) -> None:
    assert chosen(release, FOUND) == ends


@pytest.mark.parametrize("release", [["i-b"], ["i-a", "i-b"]])
def test_one_that_is_not_retained_is_refused_with_its_state_and_the_choice(release: list[str]) -> None:
    with pytest.raises(ValueError, match=r"i-b is InService\. Nothing was ended\. .* i-a, i-c\.$"):
        chosen(release, FOUND)


def test_the_list_has_age_price_job_and_journal() -> None:
    known = Retained("i-a", "t3.medium", 1.0, 7200.0, "job-1", ("event=job_lost job=job-1",))
    unknown = Retained("i-c", "x.large", 0.0, None, "", ())
    assert listing([known, unknown], 3) == [
        "2 instances retained, 1.00 USD a day (fleet_retained_max: 3).",
        "i-a  t3.medium, for 2 h, its last job job-1",
        "    event=job_lost job=job-1",
        "i-c  x.large",
        "    no lines of its journal in the log group",
    ]
    assert listing([], 3) == ["No instance is retained."]
