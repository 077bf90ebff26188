# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only preflight.yml asks: AWS's answers become the outlook, and nothing that is refused stops it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import prerequisites as read
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import CannotAsk
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.forecast import Forecast
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.operator_permissions import context

ACCOUNT = "123456789012"
STANDARD = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/gh-worker-role"
DOCUMENT = {
    "Statement": [
        {
            "Sid": "BuildRole",
            "Action": ["iam:PutRolePolicy", "iam:CreateRole"],
            "Resource": ["arn:aws:iam::*:role/gh-worker*"],
        }
    ]
}
LIMITS = {"NumberOfAutoScalingGroups": 3, "MaxNumberOfAutoScalingGroups": 500}


def others(answers: Any) -> None:
    """Everything but the caller."""
    answers.on(
        "describe_instance_types", {"InstanceTypes": [{"VCpuInfo": {"DefaultVCpus": 2}}]}, InstanceTypes=["t3.medium"]
    )
    answers.on("get_service_quota", {"Quota": {"Value": 64.0}}, **STANDARD)
    answers.on("describe_account_limits", LIMITS)


def simulated(answers: Any, settings: dict[str, Any], source: str, **decisions: str) -> None:
    """What the simulator says of CreateRole and PutRolePolicy."""
    results = [
        {"EvalActionName": f"iam:{action}", "EvalResourceName": ROLE, "EvalDecision": decision}
        for action, decision in decisions.items()
    ]
    answers.on(
        "simulate_principal_policy",
        {"EvaluationResults": results},
        PolicySourceArn=source,
        ActionNames=["iam:CreateRole", "iam:PutRolePolicy"],
        ResourceArns=[ROLE],
        ContextEntries=context(settings),
        PaginationConfig={"PageSize": 1000},
    )


def me(answers: Any, what: str) -> None:
    answers.on("get_caller_identity", {"Account": ACCOUNT, "Arn": f"arn:aws:{what}"})


def looked(answers: Any, settings: dict[str, Any]) -> Forecast:
    return read.outlook(answers.start, answers.call, settings, DOCUMENT)()


def test_a_user_is_asked_about_by_its_own_name(answers: Any, settings: dict[str, Any]) -> None:
    others(answers)
    me(answers, f"iam::{ACCOUNT}:user/me")
    simulated(answers, settings, f"arn:aws:iam::{ACCOUNT}:user/me", CreateRole="allowed", PutRolePolicy="implicitDeny")
    assert looked(answers, settings) == Forecast(2, 64.0, (3, 500), ("iam:PutRolePolicy",))


def test_a_session_is_asked_about_by_its_roles_whole_name(answers: Any, settings: dict[str, Any]) -> None:
    others(answers)
    me(answers, f"sts::{ACCOUNT}:assumed-role/deployer/me")
    arn = f"arn:aws:iam::{ACCOUNT}:role/teams/deployer"
    answers.on("get_role", {"Role": {"Arn": arn}}, RoleName="deployer")
    simulated(answers, settings, arn, CreateRole="allowed", PutRolePolicy="allowed")
    assert looked(answers, settings).denied == ()


def test_an_accounts_root_may_do_everything_and_nobody_is_asked(answers: Any, settings: dict[str, Any]) -> None:
    others(answers)
    me(answers, f"iam::{ACCOUNT}:root")
    assert looked(answers, settings).denied == ()
    assert "simulate_principal_policy" not in answers.asked


def test_a_caller_whom_iam_cannot_simulate_is_unread(answers: Any, settings: dict[str, Any]) -> None:
    others(answers)
    me(answers, f"sts::{ACCOUNT}:federated-user/me")
    assert looked(answers, settings).denied == Unread("IAM simulates no federated-user.")


def test_what_is_refused_is_unread_and_the_rest_is_there(answers: Any, settings: dict[str, Any]) -> None:
    others(answers)
    me(answers, f"iam::{ACCOUNT}:root")

    def call(service: str, operation: str, *arguments: Any, **request: Any) -> Any:
        if operation in ("get_service_quota", "describe_account_limits"):
            raise CannotAsk(f"no {operation}")
        return answers.call(service, operation, *arguments, **request)

    found = read.outlook(answers.start, call, settings, DOCUMENT)()
    assert found == Forecast(2, Unread("no get_service_quota"), Unread("no describe_account_limits"), ())


def test_a_quota_that_was_never_raised_is_the_default(answers: Any, settings: dict[str, Any]) -> None:
    others(answers)
    me(answers, f"iam::{ACCOUNT}:root")
    answers.on("get_service_quota", None, **STANDARD)
    answers.on("get_aws_default_service_quota", {"Quota": {"Value": 5.0}}, **STANDARD)
    assert looked(answers, settings).vcpu_quota == 5.0


@pytest.mark.parametrize("kind", ["g5.xlarge", "inf1.xlarge", "p4d.24xlarge"])
def test_a_type_of_another_quota_is_not_asked_about(kind: str, answers: Any, settings: dict[str, Any]) -> None:
    others(answers)
    me(answers, f"iam::{ACCOUNT}:root")
    answers.on("describe_instance_types", {"InstanceTypes": [{"VCpuInfo": {"DefaultVCpus": 4}}]}, InstanceTypes=[kind])
    assert looked(answers, settings | {"fleet_instance_type": kind}).vcpu_quota is None
    assert "get_service_quota" not in answers.asked
