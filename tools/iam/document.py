"""Permissions that calls needed -> a policy document for every fleet whose names begin as the defaults do. Pure."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.operator_permissions import NAMES

from localcloud import seed

READS = re.compile(r"[a-z0-9-]+:(Describe|Get|List|Simulate)")
#: Condition keys that make a permission tighter wherever every call had one and the same value of them.
TIGHTER = {"iam:passedtoservice": "iam:PassedToService", "ec2:createaction": "ec2:CreateAction"}
OURS = "Project"  # the tag in fleet_tags
MARKED = f"aws:ResourceTag/{OURS}"
MOST = 6144  # characters of a managed policy, blanks not counted (IAM and AWS STS quotas)


#: Reads; what builds and keeps a fleet; what drills it; what ends it.
PHASES = ("Read", "Build", "Drill", "Delete")


class Used(NamedTuple):
    """A permission that a call needed."""

    phase: str
    """of PHASES"""
    action: str
    resource: str
    conditions: frozenset[tuple[str, str]] = frozenset()
    """condition key -> value"""
    marked: str | None = None
    """the value of the resource's own tag, if it has it"""


def resource(arn: str) -> str:
    """What the document names instead of one ARN: any region and account, a fleet's names by how they begin, EC2's ids by their kind.

    Raises ValueError where a name is none of a fleet's: its defaults and NAMES have to be brought together.
    """
    if arn == "*":
        return arn
    _arn, _partition, service, region, account, last = arn.split(":", 5)
    place = f"arn:aws:{service}:{'*' if region else ''}:{'*' if account else ''}"
    if last == f"user/{seed.OPERATOR}":
        return f"{place}:user/${{aws:username}}"
    if service in ("ec2", "kms"):
        return f"{place}:{last.partition('/')[0]}/*"
    if service == "servicequotas":
        return f"{place}:{last}"
    last = re.sub("^autoScalingGroup:[^:]+:", "autoScalingGroup:*:", last)
    for kind, (names, _variable) in NAMES.items():
        if last.startswith(kind) and re.fullmatch(re.escape(names).replace(r"\*", ".*"), last.removeprefix(kind)):
            return f"{place}:{kind}{names}"
    raise ValueError(f"{last} is nothing of a fleet's")


def used(
    phase: str, action: str, arn: str, context: Mapping[str, tuple[str, ...]], tags: Mapping[str, str] | None
) -> Used:
    """A permission as a call needed it: IAM's action, its resource, its condition keys, the resource's tags."""
    conditions = frozenset((name, context[key][0]) for key, name in TIGHTER.items() if len(context.get(key, ())) == 1)
    return Used("Read" if READS.match(action) else phase, action, resource(arn), conditions, (tags or {}).get(OURS))


def document(calls: Iterable[Used]) -> dict[str, Any]:
    """The policy: reads, then what each phase adds. What an earlier phase allows is not said again."""
    granted: dict[tuple[str, str], str] = {}  # (action, resource) -> its phase
    several = defaultdict[tuple[str, str], list[Used]](list)
    for call in sorted(calls, key=lambda c: PHASES.index(c.phase)):
        granted.setdefault((call.action, call.resource), call.phase)
        several[call.action, call.resource].append(call)
    together = defaultdict[tuple[str, str, tuple[tuple[str, str], ...]], set[str]](
        set
    )  # (phase, action, conditions) -> resources
    for (action, where), phase in granted.items():
        together[phase, action, _conditions(phase, several[action, where])].add(where)
    alike = defaultdict[tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]], list[str]](list)
    for (phase, action, conditions), resources in together.items():
        alike[phase, tuple(sorted(resources)), conditions].append(action)
    rows = sorted(alike.items(), key=lambda row: (PHASES.index(row[0][0]), row[0][1], row[0][2]))
    return {"Version": "2012-10-17", "Statement": list(_statements(rows))}


def _conditions(phase: str, calls: list[Used]) -> tuple[tuple[str, str], ...]:
    """What was so in every one of these calls. Only what ends a fleet has to meet its mark: a resource that lost its tag can be mended."""
    alike = frozenset.intersection(*(call.conditions for call in calls))
    marks = {call.marked for call in calls}
    if phase == "Delete" and calls[0].resource.startswith("arn:aws:ec2") and len(marks) == 1 and None not in marks:
        alike |= {(MARKED, str(calls[0].marked))}
    return tuple(sorted(alike))


def _statements(
    rows: Iterable[tuple[tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]], list[str]]],
) -> Iterator[dict[str, Any]]:
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
    """A resource's kind as a word: `LaunchTemplate` of arn:aws:ec2:*:*:launch-template/*; `Any` of *."""
    last = where.split(":", 5)[5] if where.startswith("arn:") else where
    words = re.split(r"[^A-Za-z]", re.split(r"[/:]", last)[0])
    return "".join(word[:1].upper() + word[1:] for word in words) or "Any"


def written(policy: Mapping[str, Any]) -> str:
    """As the file holds it. Raises ValueError where a managed policy cannot."""
    if (size := len(re.sub(r"\s", "", json.dumps(policy)))) > MOST:
        raise ValueError(f"{size} characters are more than a managed policy may have ({MOST})")
    return json.dumps(policy, indent=2) + "\n"
