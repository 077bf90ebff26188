# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every check of verify.yml, in the order of the runbook. Pure."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import (
    account,
    commands,
    drift,
    environment,
    group,
    group_history,
    hook,
    iam,
    image,
    instances,
    launch_template,
    registry,
    security_group,
    user_data,
    valet,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.hosts import from_hosts
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding

MODULES = (
    account,
    image,
    launch_template,
    group,
    group_history,
    hook,
    iam,
    security_group,
    user_data,
    environment,
    valet,
    instances,
    commands,
    registry,
    drift,
)
"""Imported for the checks that they register."""


def verify(view: View) -> list[Finding]:
    """One finding for each check, and one for each check of the agents' doctors where the hosts were asked."""
    findings = [*(check.finding(view) for check in CHECKS), *from_hosts(view)]
    return sorted(findings, key=lambda finding: finding.section)
