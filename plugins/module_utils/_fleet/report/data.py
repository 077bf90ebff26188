# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report for programs: the fleet and the findings as they are, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

#: A finding's own keys come first and in this order; whatever lies deeper is sorted.
KEYS = ("id", "section", "severity", "ok", "detail", "remedy", "evidence")


def to_json(fleet: Mapping[str, Any], findings: Sequence[Mapping[str, Any]]) -> str:
    """`{"fleet": ..., "findings": [...]}` in ASCII, keys always in the same order.

    Raises ValueError for NaN and the infinities, which JSON lacks, and TypeError for what it has no kind for.
    """
    told = [{key: _sorted(finding[key]) for key in KEYS} for finding in findings]
    return json.dumps({"fleet": _sorted(fleet), "findings": told}, indent=2, allow_nan=False) + "\n"


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value
