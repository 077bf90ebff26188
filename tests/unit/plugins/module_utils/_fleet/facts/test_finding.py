# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A finding and its remedy, as text and as a dictionary."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy


def test_a_remedy_as_text_has_its_commands_in_backticks() -> None:
    assert str(Remedy("Run", ("a", "b c"))) == "Run `a` `b c`"
    assert str(Finding("id", "error", "It is gone.", Remedy("Wait."))) == "It is gone. Wait."
    assert str(Finding("id", "error", "It is there.")) == "It is there."


@pytest.mark.parametrize("remedy", [Remedy(), Remedy("Wait."), Remedy("Run `x`:", ("x", "y"))])
def test_a_finding_comes_back_from_its_dictionary(remedy: Remedy) -> None:
    finding = Finding("id", "warning", "detail", remedy, ok=False, section=4, evidence={"a": [1]})
    assert Finding.from_dict(finding.as_dict()) == finding
