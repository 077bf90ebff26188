# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report for programs."""

from __future__ import annotations

import json

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.json_document import to_json
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report import samples
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report.samples import (
    HOSTILE,
    finding,
    fleet,
)


def test_programs_get_the_fleet_and_the_findings() -> None:
    like, findings = samples.faulty()
    assert json.loads(to_json(like, findings)) == {
        "fleet": like,
        "findings": [finding.as_dict() for finding in findings],
    }


def test_keys_are_always_in_the_same_order() -> None:
    made = finding("hook", seconds=3, group="g")
    turned = made._replace(evidence={"group": "g", "seconds": 3})
    like = fleet([])
    text = to_json(like, [made])
    assert text == to_json({key: like[key] for key in reversed(like)}, [turned])
    assert text.endswith("}\n")
    assert list(json.loads(text)) == ["fleet", "findings"]
    assert list(json.loads(text)["findings"][0]) == list(made.as_dict())


@pytest.mark.parametrize("words", HOSTILE)
def test_text_from_outside_comes_back_unchanged(words: str) -> None:
    text = to_json(*samples.hostile(words))
    assert text.isascii()
    assert json.loads(text)["findings"][0]["detail"] == words


def test_values_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(fleet([]), [finding("age", seconds=float("nan"))])
    with pytest.raises(TypeError):
        to_json(fleet([]), [finding("age", seconds={1, 2})])
