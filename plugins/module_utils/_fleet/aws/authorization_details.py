# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads of single roles, profiles, policies and users, answered from one call, GetAccountAuthorizationDetails.

It leaves out tags of policies and perhaps those of instance profiles, and a profile that has no role.
https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call

Details = Mapping[str, Any]
Request = Mapping[str, Any]
Answer = Callable[[Details, Request], "Details | None"]


def answered_by_details(call: Call, users: bool) -> Call:
    """`call`, with IAM's reads of single resources answered from one call.

    What that does not list, and everything where the caller may not use it, is asked for by itself.

    :param users: whether users are read; of an account with many, the call would else return them all.
    """
    kinds = ["Role", "LocalManagedPolicy", *(["User"] if users else [])]

    def asked(
        service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **request: Any
    ) -> Any:
        if service == "iam" and operation in ANSWERS and (users or "user" not in operation):
            try:
                answer = ANSWERS[operation](call("iam", "get_account_authorization_details", Filter=kinds), request)
            except AwsError:  # these credentials may not call it
                answer = None
            if answer is not None:
                return answer.get(key) if key else answer
        return call(service, operation, key, absent, **request)

    return asked


def _named(found: Iterable[Details], key: str, name: str) -> Details | None:
    return next((one for one in found if one[key] == name), None)


def _role(details: Details, request: Request) -> Details | None:
    return _named(details["RoleDetailList"], "RoleName", request["RoleName"])


def _user(details: Details, request: Request) -> Details | None:
    return _named(details["UserDetailList"], "UserName", request["UserName"])


def _policy(details: Details, request: Request) -> Details | None:
    return _named(details["Policies"], "Arn", request["PolicyArn"])


def _get_role_policy(details: Details, request: Request) -> Details | None:
    role = _role(details, request)
    return role and _named(role["RolePolicyList"], "PolicyName", request["PolicyName"])


def _get_instance_profile(details: Details, request: Request) -> Details | None:
    profiles = (profile for role in details["RoleDetailList"] for profile in role["InstanceProfileList"])
    profile = _named(profiles, "InstanceProfileName", request["InstanceProfileName"])
    return profile and {"InstanceProfile": profile}


def _get_policy_version(details: Details, request: Request) -> Details | None:
    policy = _policy(details, request)
    version = policy and _named(policy["PolicyVersionList"], "VersionId", request["VersionId"])
    return version and {"PolicyVersion": version}


def _get(find: Answer, key: str) -> Answer:
    def answer(details: Details, request: Request) -> Details | None:
        found = find(details, request)
        return found and {key: found}

    return answer


def _names(find: Answer, key: str) -> Answer:
    def answer(details: Details, request: Request) -> Details | None:
        found = find(details, request)
        return found and {"PolicyNames": [policy["PolicyName"] for policy in found.get(key) or ()]}

    return answer


def _attached(find: Answer) -> Answer:
    def answer(details: Details, request: Request) -> Details | None:
        found = find(details, request)
        return found and {"AttachedPolicies": found["AttachedManagedPolicies"]}

    return answer


def _groups(details: Details, request: Request) -> Details | None:
    user = _user(details, request)
    return user and {"Groups": [{"GroupName": name} for name in user.get("GroupList") or ()]}


# operation -> its answer; None: it is not in the details
ANSWERS: Mapping[str, Answer] = {
    "get_role": _get(_role, "Role"),
    "get_role_policy": _get_role_policy,
    "list_role_policies": _names(_role, "RolePolicyList"),
    "list_attached_role_policies": _attached(_role),
    "get_instance_profile": _get_instance_profile,
    "get_policy": _get(_policy, "Policy"),
    "get_policy_version": _get_policy_version,
    "get_user": _get(_user, "User"),
    "list_groups_for_user": _groups,
    "list_user_policies": _names(_user, "UserPolicyList"),
    "list_attached_user_policies": _attached(_user),
}
