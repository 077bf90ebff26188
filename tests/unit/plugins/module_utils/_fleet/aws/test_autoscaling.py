# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instance refreshes as AWS describes them, and a group as if it launched another version."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Refresh

BEGAN, ENDED = datetime(2026, 11, 27, 12, tzinfo=UTC), datetime(2026, 11, 27, 13, tzinfo=UTC)
REFRESH = {  # API reference, InstanceRefresh
    "InstanceRefreshId": "08b91cf7-8fa6-48af-b6a6-d227f40f1b9b",
    "AutoScalingGroupName": "gh-asg",
    "Status": "Cancelled",
    "StatusReason": "Cancelled due to user request.",
    "StartTime": BEGAN,
    "EndTime": ENDED,
    "PercentageComplete": 33,
    "InstancesToUpdate": 2,
    "Preferences": {"CheckpointPercentages": [33, 100], "CheckpointDelay": 172800, "BakeTime": 172800},
    "DesiredConfiguration": {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "2"}},
}
GROUPS = [{"AutoScalingGroupName": "gh-asg", "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "1"}}, {}]


def answering(operation: str, answer: Any) -> Any:
    """A call that knows one operation."""

    def call(_service: str, asked: str, *_more: Any, **_request: Any) -> Any:
        assert asked == operation
        return answer

    return call


def test_a_refresh_is_read_with_what_it_goes_to_and_where_it_pauses() -> None:
    (found,) = autoscaling.refreshes(answering("describe_instance_refreshes", [REFRESH]), "gh-asg", 1)
    assert found == Refresh(
        id="08b91cf7-8fa6-48af-b6a6-d227f40f1b9b",
        status="Cancelled",
        reason="Cancelled due to user request.",
        percent=33,
        started=BEGAN.timestamp(),
        ended=ENDED.timestamp(),
        template_id="lt-1",
        version="2",
        checkpoints=(33, 100),
        bake_seconds=172800,
        remaining=2,
    )


def test_one_that_has_not_begun_has_no_times_and_no_configuration() -> None:
    raw = {"InstanceRefreshId": "1", "Status": "Pending", "DesiredConfiguration": None, "StatusReason": None}
    (found,) = autoscaling.refreshes(answering("describe_instance_refreshes", [raw]), "gh-asg", 1)
    assert found == Refresh("1", "Pending", "", 0, 0.0)


def test_only_groups_with_a_template_are_shown_with_another_version() -> None:
    groups = answering("describe_auto_scaling_groups", GROUPS)
    found = autoscaling.as_if_launching(groups, "2")("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups")
    assert [group.get("LaunchTemplate") for group in found] == [{"LaunchTemplateId": "lt-1", "Version": "2"}, None]
    assert GROUPS[0]["LaunchTemplate"]["Version"] == "1"  # type: ignore[index]
    hooks = autoscaling.as_if_launching(answering("describe_lifecycle_hooks", ["as it is"]), "2")
    assert hooks("autoscaling", "describe_lifecycle_hooks") == ["as it is"]


def test_a_refresh_that_was_rolled_back_says_why() -> None:
    details = {"RollbackReason": "Automatic rollback was initiated: the alarm queue-stuck is in ALARM"}
    raw = {"InstanceRefreshId": "1", "Status": "RollbackSuccessful", "RollbackDetails": details}
    (found,) = autoscaling.refreshes(answering("describe_instance_refreshes", [raw]), "gh-asg", 1)
    assert found.reason == details["RollbackReason"]
