# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters as a template calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.wekruit.ghosthands.plugins.filter.fleet import FilterModule

FILTERS = FilterModule().filters()


def test_every_filter_is_documented_under_its_name() -> None:
    folder = Path(__file__).resolve().parents[4] / "plugins" / "filter"
    assert FILTERS.keys() == {file.stem for file in folder.glob("*.yml")}


def test_a_filter_does_what_its_function_does() -> None:
    assert FILTERS["pinned_version"](7, "numbered", "adopt", None) == "7"


def test_what_a_function_refuses_is_an_error_of_the_template() -> None:
    with pytest.raises(AnsibleFilterError, match=r"agent\.conf needs REGION"):
        FILTERS["agent_conf"]({})
