# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the findings mean together: the runbook's sections, findings of one kind grouped, and the conclusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, listed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import visible

#: The runbook's sections; nowhere else are they named.
SECTIONS = {
    1: "Prerequisites",
    2: "Golden AMI",
    3: "Launch template",
    4: "Auto Scaling group",
    5: "Lifecycle hook",
    6: "IAM role and instance profile",
    7: "Security group",
    8: "User data",
    9: "Environment and secret",
    10: "VALET",
    11: "Validation checklist",
}
#: The severities of a failed check, worst first, and what they are called.
SEVERITIES = {"error": "error", "warning": "warning", "info": "note"}
PASSED = "ok"
SKIPPED = "skipped"
#: So many checks are named by the conclusion.
NAMED = 3


class Result(NamedTuple):
    """All findings of one check with one outcome: a single one, or one from each of a thousand hosts."""

    id: str
    section: int
    outcome: str
    """ok | skipped | error | warning | info"""
    findings: tuple[Finding, ...]


def heading(section: int) -> str:
    """`§2 Golden AMI`."""
    return f"§{section} {SECTIONS[section]}" if section in SECTIONS else f"§{section}"


def outcome(finding: Finding) -> str:
    """ok, skipped (evidence `looked` is false: there was nothing to look at, or it could not be read), or the severity.

    An unknown severity counts as an error.
    """
    if finding.ok:
        return SKIPPED if finding.evidence.get("looked") is False else PASSED
    return finding.severity if finding.severity in SEVERITIES else "error"


def results(findings: Iterable[Finding]) -> list[Result]:
    """The findings by section, then in the order in which they came; those of one id and outcome together."""
    groups: dict[tuple[int, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.section, finding.id, outcome(finding)), []).append(finding)
    found = [Result(id, section, how, tuple(group)) for (section, id, how), group in groups.items()]
    return sorted(found, key=lambda result: result.section)


def worst_first(found: Sequence[Result]) -> list[Result]:
    """Those that failed: errors, warnings, notes."""
    return [result for severity in SEVERITIES for result in found if result.outcome == severity]


def totals(findings: Iterable[Finding]) -> str:
    """`2 errors, 1 warning`; empty where there is neither."""
    numbers = Counter(map(outcome, findings))
    return ", ".join(count(numbers[severity], severity) for severity in ("error", "warning") if numbers[severity])


def conclusion(fleet: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """The whole report in a sentence. Notes do not count: they report what is left as it is on purpose."""
    name = visible(fleet["name"])
    if not findings:
        return f"Nothing was checked about the fleet {name}."
    failed = [result for result in worst_first(results(findings)) if result.outcome != "info"]
    if not failed:
        return f"The fleet {name} is right."
    ids = list(dict.fromkeys(visible(result.id) for result in failed))
    more = [f"{len(ids) - NAMED} more"] if len(ids) > NAMED else []
    return f"{totals(findings)}: {listed([*ids[:NAMED], *more])}."
