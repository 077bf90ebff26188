# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls by which a group's settings are converged: only what differs, never a desired capacity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.autoscaling_group_settings import (
    COMPARISON,
    UPDATES,
    creation,
    requests,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import compare
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    METRICS,
    Group,
    GroupInstance,
    Tag,
)

DESIRED: dict[str, Any] = {
    "name": "g",
    "min_size": 1,
    "max_size": 10,
    "launch_template": {"id": "lt-1", "version": 3},
    "subnet_ids": ["subnet-2", "subnet-1"],
    "health_check_type": "EC2",
    "health_check_grace_seconds": 300,
    "cooldown_seconds": 300,
    "warmup_seconds": 300,
    "max_lifetime_seconds": 86400,
    "termination_policies": ["Default"],
    "new_instances_protected": False,
    "maintenance_policy": {"min_healthy_percentage": 100, "max_healthy_percentage": 110},
    "deletion_protection": "prevent-force-deletion",
    "on_hook_abandon": "retain",
    "suspended_processes": ["AZRebalance"],
    "metrics": True,
    "tags": {"Project": "wekruit"},
    "protected_instances": ["i-1"],
}
SENT: dict[str, dict[str, Any]] = {
    "min_size": {"MinSize": 1},
    "max_size": {"MaxSize": 10},
    "launch_template": {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "3"}},
    "subnet_ids": {"VPCZoneIdentifier": "subnet-2,subnet-1"},
    "health_check_type": {"HealthCheckType": "EC2"},
    "health_check_grace_seconds": {"HealthCheckGracePeriod": 300},
    "cooldown_seconds": {"DefaultCooldown": 300},
    "warmup_seconds": {"DefaultInstanceWarmup": 300},
    "max_lifetime_seconds": {"MaxInstanceLifetime": 86400},
    "termination_policies": {"TerminationPolicies": ["Default"]},
    "new_instances_protected": {"NewInstancesProtectedFromScaleIn": False},
    "maintenance_policy": {"InstanceMaintenancePolicy": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110}},
    "deletion_protection": {"DeletionProtection": "prevent-force-deletion"},
    "on_hook_abandon": {"InstanceLifecyclePolicy": {"RetentionTriggers": {"TerminateHookAbandon": "retain"}}},
}
HOOK = {
    "name": "drain",
    "transition": "autoscaling:EC2_INSTANCE_TERMINATING",
    "heartbeat_timeout": "300",
    "default_result": "ABANDON",
}
CREATION = {"min_size": 2, "max_size": 5, "desired_capacity": 3, "lifecycle_hooks": [HOOK]}
NAME = {"AutoScalingGroupName": "g"}
BARE = Group("g", "arn:g", 0, 0, 5, new_instances_protected=True)
"""A group that differs in everything."""


def sent(desired: dict[str, Any], group: Group) -> list[tuple[str, dict[str, Any]]]:
    before, after = compare(COMPARISON, desired, group) or ({}, {})
    return requests(desired, before, after)


def test_every_parameter_is_tried_here() -> None:
    assert {*DESIRED, "creation"} == COMPARISON.parameters.keys()
    assert SENT.keys() == UPDATES.keys()


@pytest.mark.parametrize("name", SENT)
def test_one_setting_that_differs_is_sent_alone(name: str) -> None:
    assert sent({"name": "g", name: DESIRED[name]}, BARE) == [("update_auto_scaling_group", {**NAME, **SENT[name]})]


def test_settings_go_in_one_call_and_desired_capacity_in_none() -> None:
    calls = sent(DESIRED, BARE)
    assert [operation for operation, _request in calls] == [
        "suspend_processes",
        "update_auto_scaling_group",
        "enable_metrics_collection",
        "create_or_update_tags",
    ]
    assert calls[1][1] == {**NAME, **{k: v for part in SENT.values() for k, v in part.items()}}


def test_a_group_as_desired_is_not_written_to() -> None:
    assert requests(DESIRED, {}, {}) == []


@pytest.mark.parametrize(
    ("there", "desired", "calls"),
    [
        ([], ["Launch"], [("suspend_processes", ["Launch"])]),
        (["Launch"], [], [("resume_processes", ["Launch"])]),
        (
            ["Launch", "AZRebalance"],
            ["AZRebalance", "Terminate"],
            [("suspend_processes", ["Terminate"]), ("resume_processes", ["Launch"])],
        ),
    ],
)
def test_processes_are_suspended_and_resumed(
    there: list[str], desired: list[str], calls: list[tuple[str, list[str]]]
) -> None:
    group = replace(BARE, suspended_processes=frozenset(there))
    found = sent({"name": "g", "suspended_processes": desired}, group)
    assert found == [(operation, {**NAME, "ScalingProcesses": processes}) for operation, processes in calls]


def test_nothing_is_changed_before_instances_are_protected_and_az_rebalance_is_suspended() -> None:
    ids = [f"i-{number:03}" for number in range(60)]
    instances = [GroupInstance(id, "InService", "Healthy", "a", "t3.medium", "1", id == "i-007") for id in ids]
    out = GroupInstance("i-out", "Terminating:Wait", "Healthy", "a", "t3.medium", "1", protected=False)
    group = replace(BARE, instances=(*instances, out))
    calls = sent({**DESIRED, "protected_instances": [*ids, "i-out", "i-gone"]}, group)
    assert [operation for operation, _request in calls][:4] == [
        "set_instance_protection",
        "set_instance_protection",
        "suspend_processes",
        "update_auto_scaling_group",
    ]
    protected = [id for _operation, request in calls[:2] for id in request["InstanceIds"]]
    assert protected == [id for id in ids if id != "i-007"]
    assert len(calls[0][1]["InstanceIds"]) == 50
    everyone = tuple(replace(instance, protected=True) for instance in instances)
    assert sent({"name": "g", "protected_instances": ids}, replace(BARE, instances=everyone)) == []


def test_metrics_are_turned_on_and_off() -> None:
    on, off = {"name": "g", "metrics": True}, {"name": "g", "metrics": False}
    assert sent(on, BARE) == [("enable_metrics_collection", {**NAME, "Granularity": "1Minute"})]
    some = replace(BARE, metrics=frozenset({"GroupMinSize"}))
    assert sent(on, some) == sent(on, BARE)
    assert sent(off, some) == [("disable_metrics_collection", NAME)]
    assert sent(on, replace(BARE, metrics=METRICS)) == sent(off, BARE) == []


def test_only_the_tags_that_differ_are_written_and_none_removed() -> None:
    group = replace(BARE, tags={"a": Tag("1", True), "b": Tag("2", False), "theirs": Tag("x", False)})
    ((operation, request),) = sent({"name": "g", "tags": {"a": "1", "b": "2", "c": "3"}}, group)
    assert operation == "create_or_update_tags"
    assert [(t["Key"], t["Value"], t["PropagateAtLaunch"]) for t in request["Tags"]] == [
        ("b", "2", True),
        ("c", "3", True),
    ]
    assert {(t["ResourceId"], t["ResourceType"]) for t in request["Tags"]} == {("g", "auto-scaling-group")}


def test_a_template_that_was_deleted_and_made_anew_under_its_name_is_another_one() -> None:
    group = Group("g", "arn:g", 1, 10, 3, template_id="lt-deleted", template_name="t", template_version="3")
    found = compare(COMPARISON, {"launch_template": {"id": "lt-1", "version": 3}}, group)
    assert found == (
        {"launch_template": {"id": "lt-deleted", "version": "3"}},
        {"launch_template": {"id": "lt-1", "version": "3"}},
    )


def test_a_group_is_created_with_its_hooks_in_one_call() -> None:
    calls = creation({**DESIRED, "creation": CREATION})
    assert [operation for operation, _request in calls] == [
        "create_auto_scaling_group",
        "suspend_processes",
        "enable_metrics_collection",
    ]
    sizes = {"MinSize": 2, "MaxSize": 5, "DesiredCapacity": 3}
    hook = {
        "LifecycleHookName": "drain",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": 300,
        "DefaultResult": "ABANDON",
    }
    tag = {"ResourceId": "g", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": True}
    assert calls[0][1] == {
        **NAME,
        **{k: v for part in SENT.values() for k, v in part.items()},
        **sizes,
        "LifecycleHookSpecificationList": [hook],
        "Tags": [{**tag, "Key": "Project", "Value": "wekruit"}],
    }


def test_a_new_group_is_sent_no_lifetime_of_zero_and_what_exists_is_not_created() -> None:
    bare = {"name": "g", "max_lifetime_seconds": 0, "creation": CREATION}
    ((_operation, request),) = creation(bare)
    assert "MaxInstanceLifetime" not in request
    assert compare(COMPARISON, bare, BARE) is None
