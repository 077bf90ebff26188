"""docs/iam: a user with exactly these policies builds, verifies and deletes a fleet, or only verifies one.

With IAM enforced.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from localcloud.testing import PROPAGATED

from tests.fleet.cloud import ROOT, PlaybookCloud
from tests.fleet.fleet import GROUP, TERMINATION
from tests.fleet.healthy import HealthyFleet
from tests.fleet.test_rollout import ROLLBACK, ROLLOUT, pinned, play

Document = dict[str, Any]
User = Callable[[PlaybookCloud, Document], dict[str, Any]]


OPERATOR = ("read", "operator", "teardown", "secret")
DENIALS = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


def document(*names: str) -> Document:
    """The statements of docs/iam/NAME.json for each name, in one document."""
    found = [json.loads((ROOT / f"docs/iam/{name}.json").read_text(encoding="utf-8")) for name in names]
    return {"Version": "2012-10-17", "Statement": [statement for policy in found for statement in policy["Statement"]]}


def without(policy: Document, action: str) -> Document:
    """The policy without one action."""
    kept = [{**s, "Action": [a for a in s["Action"] if a != action]} for s in policy["Statement"]]
    assert kept != policy["Statement"], f"{action} is not in it"
    return {**policy, "Statement": [s for s in kept if s["Action"]]}


@pytest.fixture
def user() -> Iterator[User]:
    """Creates a user with exactly that policy, enforces IAM, and returns the access key as fleet variables."""
    enforced = []

    def made(cloud: PlaybookCloud, policy: Document) -> dict[str, Any]:
        iam = cloud.client("iam")
        iam.create_user(UserName="someone")
        arn = iam.create_policy(PolicyName="theirs", PolicyDocument=json.dumps(policy))["Policy"]["Arn"]
        iam.attach_user_policy(UserName="someone", PolicyArn=arn)
        key = iam.create_access_key(UserName="someone")["AccessKey"]
        cloud.advance(PROPAGATED)
        cloud.enforce_iam()
        enforced.append(cloud)
        cloud.clear_trace()
        return {"fleet_access_key": key["AccessKeyId"], "fleet_secret_key": key["SecretAccessKey"]}

    yield made
    for cloud in enforced:
        cloud.enforce_iam(False)


def refused(cloud: PlaybookCloud) -> list[str]:
    """The actions that were refused."""
    return [call["action"] for call in cloud.calls() if call["status"] == 403]


def test_an_operator_with_these_policies_builds_changes_and_deletes_a_fleet(cloud: PlaybookCloud, user: User) -> None:
    key = user(cloud, document(*OPERATOR))
    runs: list[tuple[str, dict[str, Any]]] = [
        ("playbooks/preflight.yml", {}),
        ("site.yml", {}),
        (
            "site.yml",
            {
                "fleet_api_cidrs": ["198.51.100.0/24"],
                "fleet_volume_size_gib": 50,
                "fleet_cooldown_seconds": 120,
                "fleet_instance_type": "t3.large",
                "fleet_ssh_cidrs": ["10.0.0.0/8"],
                "fleet_launch_hook": True,
                "fleet_valet_user_name": "valet",
                "fleet_valet_access_key": True,
            },
        ),
        ("playbooks/status.yml", {}),
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


def test_an_operator_with_these_policies_rolls_out_and_back(fleet: HealthyFleet, user: User) -> None:
    fleet.add_image()
    key = user(fleet, document("read", "operator", "secret"))
    for book, version in ((ROLLOUT, "2"), (ROLLBACK, "1")):
        run = play(fleet, book, **key)
        assert (run.returncode, pinned(fleet)) == (0, version), run
    assert refused(fleet) == []


def test_an_operator_may_not_touch_what_is_no_fleets(cloud: PlaybookCloud, user: User) -> None:
    iam, ec2, trust = cloud.client("iam"), cloud.client("ec2"), json.dumps({"Version": "2012-10-17", "Statement": []})
    for name in ("somebody", "gh-worker-other"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    iam.create_user(UserName="somebody")
    theirs = ec2.create_security_group(GroupName="theirs", Description="of somebody else")["GroupId"]
    key = user(cloud, document("read", "operator", "teardown"))
    mine = {"aws_access_key_id": key["fleet_access_key"], "aws_secret_access_key": key["fleet_secret_key"]}
    role = {"PolicyName": "all", "PolicyDocument": trust}
    everything = "arn:aws:iam::aws:policy/AdministratorAccess"
    for service, method, parameters in (
        ("iam", "put_role_policy", {"RoleName": "somebody", **role}),
        ("iam", "attach_user_policy", {"UserName": "somebody", "PolicyArn": everything}),
        ("iam", "create_access_key", {"UserName": "somebody"}),
        ("iam", "attach_role_policy", {"RoleName": "gh-worker-other", "PolicyArn": everything}),
        ("iam", "delete_user_policy", {"UserName": "somebody", "PolicyName": "theirs"}),
        ("ec2", "delete_security_group", {"GroupId": theirs}),
        ("ec2", "create_tags", {"Resources": ["i-0123456789abcdef0"], "Tags": [{"Key": "Name", "Value": "x"}]}),
        ("secretsmanager", "get_secret_value", {"SecretId": "ghosthands/worker/env"}),
        ("autoscaling", "set_desired_capacity", {"AutoScalingGroupName": "theirs", "DesiredCapacity": 9}),
    ):
        with pytest.raises(ClientError) as refusal:
            getattr(cloud.client(service, **mine), method)(**parameters)
        assert refusal.value.response["Error"]["Code"] in DENIALS, method


def test_an_operator_without_an_action_is_told_which_one(fleet: HealthyFleet, user: User) -> None:
    action = "autoscaling:PutLifecycleHook"
    fleet.drop_hook(TERMINATION)
    run = fleet.play("playbooks/lifecycle_hook.yml", **user(fleet, without(document(*OPERATOR), action)))
    assert run.returncode != 0
    assert action in run.stdout, run
    assert refused(fleet) == [action.partition(":")[2]]


@pytest.mark.slow
@pytest.mark.parametrize("action", ["iam:PassRole", "ec2:CreateLaunchTemplate"])
def test_a_first_run_without_an_action_names_it(cloud: PlaybookCloud, user: User, action: str) -> None:
    run = cloud.play("site.yml", **user(cloud, without(document(*OPERATOR), action)))
    assert run.returncode != 0
    assert action in run.stdout or action.partition(":")[2] in refused(cloud), run


def test_with_the_policy_for_verifying_one_verifies_and_changes_nothing(
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
    assert {hook["LifecycleHookName"]: hook["HeartbeatTimeout"] for hook in hooks}[TERMINATION] == 300
