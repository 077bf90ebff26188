# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker has to be allowed, and whether policies allow it. Pure.

The policy documents are read here for callers who may not use IAM's simulator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Permission(NamedTuple):
    """An action on a resource."""

    action: str
    resource: str
    """an ARN, or *"""


def needed(
    group_arn: str, account: str, partition: str, region: str, repository: str, secret_arn: str, log_group: str
) -> tuple[Permission, ...]:
    """What the agent, Docker and the log shipper call (§6). playbooks/iam.yml says which of them calls what."""
    image = f"arn:{partition}:ecr:{region}:{account}:repository/{repository}"
    logs = f"arn:{partition}:logs:{region}:{account}:log-group:{log_group}:log-stream:any"
    return (
        *(
            Permission(f"autoscaling:{action}", group_arn)
            for action in (
                "CompleteLifecycleAction",
                "RecordLifecycleActionHeartbeat",
                "SetInstanceHealth",
                "SetInstanceProtection",
            )
        ),
        Permission("ecr:GetAuthorizationToken", "*"),
        *(
            Permission(f"ecr:{action}", image)
            for action in ("GetDownloadUrlForLayer", "BatchGetImage", "BatchCheckLayerAvailability")
        ),
        Permission("secretsmanager:GetSecretValue", secret_arn),
        *(Permission(f"logs:{action}", logs) for action in ("CreateLogStream", "PutLogEvents")),
    )


def denied_by_simulator(results: Iterable[Mapping[str, Any]], permissions: Iterable[Permission]) -> tuple[str, ...]:
    """The actions that IAM's simulator does not allow.

    :param results: SimulatePrincipalPolicy's EvaluationResults.
    """
    allowed = set()
    for result in results:
        for one in result.get("ResourceSpecificResults") or [
            {**result, "EvalResourceDecision": result["EvalDecision"]}
        ]:
            if one["EvalResourceDecision"] == "allowed":
                allowed.add((result["EvalActionName"], one.get("EvalResourceName", "*")))
    return tuple(needed.action for needed in permissions if tuple(needed) not in allowed)


def denied_by_documents(documents: Iterable[Mapping[str, Any]], permissions: Iterable[Permission]) -> tuple[str, ...]:
    """The actions that no statement of these policies allows, or that a statement denies.

    Fails closed: a statement with conditions allows nothing here, and denies.
    """
    statements = [s for document in documents for s in listed(document.get("Statement", []))]
    return tuple(
        needed.action
        for needed in permissions
        if not any(_covers(s, needed) for s in _of(statements, "Allow")) or _denies(statements, needed)
    )


def trusts(document: Mapping[str, Any], service: str) -> bool:
    """Whether a trust policy lets a service assume the role."""
    return any(
        service in listed((s.get("Principal") or {}).get("Service", []))
        and _covers({**s, "Resource": "*"}, Permission("sts:AssumeRole", "*"))
        for s in _of(listed(document.get("Statement", [])), "Allow")
        if isinstance(s.get("Principal"), Mapping)
    )


def _of(statements: Iterable[Mapping[str, Any]], effect: str) -> Iterator[Mapping[str, Any]]:
    return (s for s in statements if s.get("Effect") == effect)


def _denies(statements: Iterable[Mapping[str, Any]], needed: Permission) -> bool:
    # A condition may or may not hold: it is read as if it did.
    return any(_covers({k: v for k, v in s.items() if k != "Condition"}, needed) for s in _of(statements, "Deny"))


def _covers(statement: Mapping[str, Any], needed: Permission) -> bool:
    if statement.get("Condition"):
        return False
    return _names(statement, "Action", needed.action, re.IGNORECASE) and _names(statement, "Resource", needed.resource)


def _names(statement: Mapping[str, Any], element: str, text: str, flags: int = 0) -> bool:
    """Whether its Action (or Resource) names this, or its NotAction (or NotResource) does not."""
    if (others := statement.get(f"Not{element}")) is not None:
        return not any(_matches(pattern, text, flags) for pattern in listed(others))
    return any(_matches(pattern, text, flags) for pattern in listed(statement.get(element, [])))


def _matches(pattern: str, text: str, flags: int) -> bool:
    expression = ".*".join(".".join(map(re.escape, part.split("?"))) for part in pattern.split("*"))
    return re.fullmatch(expression, text, re.DOTALL | flags) is not None


def listed(value: Any) -> list[Any]:
    """A list of one for a single value: both are the same in a policy."""
    return list(value) if isinstance(value, (list, tuple)) else [value]
