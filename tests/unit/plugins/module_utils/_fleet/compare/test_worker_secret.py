# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What writing the secret would change: by key, never by value, and nothing that boot refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.worker_secret import (
    Plan,
    from_environment,
    planned,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_secret import BadSecret

REQUIRED, ALLOWED = ["A", "B|C"], ["D", "GH_WORKER_PORT"]
PRESENT = {"A": "old-a", "B": "old-b", "D": "old-d"}


def plan(given: dict[str, Any], present: str | None = json.dumps(PRESENT), replace: bool = False) -> Plan:
    return planned(present, given, REQUIRED, ALLOWED, replace)


def test_keys_are_added_and_changed_and_none_is_lost() -> None:
    found = plan({"A": "new", "C": "c"})
    assert (found.added, found.changed, found.removed) == (("C",), ("A",), ())
    assert json.loads(found.text) == {"A": "new", "B": "old-b", "C": "c", "D": "old-d"}


def test_replacing_drops_what_is_not_given() -> None:
    found = plan({"A": "old-a", "C": "c"}, replace=True)
    assert (found.added, found.changed, found.removed) == (("C",), (), ("B", "D"))
    assert json.loads(found.text) == {"A": "old-a", "C": "c"}


@pytest.mark.parametrize("present", [json.dumps(PRESENT), "A=old-a\nB='old-b'\nexport D=old-d # comment\n"])
def test_equal_values_in_whatever_form_differ_in_nothing(present: str) -> None:
    assert not plan({"A": "old-a"}, present).differs


@pytest.mark.parametrize("present", [None, "", " \n"])
def test_a_secret_without_a_value_gets_every_key(present: str | None) -> None:
    assert plan({"A": "a", "B": "b"}, present).added == ("A", "B")


def test_the_placeholder_of_earlier_releases_goes_by_itself() -> None:
    assert plan({"A": "a", "B": "b"}, '{"GH_PLACEHOLDER": "fill in"}').removed == ("GH_PLACEHOLDER",)


@pytest.mark.parametrize(
    ("given", "present", "words"),
    [
        ({"A": "a"}, None, "B or C is missing or empty."),
        ({"A": "", "B": "b"}, None, "A is missing or empty."),
        ({"E": "x"}, json.dumps(PRESENT), "E is not a key of the worker; if it is, name it in fleet_secret_keys."),
        ({"GH_WORKER_ID": "x"}, json.dumps(PRESENT), "GH_WORKER_ID is each instance's own: take it out."),
        ({"COMPOSE_FILE": "x"}, json.dumps(PRESENT), "COMPOSE_FILE would configure Compose"),
        ({"A": 7}, json.dumps(PRESENT), "A is not a string."),
        ({"GH_WORKER_PORT": "1"}, json.dumps(PRESENT), "GH_WORKER_PORT is not 3101"),
        ({"A": "a"}, json.dumps(PRESENT | {"EC2_IP": "x"}), "Drop the keys that are not given: -e fleet_secret_rep"),
        ({"A": "a"}, "[1", "The present value cannot be added to. It is neither a JSON object nor KEY=value lines."),
    ],
)
def test_what_boot_would_refuse_is_not_written(given: dict[str, Any], present: str | None, words: str) -> None:
    with pytest.raises(BadSecret) as error:
        plan(given, present)
    assert words in str(error.value)


def test_a_present_value_that_nobody_can_read_is_replaced_where_that_is_wanted() -> None:
    assert plan({"A": "a", "B": "b"}, "[1", replace=True).added == ("A", "B")


def test_nothing_that_is_shown_holds_a_value() -> None:
    found = plan({"A": "new-a", "C": "new-c"}, replace=True)
    shown = f"{found!r} {found} {found.diff}"
    assert "new-" not in shown
    assert "old-" not in shown
    assert found.diff == {"before": "A\nB\nD\n", "after": "A (another value)\nC\n"}


def test_the_environment_gives_the_known_names_that_have_a_value() -> None:
    environment = {"A": "a", "C": "c", "D": "", "HOME": "/root"}
    assert from_environment(environment, REQUIRED, ALLOWED) == {"A": "a", "C": "c"}
