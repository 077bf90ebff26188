# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a launch template version's description says of a release (release.yml). Standard library only."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import DIGEST

MOST_VERSIONS = 12  # VersionDescription: at most 255 characters


def description(digest: str, over: Sequence[str]) -> str:
    """The description of the version that has only another worker image than `over`, the oldest first."""
    return f"release {digest} over {','.join(over[-MOST_VERSIONS:])}"


def released_over(text: str) -> tuple[str, ...]:
    """The versions whose instances the image was released to; none where the version is of no release."""
    found = re.fullmatch(rf"release {DIGEST} over ([0-9,]+)", text)
    return tuple(found[1].split(",")) if found else ()
