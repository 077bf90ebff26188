# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands, as a table; on an account where nothing does, and on one where all does."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.status import MISSING, Row, rows, table


def nothing(
    _service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **_request: Any
) -> Any:
    """An account in which there is nothing but the caller."""
    if operation == "get_caller_identity":
        return {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"}
    return (
        []
        if operation
        in ("describe_auto_scaling_groups", "describe_security_groups", "describe_log_groups", "describe_vpcs")
        else None
    )


def test_everything_that_the_playbooks_make_is_missing_from_an_empty_account(
    answers: Any, settings: dict[str, Any]
) -> None:
    found = rows(answers.start, nothing, settings | {"fleet_valet_user_name": "valet", "fleet_launch_hook": True})
    assert {row.state for row in found} == {MISSING}
    assert [row.resource for row in found] == [
        *(
            "repository",
            "key pair",
            "launch template",
            "group",
            "hook",
            "launch hook",
            "role",
            "policy",
            "instance profile",
        ),
        *("security group", "secret", "log group", "VALET's policy", "VALET's user"),
    ]
    assert [row.id for row in found if row.resource in ("role", "group")] == ["gh-worker-asg", "gh-worker-role"]


def test_what_was_not_asked_for_is_not_missed(answers: Any, settings: dict[str, Any]) -> None:
    found = rows(answers.start, nothing, settings | {"fleet_key_name": ""})
    assert not {"key pair", "launch hook", "VALET's user"} & {row.resource for row in found}


def test_a_group_is_told_with_its_instances_in_their_states(answers: Any, settings: dict[str, Any]) -> None:
    instances = [
        {
            "InstanceId": "i-2",
            "LifecycleState": "InService",
            "HealthStatus": "Healthy",
            "AvailabilityZone": "us-east-1b",
        },
        {
            "InstanceId": "i-1",
            "LifecycleState": "Terminating:Wait",
            "HealthStatus": "Healthy",
            "AvailabilityZone": "us-east-1a",
            "ProtectedFromScaleIn": True,
            "LaunchTemplate": {"Version": "3"},
        },
    ]
    group = {
        "MinSize": 1,
        "MaxSize": 9,
        "DesiredCapacity": 2,
        "LaunchTemplate": {"Version": "4"},
        "Instances": instances,
    }

    def call(service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **request: Any) -> Any:
        if operation == "describe_auto_scaling_groups":
            assert request == {"AutoScalingGroupNames": ["gh-worker-asg"]}
            return [group]
        return nothing(service, operation, key, absent, **request)

    found = {row.id: row for row in rows(answers.start, call, settings)}
    assert found["gh-worker-asg"].state == "1 to 9, desired 2, template version 4"
    assert found["i-1"].state == "Terminating:Wait, healthy, us-east-1a, version 3, protected"
    assert found["i-2"].state == "InService, healthy, us-east-1b, version -"


def test_the_columns_of_a_table_line_up() -> None:
    lines = table([Row("§4", "group", "g", "1 to 2"), Row("§10", "VALET's policy", "a-long-name", "missing")])
    assert [line.index(state) for line, state in zip(lines, ["state", "1 to 2", "missing"], strict=True)] == [
        lines[0].index("state")
    ] * 3


def test_a_table_of_nothing_is_its_head() -> None:
    assert len(table([])) == 1
