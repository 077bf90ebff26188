# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check found, and what to do about it. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Remedy(NamedTuple):
    """What to do: a sentence, and the commands to run after it."""

    text: str = ""
    """In words. Empty: nothing needs to be done."""
    commands: tuple[str, ...] = ()
    """Shell commands to run where Ansible runs, in this order."""

    def __str__(self) -> str:
        return f"{self.text}{_in_backticks(self.commands)}"


class Finding(NamedTuple):
    """The result of one check, whether it passed or failed."""

    id: str
    """Stable."""
    severity: str
    """error | warning | info. Of a check that passed: what it would be if it failed."""
    detail: str
    """What was seen."""
    remedy: Remedy = Remedy()
    needed_by: frozenset[str] = frozenset()
    """The playbooks that cannot do their work because of it: an error stops these alone."""
    ok: bool = False
    section: int = 1
    """Of the runbook."""
    evidence: Mapping[str, Any] = {}
    """The values behind it, of JSON's types."""

    def __str__(self) -> str:
        return f"{self.detail} {self.remedy}".strip()

    def as_dict(self) -> dict[str, Any]:
        """For results and report.json. `remedy` is the whole remedy as text, its commands in backticks."""
        return {
            "id": self.id,
            "section": self.section,
            "severity": self.severity,
            "ok": self.ok,
            "detail": self.detail,
            "remedy": str(self.remedy),
            "commands": list(self.remedy.commands),
            "evidence": dict(self.evidence),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """The finding that `as_dict` wrote. Raises KeyError."""
        commands = tuple(values.get("commands", ()))
        return cls(
            values["id"],
            values["severity"],
            values["detail"],
            Remedy(values["remedy"].removesuffix(_in_backticks(commands)), commands),
            ok=values["ok"],
            section=values["section"],
            evidence=values["evidence"],
        )


def _in_backticks(commands: tuple[str, ...]) -> str:
    return "".join(f" `{command}`" for command in commands)
