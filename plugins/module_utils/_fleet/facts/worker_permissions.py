# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker needs to be allowed, and a reading of policy documents for callers who may not ask IAM's simulator. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Need(NamedTuple):
    """An action that somebody on the instance calls."""

    action: str
    resource: str
    """an ARN, or *"""


def needs(
    group_arn: str, account: str, partition: str, region: str, repository: str, secret_arn: str, log_group: str
) -> tuple[Need, ...]:
    """What the agent, docker and the log shipper call (§6). playbooks/iam.yml says who calls what."""
    image = f"arn:{partition}:ecr:{region}:{account}:repository/{repository}"
    logs = f"arn:{partition}:logs:{region}:{account}:log-group:{log_group}:log-stream:any"
    return (
        *(
            Need(f"autoscaling:{action}", group_arn)
            for action in (
                "CompleteLifecycleAction",
                "RecordLifecycleActionHeartbeat",
                "SetInstanceHealth",
                "SetInstanceProtection",
            )
        ),
        Need("ecr:GetAuthorizationToken", "*"),
        *(
            Need(f"ecr:{action}", image)
            for action in ("GetDownloadUrlForLayer", "BatchGetImage", "BatchCheckLayerAvailability")
        ),
        Need("secretsmanager:GetSecretValue", secret_arn),
        *(Need(f"logs:{action}", logs) for action in ("CreateLogStream", "PutLogEvents")),
    )


def simulated(results: Iterable[Mapping[str, Any]], wanted: Iterable[Need]) -> tuple[str, ...]:
    """The needs that IAM's simulator denies, of SimulatePrincipalPolicy's EvaluationResults."""
    allowed = set()
    for result in results:
        for one in result.get("ResourceSpecificResults") or [
            {**result, "EvalResourceDecision": result["EvalDecision"]}
        ]:
            if one["EvalResourceDecision"] == "allowed":
                allowed.add((result["EvalActionName"], one.get("EvalResourceName", "*")))
    return tuple(need.action for need in wanted if (need.action, need.resource) not in allowed)


def denied(documents: Iterable[Mapping[str, Any]], wanted: Iterable[Need]) -> tuple[str, ...]:
    """The needs that no statement of these documents allows, or that one denies.

    Fails closed: a statement with conditions allows nothing here, and denies.
    """
    statements = [s for document in documents for s in _listed(document.get("Statement", []))]
    return tuple(
        need.action
        for need in wanted
        if not any(_covers(s, need) for s in _of(statements, "Allow")) or _refused(statements, need)
    )


def trusts(document: Mapping[str, Any], service: str) -> bool:
    """Whether a trust policy lets a service take the role."""
    return any(
        service in _listed((s.get("Principal") or {}).get("Service", []))
        and _covers({**s, "Resource": "*"}, Need("sts:AssumeRole", "*"))
        for s in _of(_listed(document.get("Statement", [])), "Allow")
        if isinstance(s.get("Principal"), Mapping)
    )


def _of(statements: Iterable[Mapping[str, Any]], effect: str) -> Iterator[Mapping[str, Any]]:
    return (s for s in statements if s.get("Effect") == effect)


def _refused(statements: Iterable[Mapping[str, Any]], need: Need) -> bool:
    # A condition may or may not hold; read as if it did.
    return any(_covers({k: v for k, v in s.items() if k != "Condition"}, need) for s in _of(statements, "Deny"))


def _covers(statement: Mapping[str, Any], need: Need) -> bool:
    if statement.get("Condition"):
        return False
    return _means(statement, "Action", need.action, re.IGNORECASE) and _means(statement, "Resource", need.resource)


def _means(statement: Mapping[str, Any], element: str, text: str, how: int = 0) -> bool:
    """Whether its Action (or Resource) names this, or its NotAction (or NotResource) does not."""
    if (but := statement.get(f"Not{element}")) is not None:
        return not any(_matches(pattern, text, how) for pattern in _listed(but))
    return any(_matches(pattern, text, how) for pattern in _listed(statement.get(element, [])))


def _matches(pattern: str, text: str, how: int) -> bool:
    return (
        re.fullmatch(
            ".*".join(".".join(map(re.escape, part.split("?"))) for part in pattern.split("*")), text, re.DOTALL | how
        )
        is not None
    )


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
