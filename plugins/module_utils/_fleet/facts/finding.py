# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check found. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at, right or not."""

    id: str
    """stable"""
    severity: str
    """error | warning | info: how bad it is, or would be"""
    detail: str
    """what was seen"""
    remedy: str = ""
    """what to do; commands stand between backticks; empty where it is right"""
    needed_by: frozenset[str] = frozenset()
    """the playbooks that cannot do their part with it; errors stop those alone"""
    ok: bool = False
    section: int = 1
    """of the runbook"""
    evidence: Mapping[str, Any] = {}
    """values for programs, JSON"""

    def __str__(self) -> str:
        return f"{self.detail} {self.remedy}".strip()

    def told(self) -> dict[str, Any]:
        """For results and reports."""
        return {
            "id": self.id,
            "section": self.section,
            "severity": self.severity,
            "ok": self.ok,
            "detail": self.detail,
            "remedy": self.remedy,
            "evidence": dict(self.evidence),
        }
