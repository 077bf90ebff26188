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


def apart(actions: Sequence[str], resources: Sequence[str]) -> str | None:
    """AWS's message about actions that cannot be simulated together; None if they can.

    API_SimulatePrincipalPolicy (InvalidInput) does not say which; derived from what callers of it met: actions of
    different services, unless the resource is ``*``, and sts:AssumeRole beside any other service's even then.
    """
    groups = dict[str, list[str]]()
    for action in actions:
        service = action.partition(":")[0].lower()
        anywhere = set(resources) == {"*"} and service != "sts"
        groups.setdefault("" if anywhere else service, []).append(action)
    if len(groups) < 2:
        return None
    lists = " and ".join(f"[{','.join(group)}]" for group in groups.values())
    return (
        f"Invalid Input Actions: {lists} require different authorization information. Please refer to the "
        "documentation for more details: "
        "https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html"
    )


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
