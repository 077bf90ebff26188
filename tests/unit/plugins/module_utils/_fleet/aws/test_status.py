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
    "AutoScalingGroupARN": "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/g",
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
    if operation in ("describe_instances", "describe_instance_refreshes"):
        return []
    if operation == "describe_scaling_activities":
        began = datetime.fromtimestamp(NOW - 1200, UTC)
        return [{"StatusCode": "InProgress", "Description": "Terminating EC2 instance: i-01234567", "StartTime": began}]
    return nothing(service, operation, key, absent, **request)


def instance_states(answers: Any, settings: dict[str, Any], registry: Registry | None) -> dict[str, str]:
    """Instance -> what is shown of it."""
    rows = read_status(answers.start, with_group, settings, registry, NOW)
    return {row.id: row.state for row in rows if row.resource == "instance"}


PAUSED = {
    **GROUP,
    "Tags": [
        {"Key": "ghosthands:want", "Value": "hold@0a1b2c3d", "PropagateAtLaunch": True},
        {"Key": "ghosthands:command", "Value": "renew@ffffffff", "PropagateAtLaunch": False},
    ],
}
TOLD = {
    "InstanceId": "i-89abcdef",
    "State": {"Name": "running"},
    "ImageId": "ami",
    "InstanceType": "t3.medium",
    "LaunchTime": datetime.fromtimestamp(NOW - 9000, UTC),
    "Tags": [
        {"Key": "ghosthands:want", "Value": "hold@0a1b2c3d"},
        {"Key": "ghosthands:did", "Value": "hold@0a1b2c3d done"},
    ],
}


def test_a_pause_a_command_under_way_and_what_instances_were_told_are_shown(
    answers: Any, settings: dict[str, Any]
) -> None:
    def paused(service: str, operation: str, key: str | None = None, absent: Any = (), **request: Any) -> Any:
        if operation == "describe_auto_scaling_groups":
            return [PAUSED]
        if operation == "describe_instances":
            return [{"Instances": [TOLD]}]
        return with_group(service, operation, key, absent, **request)

    found = {row.id: row.state for row in read_status(answers.start, paused, settings, None, NOW)}
    assert found["gh-worker-asg"].endswith("template version 4, paused, renew@ffffffff under way, or interrupted")
    assert found["i-89abcdef"].startswith("InService, healthy, us-east-1b, version -")
    assert found["i-89abcdef"].endswith(", held")
    assert "held" not in found["i-01234567"]


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


# --- a rollout ----------------------------------------------------------------------------------------------------

RUNS = "version=5 from=4 run=1a2b3c4d since=2026-11-27T11:40:08Z going=forward by=arn:aws:iam::1:user/me"
REFRESH: dict[str, Any] = {
    "InstanceRefreshId": "r-2",
    "Status": "InProgress",
    "StatusReason": "Waiting for instances to warm up before continuing. For example: i-89abcdef is warming up.",
    "PercentageComplete": 50,
    "InstancesToUpdate": 1,
    "DesiredConfiguration": {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "5"}},
}


def of_a_rollout(
    answers: Any, settings: dict[str, Any], refresh: dict[str, Any] | None, **tags: str
) -> dict[str, tuple[str, str]]:
    """Resource -> (id, state) of a group with these tags, one of whose instances has version 5."""
    new = {**GROUP["Instances"][0], "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "5"}}
    shown = [{"Key": f"ghosthands:{key.replace('_', '-')}", "Value": value} for key, value in tags.items()]
    template = {"LaunchTemplateId": "lt-1", "Version": "4"}
    group = {**GROUP, "LaunchTemplate": template, "Instances": [new, GROUP["Instances"][1]], "Tags": shown}

    def call(service: str, operation: str, key: str | None = None, **request: Any) -> Any:
        if operation == "describe_auto_scaling_groups":
            return [group]
        if operation == "describe_instance_refreshes":
            return [refresh] if refresh else []
        if operation == "describe_launch_template_versions":
            return []
        return with_group(service, operation, key, **request)

    rows = read_status(answers.start, call, settings, None, NOW)
    return {row.id if row.resource == "instance" else row.resource: (row.id, row.state) for row in rows}


def test_a_rollout_is_shown_with_its_refresh_and_who_began_it(answers: Any, settings: dict[str, Any]) -> None:
    found = of_a_rollout(answers, settings, REFRESH, rollout=RUNS, last_version="3 lt-1")
    began = "1 of 2 in service, since 2026-11-27T11:40:08Z, by arn:aws:iam::1:user/me"
    assert found["rollout"] == ("version 5 (from 4)", began)
    assert found["refresh"] == ("r-2", f"InProgress, 50 %, 1 to replace, to version 5: {REFRESH['StatusReason']}")
    assert found["last version"] == ("3", "where rollback.yml goes")
    assert found["i-89abcdef"][1].endswith("version 5, without the agent, of the rollout")
    assert "of the rollout" not in found["i-01234567"][1]


def test_between_its_refreshes_a_rollout_shows_what_became_of_the_last_one(
    answers: Any, settings: dict[str, Any]
) -> None:
    ended = {**REFRESH, "Status": "Cancelled", "StatusReason": "", "InstancesToUpdate": 1}
    found = of_a_rollout(answers, settings, ended, rollout=RUNS)
    assert found["refresh"][1] == "Cancelled, to version 5: so it is while the canaries are verified"
    undone = f"{RUNS} why=host-worker".replace("forward", "back")
    found = of_a_rollout(answers, settings, ended, rollout=undone)
    assert found["rollout"][0] == "version 5 (from 4), which is being undone"
    assert found["rollout"][1].endswith(", because of host-worker")
    assert found["refresh"][1].startswith("Cancelled, 50 %, to version 5: somebody cancelled it")


def test_without_a_rollout_only_a_refresh_that_runs_is_shown(answers: Any, settings: dict[str, Any]) -> None:
    assert "refresh" in of_a_rollout(answers, settings, REFRESH)
    assert "refresh" not in of_a_rollout(answers, settings, {**REFRESH, "Status": "Successful"})
    found = of_a_rollout(answers, settings, None, rollout="somebody's", last_version="3 lt-0")
    assert found["rollout"] == ("somebody's", "not one of this kit's: see rollout.yml")
    assert "last version" not in found
