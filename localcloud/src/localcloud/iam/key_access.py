"""Who may use a KMS key: its policy and grants decide, and identity policies where the policy leaves it to them.

KMS Developer Guide, key-policies and grants.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from localcloud.iam.policies import Decision, Policies, Principal, Request, decide_trust, parse


def decide_key(request: Request, key: Any, caller: Principal, policies: Policies) -> Decision:
    """Whether a caller may do this with a key of KMS.

    Raises:
        Malformed: the key's policy is not valid.
    """
    policy = parse(f"policy of key {key.id}", key.policy, principals=True)
    decision = decide_trust(request, policy, caller, policies)
    if decision.allowed or decision.explicit or not _granted(request.action, key.grants.values(), caller):
        return decision
    return Decision(True, kind="resource-based policy", notes=decision.notes)


def _granted(action: str, grants: Iterable[Any], caller: Principal) -> bool:
    """Whether a grant without constraints allows the action; grants name operations as KMS's API does."""
    operation = action.partition(":")[2]
    return any(
        operation in grant.operations
        and grant.grantee_principal in (caller.arn, caller.session)
        and not grant.constraints
        for grant in grants
    )
