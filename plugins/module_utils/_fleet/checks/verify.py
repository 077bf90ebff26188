# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of a fleet that stands (§11). Pure: values in, findings out, in the runbook's order."""

from __future__ import annotations

from dataclasses import fields

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import (
    around,
    group,
    history,
    hook,
    identity,
    instances,
    registry,
    template,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.hosts import from_hosts
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread

ROOMS = (group, hook, template, identity, around, instances, history, registry)
"""imported for the checks that they register"""


def verify(view: View) -> list[Finding]:
    """One finding for each check, whatever it came to, and one on what could not be read."""
    findings = [_readable(view), *(check.finding(view) for check in CHECKS), *from_hosts(view)]
    return sorted(findings, key=lambda f: f.section)


def _readable(view: View) -> Finding:
    parts = {field.name: getattr(view.fleet, field.name) for field in fields(view.fleet)}
    unread = {name.replace("_", " "): part.why for name, part in parts.items() if isinstance(part, Unread)}
    if not unread:
        return Finding("readable", "error", "everything could be read", ok=True, section=1)
    reasons = list(dict.fromkeys(unread.values()))
    return Finding(
        "readable",
        "error",
        f"Not everything could be read ({', '.join(sorted(unread))}): {' '.join(reasons[:3])}",
        "docs/iam/verify.json is what this needs to be allowed.",
        section=1,
        evidence=unread,
    )
