# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots that were given up, and launches that failed: two findings, neither of them twice."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import group_history
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, CommandLine, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Fleet,
    Group,
    Unread,
)

NOW = 1_800_000_000.0
GAVE_UP = "Lifecycle Action with token 1 was abandoned: Lifecycle Action Completed with ABANDON Result"
TIMED_OUT = (
    "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token 2 was abandoned: Heartbeat "
    "Timeout"
)


def launch(instance: str, status: str, message: str = "", ago: float = 600.0) -> Activity:
    return Activity(status, f"Launching a new EC2 instance: {instance}", message, NOW - ago, NOW - ago + 60, instance)


def findings(settings: dict[str, Any], *activities: Activity) -> dict[str, Finding]:
    parts: dict[str, Any] = {"group": Group("gh-worker-asg", "arn:g", 0, 4, 1), "activities": activities}
    fleet = Fleet(**{**dict.fromkeys((field.name for field in fields(Fleet)), Unread("not read")), **parts})
    view = View(settings, fleet, NOW, CommandLine("playbooks", "site.yml", "staging", "stg"), None)
    return {check.id: check.finding(view) for check in CHECKS if check.look.__module__ == group_history.__name__}


@pytest.mark.parametrize(("message", "why"), [(GAVE_UP, "its agent gave up"), (TIMED_OUT, "no agent completed")])
@pytest.mark.parametrize("status", ["Cancelled", "Failed"])
def test_a_boot_that_was_given_up_is_named_once_with_its_logs(
    settings: dict[str, Any], status: str, message: str, why: str
) -> None:
    found = findings(settings, launch("i-2", status, message), launch("i-1", status, message, ago=3000))
    assert (found["boots"].ok, found["activities"].ok) == (False, True)
    assert f"2 instances given up while booting, the last (i-2) 10 min ago: {why}" in found["boots"].detail
    assert any("--log-stream-name i-2-journal" in command for command in found["boots"].remedy.commands)


def test_one_that_was_followed_by_a_boot_or_is_a_day_old_is_forgotten(settings: dict[str, Any]) -> None:
    booted = launch("i-2", "Successful", ago=60)
    assert findings(settings, booted, launch("i-1", "Cancelled", GAVE_UP))["boots"].ok
    assert findings(settings, launch("i-1", "Cancelled", GAVE_UP, ago=90_000))["boots"].ok


def test_a_launch_that_ec2_refused_is_not_a_boot(settings: dict[str, Any]) -> None:
    found = findings(settings, launch("", "Failed", "You have requested more vCPU capacity than your limit"))
    assert (found["boots"].ok, found["activities"].ok) == (True, False)
