# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report for CI systems, as JUnit XML: a suite per runbook section, a case per finding.

An error is a `failure`. A warning is `skipped`: besides passed and failed, Jenkins, GitLab and GitHub's actions show
no other outcome, and it breaks no build; all of them hide the `system-out` of a passed case. GitLab shows an element's
text and not its message, Jenkins and GitHub's actions show the message: so both are given. A note passes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.outcome import SKIPPED, heading, outcome
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import shortened, visible

Element = ElementTree.Element
PROPERTIES = ("group", "account", "region", "endpoint", "template_version", "image")
ELEMENTS = {"error": "failure", "warning": "skipped", "skipped": "skipped"}


def to_junit(fleet: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """The findings as XML 1.0. Nothing was timed, so every time is 0."""
    root = Element("testsuites", {"name": visible(fleet["name"]), **_numbers(findings)})
    for section in sorted({finding.section for finding in findings}):
        _suite(root, fleet, section, [finding for finding in findings if finding.section == section])
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _suite(root: Element, fleet: Mapping[str, Any], section: int, findings: Sequence[Finding]) -> None:
    name = heading(section)
    about = {"name": name, "timestamp": visible(fleet["at"]), "hostname": visible(fleet["group"] or "-")}
    suite = ElementTree.SubElement(
        root, "testsuite", {**about, **_numbers(findings), "skipped": _number(findings, "warning", SKIPPED)}
    )
    properties = ElementTree.SubElement(suite, "properties")
    for key in PROPERTIES:
        ElementTree.SubElement(properties, "property", {"name": key, "value": visible(fleet[key])})
    seen: Counter[str] = Counter()
    for finding in findings:
        case = _name(finding)
        seen[case] += 1
        # Of cases of one name readers keep the last: a success could hide a failure.
        unique = case if seen[case] == 1 else f"{case} ({seen[case]})"
        _case(suite, {"name": unique, "classname": f"{visible(fleet['name'])}.{name}", "time": "0"}, finding)


def _case(suite: Element, attributes: dict[str, str], finding: Finding) -> None:
    case = ElementTree.SubElement(suite, "testcase", attributes)
    how = outcome(finding)
    text = "\n".join(visible(line) for line in (finding.detail, finding.remedy.text, *finding.remedy.commands) if line)
    if how not in ELEMENTS:
        ElementTree.SubElement(case, "system-out").text = text
        return
    if finding.evidence:
        text += "\n" + visible(json.dumps(finding.evidence, indent=2, sort_keys=True, ensure_ascii=False))
    about = {"type": how, "message": f"{how}: {shortened(finding.detail)}"}
    ElementTree.SubElement(case, ELEMENTS[how], about).text = text


def _name(finding: Finding) -> str:
    instance = finding.evidence.get("instance")
    return visible(f"{finding.id} [{instance}]" if instance else finding.id)


def _numbers(findings: Sequence[Finding]) -> dict[str, str]:
    return {"tests": str(len(findings)), "failures": _number(findings, "error"), "errors": "0", "time": "0"}


def _number(findings: Sequence[Finding], *outcomes: str) -> str:
    return str(sum(outcome(finding) in outcomes for finding in findings))
