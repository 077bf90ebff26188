# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's resources and their state, on an empty account and on one with a group."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.status import read_status
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.status import MISSING


def nothing(
    _service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **_request: Any
) -> Any:
    """An empty account."""
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
    found = read_status(
        answers.start, nothing, settings | {"fleet_valet_user_name": "valet", "fleet_launch_hook": True}
    )
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


def test_what_is_not_configured_is_not_missing(answers: Any, settings: dict[str, Any]) -> None:
    found = read_status(answers.start, nothing, settings | {"fleet_key_name": ""})
    assert not {"key pair", "launch hook", "VALET's user"} & {row.resource for row in found}


def test_a_group_is_shown_with_its_instances_in_their_states(answers: Any, settings: dict[str, Any]) -> None:
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
        "AutoScalingGroupName": "gh-worker-asg",
        "AutoScalingGroupARN": "arn:g",
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

    found = {row.id: row for row in read_status(answers.start, call, settings)}
    assert found["gh-worker-asg"].state == "1 to 9, desired 2, template version 4"
    assert found["i-1"].state == "Terminating:Wait, healthy, us-east-1a, version 3, protected"
    assert found["i-2"].state == "InService, healthy, us-east-1b, version -"
