# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads of single IAM resources that one call answers."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.authorization_details import (
    answered_by_details,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError

POLICY: dict[str, Any] = {"Statement": []}
ATTACHED = [{"PolicyName": "a", "PolicyArn": "arn:a"}]
PROFILE = {"InstanceProfileName": "ip", "Roles": [{"RoleName": "r"}]}
ROLE = {
    "RoleName": "r",
    "RolePolicyList": [{"PolicyName": "p", "PolicyDocument": POLICY}],
    "AttachedManagedPolicies": ATTACHED,
    "InstanceProfileList": [PROFILE],
}
USER = {"UserName": "u", "AttachedManagedPolicies": ATTACHED}
VERSION = {"VersionId": "v2", "Document": POLICY}
MANAGED = {"Arn": "arn:a", "DefaultVersionId": "v2", "PolicyVersionList": [VERSION]}
DETAILS = {"RoleDetailList": [ROLE], "UserDetailList": [USER], "Policies": [MANAGED]}
READS = [
    ("get_role", "Role", {"RoleName": "r"}, ROLE),
    ("get_role_policy", None, {"RoleName": "r", "PolicyName": "p"}, {"PolicyName": "p", "PolicyDocument": POLICY}),
    ("list_role_policies", "PolicyNames", {"RoleName": "r"}, ["p"]),
    ("list_attached_role_policies", "AttachedPolicies", {"RoleName": "r"}, ATTACHED),
    ("get_instance_profile", "InstanceProfile", {"InstanceProfileName": "ip"}, PROFILE),
    ("get_policy", "Policy", {"PolicyArn": "arn:a"}, MANAGED),
    ("get_policy_version", "PolicyVersion", {"PolicyArn": "arn:a", "VersionId": "v2"}, VERSION),
    ("get_user", "User", {"UserName": "u"}, USER),
    ("list_user_policies", "PolicyNames", {"UserName": "u"}, []),
    ("list_attached_user_policies", "AttachedPolicies", {"UserName": "u"}, ATTACHED),
]
ALL = ["Role", "LocalManagedPolicy", "User"]


@pytest.mark.parametrize(("operation", "key", "request_", "answer"), READS, ids=lambda value: str(value)[:30])
def test_one_call_answers_each_read(
    operation: str, key: str | None, request_: dict[str, str], answer: Any, answers: Any
) -> None:
    answers.on("get_account_authorization_details", DETAILS, Filter=ALL)
    call = answered_by_details(answers.call, users=True)
    assert call("iam", operation, key, **request_) == answer
    assert answers.asked == ["get_account_authorization_details"]


@pytest.mark.parametrize(("operation", "key", "request_", "answer"), READS, ids=lambda value: str(value)[:30])
def test_what_it_does_not_list_is_asked_for_by_itself(
    operation: str, key: str | None, request_: dict[str, str], answer: Any, answers: Any
) -> None:
    answers.on("get_account_authorization_details", {kind: [] for kind in DETAILS}, Filter=ALL)
    answers.on(operation, None, **request_)
    call = answered_by_details(answers.call, users=True)
    assert call("iam", operation, key, absent=("NoSuchEntity",), **request_) is None


def test_users_are_read_only_where_the_fleet_has_one(answers: Any) -> None:
    answers.on("get_user", {"User": USER}, UserName="u")
    assert answered_by_details(answers.call, users=False)("iam", "get_user", "User", UserName="u") == USER


def test_other_calls_pass_through(answers: Any) -> None:
    answers.on("get_caller_identity", {"Account": "1"})
    assert answered_by_details(answers.call, users=True)("sts", "get_caller_identity", "Account") == "1"


def test_credentials_that_may_not_read_all_of_iam_read_each_resource(answers: Any) -> None:
    answers.on("get_role", {"Role": ROLE}, RoleName="r")

    def denied(service: str, operation: str, *more: Any, **request: Any) -> Any:
        if operation == "get_account_authorization_details":
            raise AwsError("denied")
        return answers.call(service, operation, *more, **request)

    assert answered_by_details(denied, users=True)("iam", "get_role", "Role", RoleName="r") == ROLE
