"""IAM's policy simulator, by the same evaluator (IAM API, SimulatePrincipalPolicy and SimulateCustomPolicy)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from localcloud.iam.conditions import Context
from localcloud.iam.policies import Decision, Policies, Request, decide

#: Parameters of both that would change the answer and are not modelled.
NOT_MODELLED = ("ResourcePolicy", "ResourceOwner", "ResourceHandlingOption")


def entries(given: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """ContextEntries as condition keys."""
    return {
        str(entry["ContextKeyName"]).lower(): tuple(str(value) for value in entry.get("ContextKeyValues") or ())
        for entry in given
    }


def simulated(
    actions: Sequence[str], resources: Sequence[str], policies: Policies, context: Context
) -> list[dict[str, Any]]:
    """An EvaluationResult for each action on each resource; condition keys that are not given are listed as missing."""
    return [_result(action, resource, policies, context) for action in actions for resource in resources]


def _result(action: str, resource: str, policies: Policies, context: Context) -> dict[str, Any]:
    missing = list[str]()

    def absent(key: str) -> bool:
        missing.append(key)
        return True

    decision = decide(Request(action, resource, context, absent), policies)
    result: dict[str, Any] = {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": _word(decision),
        "MatchedStatements": [
            {"SourcePolicyId": name, "SourcePolicyType": "IAM Policy"} for name in dict(decision.matched)
        ],
        "MissingContextValues": sorted(set(missing)),
    }
    if decision.boundary is not None:
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": decision.boundary}
    return result


def _word(decision: Decision) -> str:
    return "allowed" if decision.allowed else "explicitDeny" if decision.explicit else "implicitDeny"
