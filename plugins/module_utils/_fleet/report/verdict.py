# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the findings come to: the runbook's sections, findings of one kind taken together, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import counted, listed, visible

Finding = Mapping[str, Any]

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
#: How a check that does not hold weighs, worst first, and what it is called.
SEVERITIES = {"error": "error", "warning": "warning", "info": "note"}
OK = "ok"
SKIPPED = "skipped"
#: A verdict names so many checks.
NAMED = 3


class Check(NamedTuple):
    """All findings of one id with one outcome: one about the fleet, or one from each of a thousand hosts."""

    id: str
    section: int
    outcome: str
    """ok | skipped | error | warning | info"""
    findings: tuple[Finding, ...]


def heading(section: int) -> str:
    """`§2 Golden AMI`."""
    return f"§{section} {SECTIONS[section]}" if section in SECTIONS else f"§{section}"


def outcome(finding: Finding) -> str:
    """ok, skipped (nothing was there to look at, or nobody could: evidence `looked` is false), or how bad it is.

    A severity that nobody knows weighs as an error.
    """
    if finding["ok"]:
        return SKIPPED if finding["evidence"].get("looked") is False else OK
    return finding["severity"] if finding["severity"] in SEVERITIES else "error"


def checks(findings: Iterable[Finding]) -> list[Check]:
    """The findings by section, then in the order in which they came; those of one id and outcome together."""
    alike: dict[tuple[int, str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding["section"], finding["id"], outcome(finding)), []).append(finding)
    found = [Check(id, section, how, tuple(members)) for (section, id, how), members in alike.items()]
    return sorted(found, key=lambda check: check.section)


def worst_first(found: Sequence[Check]) -> list[Check]:
    """The checks that do not hold: errors, warnings, notes."""
    return [check for severity in SEVERITIES for check in found if check.outcome == severity]


def counts(findings: Iterable[Finding]) -> str:
    """`2 errors, 1 warning`; empty where there is neither."""
    numbers = Counter(map(outcome, findings))
    return ", ".join(
        counted(numbers[severity], SEVERITIES[severity]) for severity in ("error", "warning") if numbers[severity]
    )


def verdict(fleet: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """The whole report in a sentence. Notes do not count: they say what is left as it is on purpose."""
    if not findings:
        return f"Nothing was checked about the fleet {visible(fleet['name'])}."
    bad = [check for check in worst_first(checks(findings)) if check.outcome != "info"]
    if not bad:
        return f"The fleet {visible(fleet['name'])} is right."
    names = list(dict.fromkeys(visible(check.id) for check in bad))
    more = len(names) - NAMED
    return f"{counts(findings)}: {listed([*names[:NAMED], f'{more} more'] if more > 0 else names)}."
