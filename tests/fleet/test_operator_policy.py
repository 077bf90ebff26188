"""docs/iam: a user with exactly these documents builds, verifies and ends a fleet, or only looks at one; tried with enforced IAM."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.cloud import ROOT, PlaybookCloud
from tests.fleet.fleet import GROUP, TERMINATION
from tests.fleet.healthy import HealthyFleet

Document = dict[str, Any]
User = Callable[[PlaybookCloud, Document], dict[str, Any]]


OPERATOR = ("read", "operator", "teardown")


def document(*names: str) -> Document:
    """docs/iam/NAME.json of each name, in one: as if each were attached."""
    found = [json.loads((ROOT / f"docs/iam/{name}.json").read_text(encoding="utf-8")) for name in names]
    return {"Version": "2012-10-17", "Statement": [statement for policy in found for statement in policy["Statement"]]}


def without(policy: Document, action: str) -> Document:
    """The policy less one action."""
    kept = [{**s, "Action": [a for a in s["Action"] if a != action]} for s in policy["Statement"]]
    assert kept != policy["Statement"], f"{action} is not in it"
    return {**policy, "Statement": [s for s in kept if s["Action"]]}


@pytest.fixture
def user() -> Iterator[User]:
    """Makes a user who has just that policy, and enforces it; returns the user's key as variables of a fleet."""
    enforced = []

    def made(cloud: PlaybookCloud, policy: Document) -> dict[str, Any]:
        iam = cloud.client("iam")
        iam.create_user(UserName="someone")
        arn = iam.create_policy(PolicyName="theirs", PolicyDocument=json.dumps(policy))["Policy"]["Arn"]
        iam.attach_user_policy(UserName="someone", PolicyArn=arn)
        key = iam.create_access_key(UserName="someone")["AccessKey"]
        cloud.enforce_iam()
        enforced.append(cloud)
        cloud.clear_trace()
        return {"fleet_access_key": key["AccessKeyId"], "fleet_secret_key": key["SecretAccessKey"]}

    yield made
    for cloud in enforced:
        cloud.enforce_iam(False)


def refused(cloud: PlaybookCloud) -> list[str]:
    """What of the trace was refused."""
    return [call["action"] for call in cloud.calls() if call["status"] == 403]


def test_an_operator_with_these_documents_builds_changes_and_ends_a_fleet(cloud: PlaybookCloud, user: User) -> None:
    key = user(cloud, document(*OPERATOR))
    runs: list[tuple[str, dict[str, Any]]] = [
        ("playbooks/preflight.yml", {}),
        ("site.yml", {}),
        (
            "site.yml",
            {"fleet_api_cidrs": ["198.51.100.0/24"], "fleet_volume_size_gib": 50, "fleet_cooldown_seconds": 120},
        ),
        ("playbooks/verify.yml", {"fleet_verify_fail_on": "never", "fleet_report_dir": ""}),
        (
            "playbooks/teardown.yml",
            {"fleet_confirm_teardown": GROUP, "fleet_force_delete": True, "fleet_teardown_secret": True},
        ),
    ]
    for book, variables in runs:
        run = cloud.play(book, **{**key, **variables})
        assert run.returncode == 0, run
    assert refused(cloud) == []
    assert cloud.group() == {}


@pytest.mark.parametrize(
    "action",
    [
        "autoscaling:PutLifecycleHook",
        *(pytest.param(a, marks=pytest.mark.slow) for a in ("iam:PassRole", "ec2:CreateLaunchTemplate")),
    ],
)
def test_an_operator_with_an_action_less_is_told_which(cloud: PlaybookCloud, user: User, action: str) -> None:
    run = cloud.play("site.yml", **user(cloud, without(document(*OPERATOR), action)))
    assert run.returncode != 0
    assert action in run.stdout or action.partition(":")[2] in refused(cloud), run


def test_who_has_the_document_for_verifying_verifies_and_may_change_nothing(
    fleet: HealthyFleet, user: User, tmp_path: Path
) -> None:
    key = user(fleet, document("verify"))
    run = fleet.play("playbooks/verify.yml", **key, fleet_verify_fail_on="never", fleet_report_dir=str(tmp_path))
    assert run.returncode == 0, run
    findings = {f["id"]: f for f in json.loads((tmp_path / "report.json").read_text())["findings"]}
    assert findings["readable"]["ok"]
    assert findings["role-actions"]["evidence"]["how"] == "IAM's policy simulator"
    assert refused(fleet) == []
    run = fleet.play("site.yml", **key, fleet_termination_hook_timeout=600)
    assert run.returncode != 0
    hooks = fleet.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=GROUP)["LifecycleHooks"]
    assert {hook["LifecycleHookName"]: hook["HeartbeatTimeout"] for hook in hooks} == {TERMINATION: 300}
