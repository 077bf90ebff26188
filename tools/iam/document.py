"""A policy document made of the permissions that calls need, for every fleet with names like the defaults. Pure."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.operator_permissions import NAMES

Conditions = tuple[tuple[str, str], ...]
Scope = tuple[str, tuple[str, ...], Conditions]  # a statement's phase, resources and conditions

#: What is deleted must have this tag of fleet_tags.
TAG = ("aws:ResourceTag/Project", "wekruit")
MAX_LENGTH = 6144  # characters of a managed policy without whitespace (IAM and AWS STS quotas)


#: Reading; building and changing a fleet; drilling it; deleting it; asking its instances; replacing those without the
#: agent; its secret's value; commands to its instances and sizes.
PHASES = ("Read", "Build", "Drill", "Delete", "Hosts", "Replace", "Secret", "Verify", "Command")


class Used(NamedTuple):
    """A permission that a call needs."""

    phase: str
    """of PHASES"""
    action: str
    resource: str
    conditions: frozenset[tuple[str, str]] = frozenset()
    """condition key -> value"""


def in_account(arn: str) -> str:
    """The pattern that the document has for a type of resource: any region and account, a fleet's names, any id.

    :param arn: as the reference has it: arn:${Partition}:iam::${Account}:role/${RoleNameWithPath}.
    """
    _arn, _partition, service, region, account, last = arn.split(":", 5)
    place = f"arn:aws:{service}:{'*' if region else ''}:{'*' if account else ''}"
    last = re.sub(r"\$\{\w+\}", "*", last)
    for kind, (names, _variable) in NAMES.items():
        if last == f"{kind}*":
            return f"{place}:{kind}{names}"
    return f"{place}:{last}"


def document(calls: Iterable[Used]) -> dict[str, Any]:
    """The policy: reads, then what each phase adds to the earlier ones."""
    granted: dict[tuple[str, str], str] = {}  # (action, resource) -> its phase
    several = defaultdict[tuple[str, str], list[Used]](list)
    for call in sorted(calls, key=lambda c: PHASES.index(c.phase)):
        granted.setdefault((call.action, call.resource), call.phase)
        several[call.action, call.resource].append(call)
    together = defaultdict[tuple[str, str, Conditions], set[str]](set)  # (phase, action, conditions) -> resources
    for (action, where), phase in granted.items():
        together[phase, action, _conditions(phase, several[action, where])].add(where)
    alike = defaultdict[Scope, list[str]](list)
    for (phase, action, conditions), resources in together.items():
        alike[phase, tuple(sorted(resources)), conditions].append(action)
    rows = sorted(alike.items(), key=lambda row: (PHASES.index(row[0][0]), row[0][1], row[0][2]))
    return {"Version": "2012-10-17", "Statement": list(_statements(rows))}


def _conditions(phase: str, calls: list[Used]) -> Conditions:
    """The conditions that hold for all of these calls.

    The tag is required for deleting only, so that a resource which lost its tag can be repaired.
    """
    common = frozenset.intersection(*(call.conditions for call in calls))
    if phase == "Delete" and calls[0].resource.startswith("arn:aws:ec2"):
        common |= {TAG}
    return tuple(sorted(common))


def _statements(rows: Iterable[tuple[Scope, list[str]]]) -> Iterator[dict[str, Any]]:
    names = set[str]()
    for (phase, resources, conditions), actions in rows:
        kinds = (
            "".join(dict.fromkeys(_kind(name) for name in resources))
            if len(resources) < 3
            else _kind(actions[0].partition(":")[0] + ":")
        )
        name = next(name for name in (f"{phase}{kinds}{number}" for number in ("", *range(2, 99))) if name not in names)
        names.add(name)
        found: dict[str, Any] = {"Sid": name, "Effect": "Allow", "Action": sorted(actions), "Resource": list(resources)}
        yield found | ({"Condition": {"StringEquals": dict(conditions)}} if conditions else {})


def _kind(where: str) -> str:
    """A resource's kind as a word: `LaunchTemplate` for arn:aws:ec2:*:*:launch-template/*, `Any` for *."""
    last = where.split(":", 5)[5] if where.startswith("arn:") else where
    words = re.split(r"[^A-Za-z]", re.split(r"[/:]", last)[0])
    return "".join(word[:1].upper() + word[1:] for word in words) or "Any"


def as_json(policy: Mapping[str, Any]) -> str:
    """The file's text. Raises ValueError if it is too long for a managed policy."""
    if (size := len(re.sub(r"\s", "", json.dumps(policy)))) > MAX_LENGTH:
        raise ValueError(f"{size} characters are more than a managed policy may have ({MAX_LENGTH})")
    return json.dumps(policy, indent=2) + "\n"
