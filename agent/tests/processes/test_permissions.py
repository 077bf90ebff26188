"""The policy of playbooks/iam.yml: it is enough for the agent, and every action of it is needed."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from localcloud.testing import PROPAGATED
from processes import instance as instance_program
from processes.fleet import Fleet, iam_statements

#: What a process instance does not have: Xvfb, and the api's server.
NOT_HERE = {"display", "api"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("permissions"), guard=True)
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def instance(fleet: Fleet) -> str:
    return fleet.launch(1)[0]


def bad_findings(fleet: Fleet, instance: str) -> dict[str, str]:
    """Details of the bad findings of the agent's doctor on this instance, by id."""
    own = fleet.folder / instance
    done = subprocess.run(
        [*instance_program.agent_command(own), "doctor", "--json"],
        env=instance_program.environment(own),
        capture_output=True,
        text=True,
        check=False,
    )
    findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    assert done.returncode == 1
    return {
        finding["id"]: finding["detail"] for finding in findings if not finding["ok"] and finding["id"] not in NOT_HERE
    }


def without(action: str) -> list[dict[str, Any]]:
    """The policy without one action."""
    changed = copy.deepcopy(iam_statements())
    for statement in changed:
        statement["Action"] = [allowed for allowed in statement["Action"] if allowed != action]
    assert changed != iam_statements()
    return [statement for statement in changed if statement["Action"]]


def test_the_policy_is_enough(fleet: Fleet, instance: str) -> None:
    assert bad_findings(fleet, instance) == {}
    assert fleet.calls("GetAuthorizationToken")
    assert fleet.calls("GetSecretValue")
    assert fleet.denied_calls() == []


@pytest.mark.parametrize(
    ("action", "finding"),
    [
        ("autoscaling:CompleteLifecycleAction", "complete_lifecycle_action"),
        ("autoscaling:RecordLifecycleActionHeartbeat", "record_lifecycle_action_heartbeat"),
        ("autoscaling:SetInstanceProtection", "set_instance_protection"),
        ("autoscaling:SetInstanceHealth", "set_instance_health"),
        ("autoscaling:DescribeAutoScalingGroups", "describe_auto_scaling_groups"),
        ("autoscaling:DescribeScalingActivities", "describe_scaling_activities"),
        ("autoscaling:DescribeAutoScalingInstances", "describe_auto_scaling_instances"),
        ("autoscaling:DescribeLifecycleHooks", "describe_lifecycle_hooks"),
        ("ec2:CreateTags", "create_tags"),
        ("secretsmanager:GetSecretValue", "secret"),
        ("ecr:GetAuthorizationToken", "registry"),
    ],
)
def test_a_missing_permission_is_found_by_name(fleet: Fleet, instance: str, action: str, finding: str) -> None:
    fleet.allow(without(action))
    try:
        bad = bad_findings(fleet, instance)
    finally:
        fleet.allow(iam_statements())
    assert bad.keys() == {finding}
    assert "AccessDenied" in bad[finding] or "UnauthorizedOperation" in bad[finding]


def test_a_boot_waits_for_credentials_and_for_a_policy_that_does_not_take_effect_yet(fleet: Fleet) -> None:
    nothing = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    fleet.allow([nothing])
    fleet.cloud.set_speed(1e-6)  # so that only this test lets time pass
    try:
        new = fleet.launch(1, wait=False)[0]
        fleet.wait_for_log(new, "NoCredentials")
        fleet.cloud.advance(PROPAGATED)
        fleet.wait_for_log(new, "AccessDenied")
        fleet.allow(iam_statements())
        fleet.wait_for_log(new, "event=boot_completed", "event=watch_began")
    finally:
        fleet.cloud.set_speed(1)
    fleet.terminate(new)
    fleet.completion(new)
