# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""IAM's and STS's answers -> values. One function per API call; each asks through a given `call`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import worker_permissions
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import RolePolicies, User
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Caller

ABSENT = ("NoSuchEntity",)


def caller(call: Call) -> Caller:
    """GetCallerIdentity."""
    me = call("sts", "get_caller_identity")
    return Caller(account=me["Account"], partition=me["Arn"].split(":")[1], arn=me["Arn"])


def role(call: Call, name: str) -> Any:
    """GetRole."""
    return call("iam", "get_role", "Role", absent=ABSENT, RoleName=name)


def boundary(call: Call, role_name: str) -> str:
    """GetRole: the ARN of the role's permissions boundary; empty where it has none."""
    return str(((role(call, role_name) or {}).get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn", ""))


def role_policy(call: Call, role_name: str, policy_name: str) -> Any:
    """GetRolePolicy."""
    return call("iam", "get_role_policy", absent=ABSENT, RoleName=role_name, PolicyName=policy_name)


def role_policies(call: Call, name: str) -> RolePolicies | None:
    """ListRolePolicies and ListAttachedRolePolicies."""
    inline = call("iam", "list_role_policies", "PolicyNames", absent=ABSENT, RoleName=name)
    attached = call("iam", "list_attached_role_policies", "AttachedPolicies", absent=ABSENT, RoleName=name)
    if inline is None or attached is None:
        return None
    return RolePolicies(tuple(inline), _arns(attached))


def _arns(policies: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    return tuple(policy["PolicyArn"] for policy in policies)


def instance_profile(call: Call, name: str) -> Any:
    """GetInstanceProfile."""
    return call("iam", "get_instance_profile", "InstanceProfile", absent=ABSENT, InstanceProfileName=name)


def managed_policy(call: Call, name: str, me: Caller | None = None) -> Any:
    """GetPolicy, of a policy of this account, with its default version's `Document` (GetPolicyVersion)."""
    me = me or caller(call)
    arn = f"arn:{me.partition}:iam::{me.account}:policy/{name}"
    policy = call("iam", "get_policy", "Policy", absent=ABSENT, PolicyArn=arn)
    if policy is None:
        return None
    version = call("iam", "get_policy_version", "PolicyVersion", PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    return {**policy, "Document": version["Document"]}


def policy_exists(call: Call, arn: str) -> bool:
    """GetPolicy, of any account's and AWS's own."""
    return call("iam", "get_policy", "Policy", absent=ABSENT, PolicyArn=arn) is not None


def user(call: Call, name: str) -> Any:
    """GetUser, with the managed policies that are attached to it as `Attached` (ListAttachedUserPolicies)."""
    found = call("iam", "get_user", "User", absent=ABSENT, UserName=name)
    if found is None:
        return None
    return {**found, "Attached": call("iam", "list_attached_user_policies", "AttachedPolicies", UserName=name)}


def policies_of_user(call: Call, name: str) -> User | None:
    """ListAttachedUserPolicies, ListUserPolicies, ListGroupsForUser and ListAccessKeys; None: there is no such user."""
    attached = call("iam", "list_attached_user_policies", "AttachedPolicies", absent=ABSENT, UserName=name)
    if attached is None:
        return None
    groups = call("iam", "list_groups_for_user", "Groups", absent=ABSENT, UserName=name)
    return User(
        name=name,
        inline=tuple(call("iam", "list_user_policies", "PolicyNames", absent=ABSENT, UserName=name) or ()),
        attached=_arns(attached),
        groups=tuple(group["GroupName"] for group in groups or ()),
        active_keys=tuple(
            key["AccessKeyId"] for key in access_keys(call, name) or () if key.get("Status", "Active") == "Active"
        ),
    )


def access_keys(call: Call, user_name: str) -> Any:
    """ListAccessKeys; None where there are none."""
    return call("iam", "list_access_keys", "AccessKeyMetadata", absent=ABSENT, UserName=user_name) or None


def denied(
    call: Call,
    principal_arn: str,
    permissions: Iterable[worker_permissions.Permission],
    context: Iterable[Mapping[str, Any]] = (),
) -> tuple[worker_permissions.Denial, ...]:
    """SimulatePrincipalPolicy: those of the permissions' actions that the principal may not call. Raises AwsError.

    It is asked by service and context: it answers InvalidInput for actions that "require different authorization
    information". A request that is refused so is asked again in two halves.

    :param context: ContextEntries of every permission.
    """
    by_context: dict[Any, list[worker_permissions.Permission]] = {}
    for one in permissions:
        by_context.setdefault((one.action.partition(":")[0], one.context), []).append(one)
    found = list[worker_permissions.Denial]()
    for (_service, own), several in sorted(by_context.items()):
        entries = [
            *context,
            *({**_type(key), "ContextKeyName": key, "ContextKeyValues": [*values]} for key, values in own),
        ]
        found += _simulated(call, principal_arn, several, entries)
    return tuple(dict.fromkeys(found))


_STRING = {"ContextKeyType": "string"}


def _type(key: str) -> dict[str, str]:
    """reference_policies_condition-keys: aws:TagKeys has several values."""
    return {"ContextKeyType": "stringList"} if key == "aws:TagKeys" else _STRING


def _simulated(
    call: Call,
    principal_arn: str,
    permissions: list[worker_permissions.Permission],
    entries: list[Mapping[str, Any]],
) -> tuple[worker_permissions.Denial, ...]:
    actions = sorted({permission.action for permission in permissions})
    results = call(
        "iam",
        "simulate_principal_policy",
        "EvaluationResults",
        absent=("InvalidInput",),
        PolicySourceArn=principal_arn,
        ActionNames=actions,
        ResourceArns=sorted({permission.resource for permission in permissions}),
        PaginationConfig={"PageSize": 1000},
        **({"ContextEntries": entries} if entries else {}),
    )
    if results is not None:
        return worker_permissions.denied_by_simulator(results, permissions)
    if len(actions) == 1:
        raise AwsError(
            f"IAM's policy simulator does not take {actions[0]} on {permissions[0].resource} (InvalidInput)."
        )
    first = actions[: len(actions) // 2]
    return tuple(
        denial
        for half in ([p for p in permissions if p.action in first], [p for p in permissions if p.action not in first])
        for denial in _simulated(call, principal_arn, half, entries)
    )
