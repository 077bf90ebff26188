# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM's and STS's answers -> values. One function per API call; each asks through a given `call`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import worker_permissions
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Caller

ABSENT = ("NoSuchEntity",)


def caller(call: Call) -> Caller:
    """GetCallerIdentity."""
    me = call("sts", "get_caller_identity")
    return Caller(account=me["Account"], partition=me["Arn"].split(":")[1], arn=me["Arn"])


def role(call: Call, name: str) -> Any:
    """GetRole."""
    return call("iam", "get_role", "Role", absent=ABSENT, RoleName=name)


def role_policy(call: Call, role_name: str, policy_name: str) -> Any:
    """GetRolePolicy."""
    return call("iam", "get_role_policy", absent=ABSENT, RoleName=role_name, PolicyName=policy_name)


def instance_profile(call: Call, name: str) -> Any:
    """GetInstanceProfile."""
    return call("iam", "get_instance_profile", "InstanceProfile", absent=ABSENT, InstanceProfileName=name)


def managed_policy(call: Call, name: str) -> Any:
    """GetPolicy, of a policy of this account, with its default version's `Document` (GetPolicyVersion)."""
    me = caller(call)
    arn = f"arn:{me.partition}:iam::{me.account}:policy/{name}"
    policy = call("iam", "get_policy", "Policy", absent=ABSENT, PolicyArn=arn)
    if policy is None:
        return None
    version = call("iam", "get_policy_version", "PolicyVersion", PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    return {**policy, "Document": version["Document"]}


def user(call: Call, name: str) -> Any:
    """GetUser, with the managed policies that are attached to it as `Attached` (ListAttachedUserPolicies)."""
    found = call("iam", "get_user", "User", absent=ABSENT, UserName=name)
    if found is None:
        return None
    return {**found, "Attached": call("iam", "list_attached_user_policies", "AttachedPolicies", UserName=name)}


def access_keys(call: Call, user_name: str) -> Any:
    """ListAccessKeys; None where there are none."""
    return call("iam", "list_access_keys", "AccessKeyMetadata", absent=ABSENT, UserName=user_name) or None


def denied(
    call: Call,
    principal_arn: str,
    permissions: Iterable[worker_permissions.Permission],
    context: Iterable[Mapping[str, Any]] = (),
) -> tuple[str, ...]:
    """SimulatePrincipalPolicy: those of the permissions' actions that the principal may not call.

    :param context: ContextEntries.
    """
    needed = tuple(permissions)
    more: dict[str, Any] = {"ContextEntries": list(context)} if context else {}
    results = call(
        "iam",
        "simulate_principal_policy",
        "EvaluationResults",
        PolicySourceArn=principal_arn,
        ActionNames=sorted({permission.action for permission in needed}),
        ResourceArns=sorted({permission.resource for permission in needed}),
        PaginationConfig={"PageSize": 1000},
        **more,
    )
    return worker_permissions.denied_by_simulator(results, needed)
