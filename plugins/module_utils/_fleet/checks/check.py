# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A check: a stable id, a section of the runbook, a severity, and a function that looks at values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy

T = TypeVar("T")


class Failed(Exception):
    """Raised by a check: something is not as it should be.

    Args:
        detail: what was seen, one or two sentences.
        remedy: what to do about it.
        severity: where it is not the check's own.
        evidence: the values behind it, of JSON's types.
    """

    def __init__(self, detail: str, remedy: Remedy | str = "", severity: str = "", **evidence: Any) -> None:
        super().__init__(detail)
        self.remedy = Remedy(remedy) if isinstance(remedy, str) else remedy
        self.severity, self.evidence = severity, evidence


class Skipped(Exception):
    """Raised by a check: there is nothing to look at, or it could not be read. Another finding reports that."""


class Passed(NamedTuple):
    """Returned by a check that has evidence to give; others return the detail alone, or nothing."""

    detail: str
    evidence: Mapping[str, Any] = {}


Look = Callable[[T], "str | Passed | None"]


@dataclass(frozen=True)
class Check(Generic[T]):
    """One check of values of type T. `look` returns what it saw, or raises Failed or Skipped."""

    id: str
    section: int
    severity: str
    look: Look[T]
    needed_by: frozenset[str]
    """The playbooks that an error of this check stops."""
    description: str
    """What it makes sure of, one sentence."""

    def finding(self, values: T) -> Finding:
        """The result: exactly one finding, whether the check passed, failed or was skipped."""
        try:
            seen = self.look(values)
        except Failed as failed:
            severity = failed.severity or self.severity
            needed_by = self.needed_by if severity != "info" else frozenset[str]()
            return self._finding(str(failed), failed.evidence, severity, remedy=failed.remedy, needed_by=needed_by)
        except Skipped as reason:
            return self._finding(f"Not looked at: {reason}.", {"looked": False}, "info", ok=True)
        detail, evidence = seen if isinstance(seen, Passed) else (seen or "", {})
        return self._finding(detail, evidence, self.severity, ok=True)

    def _finding(self, detail: str, evidence: Mapping[str, Any], severity: str, **parts: Any) -> Finding:
        return Finding(self.id, severity, detail, section=self.section, evidence=evidence, **parts)


class CheckList(list[Check[T]]):
    """Checks of the same values, in the order in which they were registered."""

    def check(
        self, id: str, section: int = 1, severity: str = "error", needed_by: frozenset[str] = frozenset()
    ) -> Callable[[Look[T]], Look[T]]:
        """Register a function as a check. The first paragraph of its docstring is the description."""

        def register(look: Look[T]) -> Look[T]:
            description = " ".join((look.__doc__ or "").partition("\n\n")[0].split())
            self.append(Check(id, section, severity, look, needed_by, description))
            return look

        return register
