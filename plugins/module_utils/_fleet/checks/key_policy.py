# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Auto Scaling may use a KMS key for the volumes of the instances that it launches. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Caller, KmsKey
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import listed

# What EC2 does with a volume's key for whoever launches (EBS User Guide, "Requirements for Amazon EBS encryption").
NEEDED = ("CreateGrant", "Decrypt", "DescribeKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo")
OPERATORS = ("StringEquals", "StringLike", "ArnEquals", "ArnLike", "Bool")


@dataclass(frozen=True)
class Verdict:
    """What a key's policy and grants say of the operations that a launch needs."""

    refused: tuple[str, ...] = ()
    unknown: str = ""
    """why it is not known whether all of them are allowed; empty: it is known"""


def verdict(key: KmsKey, caller: Caller, region: str) -> Verdict:
    """Of the service-linked role, by a policy statement or a grant; a statement that denies outweighs both.

    A policy that names only the account is not enough: the role's own policy says nothing of a customer's keys.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/key-policy-requirements-EBS-encryption.html
    """
    if key.aws_managed:
        return Verdict()
    granted = key.granted if not isinstance(key.granted, Unread) else frozenset[str]()
    if isinstance(key.policy, Unread):
        return Verdict() if granted.issuperset(NEEDED) else Verdict(unknown=key.policy.reason)
    policy = [s for s in listed(key.policy.get("Statement", [])) if isinstance(s, Mapping)]
    refused, unsure = [], []
    for operation in NEEDED:
        context = _context(caller, region, operation)
        denied = _best(_applies(s, operation, caller, context, deny=True) for s in policy if s.get("Effect") == "Deny")
        allowed = operation in granted or _best(
            _applies(s, operation, caller, context) for s in policy if s.get("Effect") == "Allow"
        )
        if denied is True or allowed is False:
            refused.append(operation)
        elif denied is None or allowed is None:
            unsure.append(operation)
    if refused and isinstance(key.granted, Unread):
        return Verdict(unknown=key.granted.reason)
    names = ", ".join(f"kms:{operation}" for operation in unsure)
    return Verdict(
        tuple(refused), f"Its policy has conditions on {names} that are not understood here." if unsure else ""
    )


def _best(results: Iterable[bool | None]) -> bool | None:
    """True where one is, else None where one is not known."""
    found = set(results)
    return True if True in found else None if None in found else False


def _context(caller: Caller, region: str, operation: str) -> Mapping[str, str]:
    """What is known of the request, by condition key."""
    return {
        "kms:grantisforawsresource": "true" if operation == "CreateGrant" else "false",
        "kms:calleraccount": caller.account,
        "kms:viaservice": f"ec2.{region}.{caller.dns_suffix}",
        "aws:principalarn": caller.service_linked_role,
        "aws:principalaccount": caller.account,
    }


def _applies(
    statement: Mapping[str, Any], operation: str, caller: Caller, context: Mapping[str, str], deny: bool = False
) -> bool | None:
    """Whether a statement is about this operation of the role; None: its conditions are not understood."""
    actions = [str(action).lower() for action in listed(statement.get("Action", statement.get("NotAction", [])))]
    named = any(fnmatchcase(f"kms:{operation}".lower(), action) for action in actions)
    if named == ("NotAction" in statement) or not _is_about(statement, caller, deny):
        return False
    held = {
        _holds(operator, key, values, context)
        for operator, keys in (statement.get("Condition") or {}).items()
        for key, values in keys.items()
    }
    return False if False in held else None if None in held else True


def _is_about(statement: Mapping[str, Any], caller: Caller, deny: bool) -> bool:
    """Whether its principals include the role. The whole account does in a denial, and delegates in a permission."""
    mine = {"*", caller.service_linked_role}
    if deny:
        mine |= {caller.account, f"arn:{caller.partition}:iam::{caller.account}:root"}
    others = statement.get("NotPrincipal")
    principal = statement.get("Principal", others)
    named = {str(p) for p in listed(principal.get("AWS", []) if isinstance(principal, Mapping) else principal)}
    return bool(named & mine) != (others is not None)


def _holds(operator: str, key: str, values: Any, context: Mapping[str, str]) -> bool | None:
    """Whether one condition holds; None: not known."""
    plain = operator.removesuffix("IfExists").rpartition(":")[2]
    known, negated = plain.replace("Not", "", 1), "Not" in plain
    if known not in OPERATORS or key.lower() not in context:
        return None
    given = context[key.lower()]
    wanted = [str(value).lower() if isinstance(value, bool) else str(value) for value in listed(values)]
    matches = fnmatchcase if known in ("StringLike", "ArnLike", "ArnEquals") else str.__eq__
    return any(matches(given, value) for value in wanted) != negated
