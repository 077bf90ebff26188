# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's resources and their state, on an empty account and on one with a group."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.status import read_status
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry, WorkerRow
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.status import MISSING

NOW = 1_800_000_000.0
GROUP: dict[str, Any] = {
    "AutoScalingGroupName": "gh-worker-asg",
    "AutoScalingGroupARN": "arn:g",
    "MinSize": 1,
    "MaxSize": 9,
    "DesiredCapacity": 2,
    "LaunchTemplate": {"Version": "4"},
    "Instances": [
        {
            "InstanceId": "i-89abcdef",
            "LifecycleState": "InService",
            "HealthStatus": "Healthy",
            "AvailabilityZone": "us-east-1b",
        },
        {
            "InstanceId": "i-01234567",
            "LifecycleState": "Terminating:Wait",
            "HealthStatus": "Healthy",
            "AvailabilityZone": "us-east-1a",
            "ProtectedFromScaleIn": True,
            "LaunchTemplate": {"Version": "3"},
        },
    ],
}


def worker(instance: str, **other: Any) -> WorkerRow:
    """A worker's row."""
    times = {"registered_at": "2026-11-01T00:00:00Z", "last_heartbeat": "2026-11-01T00:00:00Z", "heartbeat_age": 9.0}
    counts = {"jobs_completed": 0, "jobs_failed": 0}
    row = {"worker_id": instance, "status": "active", "target_worker_id": None, "instance_id": instance, "ip": None}
    return WorkerRow(**{**row, "job_id": None, **times, **counts, **other})


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
        answers.start, nothing, settings | {"fleet_valet_user_name": "valet", "fleet_launch_hook": True}, None, NOW
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
    found = read_status(
        answers.start, nothing, settings | {"fleet_key_name": "", "fleet_launch_hook": False}, None, NOW
    )
    assert not {"key pair", "launch hook", "VALET's user"} & {row.resource for row in found}


def with_group(
    service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **request: Any
) -> Any:
    """An account with a group of two, one of which has been draining for 20 minutes."""
    if operation == "describe_auto_scaling_groups":
        assert request == {"AutoScalingGroupNames": ["gh-worker-asg"]}
        return [GROUP]
    if operation == "describe_instances":
        return []
    if operation == "describe_scaling_activities":
        began = datetime.fromtimestamp(NOW - 1200, UTC)
        return [{"StatusCode": "InProgress", "Description": "Terminating EC2 instance: i-01234567", "StartTime": began}]
    return nothing(service, operation, key, absent, **request)


def instance_states(answers: Any, settings: dict[str, Any], registry: Registry | None) -> dict[str, str]:
    """Instance -> what is shown of it."""
    rows = read_status(answers.start, with_group, settings, registry, NOW)
    return {row.id: row.state for row in rows if row.resource == "instance"}


def test_a_group_is_shown_with_its_instances_in_their_states(answers: Any, settings: dict[str, Any]) -> None:
    found = {row.id: row.state for row in read_status(answers.start, with_group, settings, None, NOW)}
    assert found["gh-worker-asg"] == "1 to 9, desired 2, template version 4"
    assert found["i-01234567"] == "Terminating:Wait for 20 min, healthy, us-east-1a, version 3, protected"
    assert found["i-89abcdef"] == "InService, healthy, us-east-1b, version -, without the agent"


def test_an_instance_is_shown_with_its_job_where_the_registry_was_read(answers: Any, settings: dict[str, Any]) -> None:
    registry = Registry(True, "", (worker("i-01234567", status="draining", job_id="a-job"),), (), may_write=False)
    found = instance_states(answers, settings, registry)
    assert found["i-01234567"].endswith(", protected, job a-job")
    assert "job" not in found["i-89abcdef"]


def test_the_job_of_a_draining_instance_is_unknown_where_the_registry_cannot_be_read(
    answers: Any, settings: dict[str, Any]
) -> None:
    found = instance_states(answers, settings, Registry(False, "Nobody answers.", (), (), may_write=None))
    assert found["i-01234567"].endswith(", job unknown")
    assert "job" not in found["i-89abcdef"]


def test_activities_are_read_only_where_an_instance_waits(answers: Any, settings: dict[str, Any]) -> None:
    serving = {**GROUP, "Instances": GROUP["Instances"][:1]}

    def call(service: str, operation: str, *names: Any, **request: Any) -> Any:
        assert operation != "describe_scaling_activities"
        return [serving] if operation == "describe_auto_scaling_groups" else with_group(service, operation, *names)

    assert [row.id for row in read_status(answers.start, call, settings, None, NOW) if row.resource == "instance"]
