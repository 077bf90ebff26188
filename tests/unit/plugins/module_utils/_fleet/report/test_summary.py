# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet in short: plain values, empty where something could not be read."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Fleet,
    Group,
    GroupInstance,
    Instance,
    LaunchTemplate,
    Unread,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry, WorkerRow
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.summary import DRAINS, summary

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
UNREAD = Unread("not allowed")
GROUP = Group(
    name="gh-worker-asg",
    arn="arn:g",
    min_size=1,
    max_size=4,
    desired_capacity=2,
    template_name="gh-worker-lt",
    template_version="2",
    instances=(
        GroupInstance("i-1", "InService", "Healthy", "us-east-1a", "t3.medium", "2", protected=True),
        GroupInstance("i-2", "Terminating:Wait", "Healthy", "us-east-1b", "t3.medium", "1", protected=False),
    ),
)
TEMPLATE = LaunchTemplate(2, 2, "ami-2", "t3.medium", "", "", {}, (), (), {}, "")
INSTANCES = {"i-1": Instance("i-1", "running", "ami-2", "t3.medium", NOW - 3600, "gh")}


def worker(**other: Any) -> WorkerRow:
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(WorkerRow))
    return WorkerRow(
        **{**values, "worker_id": "w-1", "status": "active", "instance_id": "i-1", "heartbeat_age": 3.0, **other}
    )


def summary_of(settings: dict[str, Any], *rows: WorkerRow, **parts: Any) -> dict[str, Any]:
    fleet = Fleet(**{**dict.fromkeys((field.name for field in fields(Fleet)), UNREAD), **parts})
    registry = Registry(True, "", rows, (), may_write=False) if rows else None
    return summary(settings, fleet, registry, NOW)


def test_a_fleet_that_could_not_be_read_is_empty_and_still_json(settings: dict[str, Any]) -> None:
    seen = summary_of(settings)
    assert (seen["instances"], seen["drains"], seen["desired"], seen["account"], seen["image"]) == (
        [],
        [],
        None,
        "",
        "",
    )
    assert seen["at"] == "2027-01-15T08:00:00Z"
    json.dumps(seen)


def test_an_instance_has_its_image_and_its_worker(settings: dict[str, Any]) -> None:
    parts = {"group": GROUP, "template": TEMPLATE, "instances": INSTANCES, "activities": ()}
    first, second = summary_of(settings, worker(job_id="job"), **parts)["instances"]
    assert (first["image"], first["launched_at"], first["state_seconds"]) == ("ami-2", "2027-01-15T07:00:00Z", None)
    assert (first["worker"]["busy"], first["worker"]["heartbeat_age_seconds"]) == (True, 3.0)
    assert (second["image"], second["launched_at"], second["worker"]) == ("", "", None)


def test_an_offline_worker_is_left_out(settings: dict[str, Any]) -> None:
    assert summary_of(settings, worker(status="offline"), group=GROUP)["instances"][0]["worker"] is None


@pytest.mark.parametrize(
    ("activities", "seconds"),
    [((Activity("InProgress", "", "", NOW - 90, 0.0, "i-2"),), 90.0), ((), None), (UNREAD, None)],
)
def test_an_instance_in_a_wait_state_has_its_seconds(
    activities: Any, seconds: float | None, settings: dict[str, Any]
) -> None:
    assert summary_of(settings, group=GROUP, activities=activities)["instances"][1]["state_seconds"] == seconds


def test_only_finished_drains_are_listed_and_only_the_latest(settings: dict[str, Any]) -> None:
    ended = [Activity("Successful", "Terminating EC2 instance: i-9", "", NOW - 100, NOW - 10, "i-9")] * (DRAINS + 5)
    others = [
        Activity("InProgress", "Terminating EC2 instance: i-8", "", NOW - 100, 0.0, "i-8"),
        Activity("Successful", "Launching a new EC2 instance: i-7", "", NOW - 100, NOW, "i-7"),
    ]
    drains = summary_of(settings, group=GROUP, activities=(*others, *ended))["drains"]
    assert len(drains) == DRAINS
    assert drains[0] == {
        "instance": "i-9",
        "seconds": 90.0,
        "ended_at": "2027-01-15T07:59:50Z",
        "outcome": "Successful",
    }
