# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drains that last longer than usual, and what is said about their jobs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import instances
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, CommandLine, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    LISTED_ACTIVITIES,
    Activity,
    Fleet,
    Group,
    GroupInstance,
    Unread,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry, WorkerRow

NOW = 1_800_000_000.0
JOB = "0f8fad5b-d9cb-469f-a165-70867728950e"
MINUTE = 60.0
ALLOWED = 2100 + 60 + 120  # the default limit, the grace, and what Auto Scaling needs


def registry(*rows: WorkerRow) -> Registry:
    return Registry(True, "", rows, (), may_write=False)


UNREACHABLE = Registry(False, "Nobody answers.", (), (), may_write=None)


def worker(**other: Any) -> WorkerRow:
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(WorkerRow))
    row = {"worker_id": "w-1", "status": "draining", "instance_id": "i-1", "heartbeat_age": 12.0, "job_id": JOB}
    return WorkerRow(**{**values, **row, **other})


def findings(settings: dict[str, Any], seconds: float, read: Registry | None = None) -> dict[str, Finding]:
    """The findings about a group whose one instance has been draining for so long."""
    waiting = GroupInstance("i-1", "Terminating:Wait", "Healthy", "us-east-1a", "t3.medium", "1", protected=True)
    parts: dict[str, Any] = {
        "group": Group("gh-worker-asg", "arn:g", 0, 4, 0, instances=(waiting,)),
        "activities": (Activity("InProgress", "", "", NOW - seconds, 0.0, "i-1"),),
    }
    fleet = Fleet(**{**dict.fromkeys((field.name for field in fields(Fleet)), Unread("not read")), **parts})
    view = View(settings, fleet, NOW, CommandLine("playbooks", "site.yml", "staging", "stg"), read)
    return {check.id: check.finding(view) for check in CHECKS if check.look.__module__ == instances.__name__}


def draining(settings: dict[str, Any], seconds: float, read: Registry | None = None) -> Finding:
    return findings(settings, seconds, read)["instances-draining"]


@pytest.mark.parametrize(
    ("limit", "usual"), [(2100, 17.5 * MINUTE), (600, 5 * MINUTE), (3600, 30 * MINUTE), (36_000, 30 * MINUTE)]
)
def test_a_drain_is_longer_than_usual_after_half_its_limit_or_the_longest_job(
    limit: int, usual: float, settings: dict[str, Any]
) -> None:
    settings["fleet_drain_limit_seconds"] = limit
    assert draining(settings, usual).ok
    long = draining(settings, usual + 1)
    assert (long.ok, long.severity) == (False, "warning")
    assert long.evidence["drains"]["i-1"]["left_seconds"] == limit - usual - 1


def test_a_long_drain_names_its_job_and_how_long_the_worker_has_been_silent(settings: dict[str, Any]) -> None:
    found = draining(settings, 20 * MINUTE, registry(worker()))
    assert found.detail == (
        f"1 instance draining for longer than usual: i-1 for 20 min of 35 min, job {JOB}, draining, heartbeat 12 s ago."
    )
    assert found.evidence["drains"] == {
        "i-1": {"seconds": 1200.0, "left_seconds": 900.0, "job": JOB, "heartbeat_age_seconds": 12.0}
    }
    assert found.severity == "warning"


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (None, "job unknown (fleet_registry_dsn is empty)"),
        (UNREACHABLE, "job unknown (the registry could not be read)"),
        (registry(worker(status="offline")), "no worker in the registry"),
        (registry(worker(job_id=None)), "job none, draining, heartbeat 12 s ago"),
        (registry(worker(job_id=None, heartbeat_age=9000.0), worker(worker_id="w-2")), f"job {JOB}, draining"),
    ],
)
def test_a_long_drain_says_what_is_known_of_its_job(read: Registry | None, says: str, settings: dict[str, Any]) -> None:
    found = draining(settings, 20 * MINUTE, read)
    assert f"i-1 for 20 min of 35 min, {says}" in found.detail
    assert found.severity == "warning"


@pytest.mark.parametrize(("minutes", "ok"), [(4, True), (6, False), (20, False)])
def test_a_draining_worker_without_heartbeats_is_an_error_once_it_drains_for_five_minutes(
    minutes: float, ok: bool, settings: dict[str, Any]
) -> None:
    found = draining(settings, minutes * MINUTE, registry(worker(heartbeat_age=301.0)))
    assert found.ok == ok
    assert ok or found.severity == "error"


def test_beyond_the_limit_one_check_alone_fails_and_names_the_job(settings: dict[str, Any]) -> None:
    for seconds, failed in ((ALLOWED, "instances-draining"), (ALLOWED + 1, "instances-terminating")):
        found = findings(settings, seconds, registry(worker()))
        assert [id for id, finding in found.items() if not finding.ok] == [failed]
        assert JOB in found[failed].detail


def test_the_remedy_says_what_terminating_at_once_costs(settings: dict[str, Any]) -> None:
    remedy = draining(settings, 20 * MINUTE).remedy
    assert "without the guard it is lost" in remedy.text
    assert remedy.commands == (
        "aws autoscaling complete-lifecycle-action --lifecycle-action-result CONTINUE "
        "--auto-scaling-group-name gh-worker-asg --lifecycle-hook-name gh-worker-termination --instance-id i-1 "
        "--region us-east-1",
    )


def test_an_instance_whose_activity_began_after_the_reading_has_only_begun(settings: dict[str, Any]) -> None:
    waiting = GroupInstance("i-2", "Pending:Wait", "Healthy", "us-east-1a", "t3.medium", "1", protected=False)
    other = Activity("Successful", "Launching a new EC2 instance: i-1", "", NOW - 9000, NOW - 8900, "i-1")
    for listed, ok in ((5, True), (LISTED_ACTIVITIES, False)):
        parts: dict[str, Any] = {
            "group": Group("gh-worker-asg", "arn:g", 0, 4, 1, instances=(waiting,)),
            "activities": (other,) * listed,
        }
        fleet = Fleet(**{**dict.fromkeys((field.name for field in fields(Fleet)), Unread("not read")), **parts})
        view = View(settings, fleet, NOW, CommandLine("playbooks", "site.yml", "staging", "stg"), None)
        (pending,) = [check.finding(view) for check in CHECKS if check.id == "instances-pending"]
        assert pending.ok is ok
