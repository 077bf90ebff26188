# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which actions policy documents allow, read as IAM reads them, and closed where a condition may decide."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    Permission,
    denied_by_documents,
    denied_by_simulator,
    needed,
    trusts,
)

GROUP = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:1:autoScalingGroupName/gh"
COMPLETE = Permission("autoscaling:CompleteLifecycleAction", GROUP)


def statement(effect: str = "Allow", **other: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": "autoscaling:*", "Resource": "*", **other}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


ALLOWS: dict[str, list[dict[str, Any]]] = {
    "by name": [statement(Action="autoscaling:CompleteLifecycleAction", Resource=GROUP)],
    "in a list": [statement(Action=["s3:GetObject", "autoscaling:CompleteLifecycleAction"], Resource=["x", GROUP])],
    "in other capitals": [statement(Action="AutoScaling:completelifecycleaction")],
    "by a star": [statement(Action="*")],
    "by a star within": [
        statement(Action="autoscaling:*Action", Resource="arn:aws:autoscaling:*:autoScalingGroupName/gh")
    ],
    "by question marks": [statement(Action="autoscaling:CompleteLifecycleActio?", Resource=GROUP.replace("gh", "g?"))],
    "by what is left out": [{"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::*"}],
    "beside a denial of something else": [statement(), statement("Deny", Action="autoscaling:Delete*")],
    "beside a denial that leaves it out": [
        statement(),
        {"Effect": "Deny", "NotAction": "autoscaling:*", "Resource": "*"},
    ],
}
DENIES: dict[str, list[dict[str, Any]]] = {
    "by saying nothing": [],
    "by another action": [statement(Action="autoscaling:Complete")],
    "by a question mark too many": [statement(Action="autoscaling:CompleteLifecycleAction?")],
    "by another resource": [statement(Resource=f"{GROUP}-2")],
    "by other capitals in the resource": [statement(Resource=GROUP.upper())],
    "by a condition that may not hold": [statement(Condition={"Bool": {"aws:SecureTransport": "true"}})],
    "by leaving it out": [{"Effect": "Allow", "NotAction": "autoscaling:*", "Resource": "*"}],
    "by leaving its resource out": [{"Effect": "Allow", "Action": "*", "NotResource": GROUP}],
    "by a denial": [statement(), statement("Deny", Action="autoscaling:Complete*")],
    "by a denial that may hold": [statement(), statement("Deny", Condition={"Bool": {"aws:SecureTransport": "false"}})],
    "by a denial of all but something else": [statement(), {"Effect": "Deny", "NotAction": "s3:*", "Resource": "*"}],
    "because a dot is a dot": [statement(Resource=GROUP.replace("gh", "."))],
}


@pytest.mark.parametrize("how", ALLOWS)
def test_an_action_is_allowed(how: str) -> None:
    assert denied_by_documents([document(*ALLOWS[how])], [COMPLETE]) == ()


@pytest.mark.parametrize("how", DENIES)
def test_an_action_is_denied(how: str) -> None:
    assert denied_by_documents([document(*DENIES[how])], [COMPLETE]) == (COMPLETE.action,)


def test_one_statement_need_not_be_in_a_list() -> None:
    assert denied_by_documents([{"Statement": statement()}], [COMPLETE]) == ()


def test_documents_are_read_together() -> None:
    assert denied_by_documents([document(statement()), document(statement("Deny"))], [COMPLETE]) == (COMPLETE.action,)


def test_the_simulator_is_believed_for_each_resource_by_itself() -> None:
    other = Permission("autoscaling:SetInstanceHealth", GROUP)
    answer = [
        {"EvalActionName": COMPLETE.action, "EvalResourceName": GROUP, "EvalDecision": "allowed"},
        {"EvalActionName": other.action, "EvalResourceName": "arn:another", "EvalDecision": "allowed"},
        {"EvalActionName": other.action, "EvalResourceName": GROUP, "EvalDecision": "explicitDeny"},
    ]
    assert denied_by_simulator(answer, [COMPLETE, other]) == (other.action,)


def test_the_simulators_results_by_resource_are_read() -> None:
    specific = [
        {"EvalResourceName": GROUP, "EvalResourceDecision": "allowed"},
        {"EvalResourceName": "arn:another", "EvalResourceDecision": "implicitDeny"},
    ]
    answer = [{"EvalActionName": COMPLETE.action, "EvalDecision": "implicitDeny", "ResourceSpecificResults": specific}]
    assert denied_by_simulator(answer, [COMPLETE, Permission(COMPLETE.action, "arn:another")]) == (COMPLETE.action,)


def test_what_the_simulator_does_not_answer_is_denied() -> None:
    assert denied_by_simulator([], [COMPLETE]) == (COMPLETE.action,)


def test_what_a_worker_needs_names_its_own_group_repository_secret_and_logs() -> None:
    permissions = needed(GROUP, "123456789012", "aws-cn", "cn-north-1", "ghosthands", "arn:secret", "/logs")
    by_service = {
        service: {n.resource for n in permissions if n.action.startswith(service)}
        for service in ("autoscaling", "secrets", "logs")
    }
    assert by_service == {
        "autoscaling": {GROUP},
        "secrets": {"arn:secret"},
        "logs": {"arn:aws-cn:logs:cn-north-1:123456789012:log-group:/logs:log-stream:any"},
    }
    assert Permission("ecr:GetAuthorizationToken", "*") in permissions


@pytest.mark.parametrize(
    ("trust", "takes"),
    [
        ({"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}, True),
        (
            {
                "Principal": {"Service": ["ecs.amazonaws.com", "ec2.amazonaws.com"]},
                "Action": ["sts:TagSession", "sts:AssumeRole"],
            },
            True,
        ),
        ({"Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}, False),
        ({"Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:TagSession"}, False),
        ({"Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}, False),
        ({"Principal": "*", "Action": "sts:AssumeRole"}, False),
    ],
)
def test_a_service_may_take_a_role(trust: dict[str, Any], takes: bool) -> None:
    assert trusts(document({"Effect": "Allow", **trust}), "ec2.amazonaws.com") is takes


def test_a_role_that_trusts_no_service_cannot_be_assumed() -> None:
    assert not trusts({}, "ec2.amazonaws.com")
