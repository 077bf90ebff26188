# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report for programs: the fleet and the findings as they are, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding


def to_json(fleet: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """`{"fleet": ..., "findings": [...]}` in ASCII, keys always in the same order.

    Raises ValueError for NaN and the infinities, which JSON lacks, and TypeError for types that JSON lacks.
    """
    dicts = [{key: _sorted(value) for key, value in finding.as_dict().items()} for finding in findings]
    return json.dumps({"fleet": _sorted(fleet), "findings": dicts}, indent=2, allow_nan=False) + "\n"


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value
