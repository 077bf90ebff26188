# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A check: a stable id, a runbook section, a severity, and a function that looks at a View. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import Skipped, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy


class Failed(Exception):
    """Raised by a check: something is not as it should be.

    Args:
        detail: what was seen, one or two sentences.
        remedy: what to do about it.
        evidence: the values behind it, of JSON's types.
    """

    def __init__(self, detail: str, remedy: Remedy | str, **evidence: Any) -> None:
        super().__init__(detail)
        self.remedy = Remedy(remedy) if isinstance(remedy, str) else remedy
        self.evidence = evidence


class Passed(NamedTuple):
    """Returned by a check that has evidence to give; others return the detail alone."""

    detail: str
    evidence: Mapping[str, Any] = {}


Look = Callable[[View], str | Passed]


@dataclass(frozen=True)
class Check:
    """One check. `look` returns what it saw, or raises Failed or Skipped."""

    id: str
    section: int
    severity: str
    look: Look

    @property
    def description(self) -> str:
        """What it makes sure of, one sentence."""
        return " ".join((self.look.__doc__ or "").split())

    def finding(self, view: View) -> Finding:
        """The result: exactly one finding, whether the check passed, failed or was skipped."""
        try:
            seen = self.look(view)
        except Failed as failed:
            return self._finding(str(failed), failed.evidence, severity=self.severity, remedy=failed.remedy)
        except Skipped as reason:
            return self._finding(f"Not looked at: {reason}.", {"looked": False}, severity="info", ok=True)
        detail, evidence = seen if isinstance(seen, Passed) else (seen, {})
        return self._finding(detail, evidence, severity=self.severity, ok=True)

    def _finding(self, detail: str, evidence: Mapping[str, Any], **parts: Any) -> Finding:
        return Finding(self.id, detail=detail, section=self.section, evidence=evidence, **parts)


CHECKS: list[Check] = []


def check(id: str, section: int, severity: str = "error") -> Callable[[Look], Look]:
    """Register a function as the check of a runbook section under a stable id."""

    def register(look: Look) -> Look:
        CHECKS.append(Check(id, section, severity, look))
        return look

    return register
