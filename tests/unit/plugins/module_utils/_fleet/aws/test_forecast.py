# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only preflight.yml reads, and that nothing which is refused stops it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import iam
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.prerequisites import start_forecast
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.forecast import Forecast
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.operator_permissions import context
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    Denial,
    Permission,
)

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


def answer_all_but_the_caller(answers: Any) -> None:
    """Everything but the caller."""
    answers.on(
        "describe_instance_types", {"InstanceTypes": [{"VCpuInfo": {"DefaultVCpus": 2}}]}, InstanceTypes=["t3.medium"]
    )
    answers.on("get_service_quota", {"Quota": {"Value": 64.0}}, **STANDARD)
    answers.on("describe_account_limits", LIMITS)


def simulate(answers: Any, settings: dict[str, Any], source: str, **decisions: str) -> None:
    """The simulator's decisions on CreateRole and PutRolePolicy."""
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


def caller(answers: Any, what: str) -> None:
    answers.on("get_caller_identity", {"Account": ACCOUNT, "Arn": f"arn:aws:{what}"})


def forecast(answers: Any, settings: dict[str, Any]) -> Forecast:
    return start_forecast(answers.start, answers.call, settings, DOCUMENT)()


def test_a_user_is_simulated_by_its_arn(answers: Any, settings: dict[str, Any]) -> None:
    answer_all_but_the_caller(answers)
    caller(answers, f"iam::{ACCOUNT}:user/me")
    simulate(answers, settings, f"arn:aws:iam::{ACCOUNT}:user/me", CreateRole="allowed", PutRolePolicy="implicitDeny")
    assert forecast(answers, settings) == Forecast(2, 64.0, (3, 500), (Denial("iam:PutRolePolicy"),))


def test_a_session_is_simulated_by_its_roles_arn_with_the_path(answers: Any, settings: dict[str, Any]) -> None:
    answer_all_but_the_caller(answers)
    caller(answers, f"sts::{ACCOUNT}:assumed-role/deployer/me")
    arn = f"arn:aws:iam::{ACCOUNT}:role/teams/deployer"
    answers.on("get_role", {"Role": {"Arn": arn}}, RoleName="deployer")
    simulate(answers, settings, arn, CreateRole="allowed", PutRolePolicy="allowed")
    assert forecast(answers, settings).denied == ()


def test_the_root_user_may_do_everything_and_is_not_simulated(answers: Any, settings: dict[str, Any]) -> None:
    answer_all_but_the_caller(answers)
    caller(answers, f"iam::{ACCOUNT}:root")
    assert forecast(answers, settings).denied == ()
    assert "simulate_principal_policy" not in answers.asked


def test_a_caller_that_iam_cannot_simulate_is_unread(answers: Any, settings: dict[str, Any]) -> None:
    answer_all_but_the_caller(answers)
    caller(answers, f"sts::{ACCOUNT}:federated-user/me")
    assert forecast(answers, settings).denied == Unread("IAM cannot simulate a federated-user.")


def test_a_part_that_is_refused_is_unread_and_the_others_are_read(answers: Any, settings: dict[str, Any]) -> None:
    answer_all_but_the_caller(answers)
    caller(answers, f"iam::{ACCOUNT}:root")

    def call(service: str, operation: str, *arguments: Any, **request: Any) -> Any:
        if operation in ("get_service_quota", "describe_account_limits"):
            raise AwsError(f"no {operation}")
        return answers.call(service, operation, *arguments, **request)

    found = start_forecast(answers.start, call, settings, DOCUMENT)()
    assert found == Forecast(2, Unread("no get_service_quota"), Unread("no describe_account_limits"), ())


def test_a_quota_that_is_not_applied_is_the_default(answers: Any, settings: dict[str, Any]) -> None:
    answer_all_but_the_caller(answers)
    caller(answers, f"iam::{ACCOUNT}:root")
    answers.on("get_service_quota", None, **STANDARD)
    answers.on("get_aws_default_service_quota", {"Quota": {"Value": 5.0}}, **STANDARD)
    assert forecast(answers, settings).vcpu_quota == 5.0


@pytest.mark.parametrize("kind", ["g5.xlarge", "inf1.xlarge", "p4d.24xlarge"])
def test_the_quota_of_a_type_that_is_not_standard_is_not_read(
    kind: str, answers: Any, settings: dict[str, Any]
) -> None:
    answer_all_but_the_caller(answers)
    caller(answers, f"iam::{ACCOUNT}:root")
    answers.on("describe_instance_types", {"InstanceTypes": [{"VCpuInfo": {"DefaultVCpus": 4}}]}, InstanceTypes=[kind])
    assert forecast(answers, settings | {"fleet_instance_type": kind}).vcpu_quota is None
    assert "get_service_quota" not in answers.asked


def test_the_simulator_is_asked_by_service_and_again_in_halves_where_it_refuses() -> None:
    asked: list[list[str]] = []

    def call(_service: str, _operation: str, _key: str, **request: Any) -> Any:
        assert request["absent"] == ("InvalidInput",)
        actions = request["ActionNames"]
        asked.append(actions)
        if {"iam:PassRole", "iam:CreateRole"} <= set(actions):  # "require different authorization information"
            return None
        return [
            {"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": "allowed"}
            for action in actions
            if action != "iam:PassRole"
        ]

    actions = ("iam:CreateRole", "iam:CreateUser", "iam:PassRole", "ec2:RunInstances")
    needed = [Permission(action, "*") for action in actions]
    assert iam.denied(call, "arn:me", needed) == (Denial("iam:PassRole"),)
    assert asked == [
        ["ec2:RunInstances"],
        ["iam:CreateRole", "iam:CreateUser", "iam:PassRole"],
        ["iam:CreateRole"],
        ["iam:CreateUser", "iam:PassRole"],
    ]


def test_an_action_that_the_simulator_does_not_take_is_an_error_that_names_it() -> None:
    with pytest.raises(AwsError, match="does not take iam:PassRole on arn:r"):
        iam.denied(lambda *_, **__: None, "arn:me", [Permission("iam:PassRole", "arn:r")])
