# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of a launch template version that a release made."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.released import description, released_over

DIGEST = "sha256:" + "0f" * 32


def test_the_versions_are_read_back_and_fit() -> None:
    over = [str(number) for number in range(10_000, 10_040)]
    text = description(DIGEST, over)
    assert len(text) <= 255
    assert released_over(text) == tuple(over[-12:])


@pytest.mark.parametrize("text", ["", "GhostHands worker", "release v2 over 1", f"release {DIGEST} over x"])
def test_another_description_is_of_no_release(text: str) -> None:
    assert released_over(text) == ()
