# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was not made by the playbooks, and what they would change of it, for people to decide. Pure.

What keeps a thing is not written here: it is the `fleet_*` variables that the task itself uses for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import listed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.change import Change
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import (
    count,
    differences,
    first_of,
    short,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.ownership import KEY, VALUE

# module -> (what it makes, the parameter that names it). What else the playbooks make is either shared between fleets
# or of no use to anybody else.
ADOPTED = {
    "wekruit.ghosthands.autoscaling_group_settings": ("Auto Scaling group", "name"),
    "amazon.aws.ec2_launch_template": ("launch template", "template_name"),
    "amazon.aws.iam_role": ("role", "name"),
    "amazon.aws.ec2_security_group": ("security group", "name"),
}
# What only AWS knows is decided by these options (site_comparison.site_ids).
DECIDED_BY = {"image": "fleet_image", "subnets": "fleet_subnet_ids", "worker_image": "fleet_worker_image"}
ELSEWHERE = {"SecurityGroupIds": "network_interfaces names the security group"}


class Planned(NamedTuple):
    """A task that would change something."""

    task: Mapping[str, Any]
    """as it is written"""
    full_module: str
    change: Change


def is_foreign(module: str, found: Any) -> bool:
    """Whether a resource that a task would change was made by somebody else."""
    if module not in ADOPTED or found is None:
        return False
    if isinstance(found, Group):
        return KEY not in found.tags or found.tags[KEY].value != VALUE
    return {"Key": KEY, "Value": VALUE} not in found.get("Tags", [])


def plan(tasks: Iterable[Planned], group: Group | None, without_agent: Sequence[str]) -> list[str]:
    """What adopting would change, and what it would leave alone; a line each."""
    lines = list[str]()
    for planned in tasks:
        change = planned.change
        lines.append(
            f"{change.section}: {change.task}" + (": does not exist, would be created" if change.missing else "")
        )
        if not change.missing:
            lines += [f"  {line}" for line in _details(planned)]
    if group:
        lines.append(
            f"stays: minimum {group.min_size}, maximum {group.max_size}, desired capacity {group.desired_capacity}, "
            "other tags, other hooks of the group, other policies of the role, every instance"
        )
    if without_agent:
        lines.append(
            f"{count(len(without_agent), 'instance')} without this kit's agent: {first_of(without_agent)}. Adoption "
            "protects them from scale-in; replace_unmanaged.yml replaces them, one by one, when they are idle"
        )
    return lines


def _details(planned: Planned) -> Iterator[str]:
    for name, (before, after) in planned.change.parameters.items():
        if name in ("rules", "rules_egress"):
            yield from _rules(planned.task, name, before or [], after or [])
        elif name in ("policy_json", "policy", "assume_role_policy_document"):
            yield from (f"{name}: {line}" for line in _statements(before, after))
        elif name == "user_data":
            yield f"user_data: {_script(before)} -> {_script(after)}"
        elif name == "tags":
            yield f"{', '.join(differences(name, before or {}, after or {}))}{_keep(planned, name)}"
        elif after is None:
            yield f"{name}: {short(before)} would be removed; {ELSEWHERE.get(name, 'no variable keeps it')}"
        else:
            yield f"{', '.join(differences(name, before, after))}{_keep(planned, name)}"


def _rules(task: Mapping[str, Any], name: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[str]:
    """A line for each rule; one whose description alone differs is not one that is removed."""
    direction = "outbound" if name == "rules_egress" else "inbound"
    was, becomes = {tuple(r[:4]): r[4] for r in before}, {tuple(r[:4]): r[4] for r in after}
    for rule, text in was.items():
        if rule not in becomes:
            named = f" ({text})" if text else ""
            yield f"{name}: {direction} {_rule(rule)}{named} would be removed; {_keeps_rule(task, rule, direction)}"
        elif becomes[rule] != text:
            yield f"{name}: {direction} {_rule(rule)}: its description {text!r} -> {becomes[rule]!r}"
    for rule in becomes.keys() - was.keys():
        yield f"{name}: {direction} {_rule(rule)} would be added"


def _rule(rule: tuple[Any, ...]) -> str:
    protocol, first, last, target = rule
    ports = "" if first == -1 else f" {first}" if first == last else f" {first}-{last}"
    return f"{'all traffic' if protocol == '-1' else protocol}{ports} {target}"


def _keeps_rule(task: Mapping[str, Any], rule: tuple[Any, ...], direction: str) -> str:
    """The variable for this port and this kind of target."""
    protocol, first, last, target = rule
    kind = (
        "security_group_ids" if target.startswith("sg-") else "prefix_list_ids" if target.startswith("pl-") else "cidrs"
    )
    ports = task.get("vars", {}).get("__fleet_ports", [])
    door = next((p for p in ports if str(p["port"]) == str(first) == str(last)), None)
    if direction == "inbound" and protocol == "tcp" and door:
        return f"to keep it, add {target} to {', '.join(_variables(door[kind]))}"
    return "no variable keeps it: put it into a security group of its own"


def _statements(before: Any, after: Any) -> Iterator[str]:
    """A line for each statement of a policy that differs, by its Sid."""
    was, becomes = _by_sid(before), _by_sid(after)
    for sid in sorted(was.keys() | becomes.keys()):
        if sid not in becomes:
            yield f"statement {sid} would be removed: {short(was[sid])}; a policy of another name stays"
        elif sid not in was:
            yield f"statement {sid} would be added"
        elif was[sid] != becomes[sid]:
            parts = (key for key in sorted(was[sid].keys() | becomes[sid].keys()) if key != "Sid")
            for key in parts:
                if (old := was[sid].get(key)) != (new := becomes[sid].get(key)):
                    yield f"statement {sid}: {key} {_less(old, new)}"


def _by_sid(document: Any) -> dict[str, Any]:
    statements = listed(document.get("Statement", [])) if isinstance(document, Mapping) else []
    return {str(one.get("Sid") or f"number {number}"): one for number, one in enumerate(statements, 1)}


def _less(old: Any, new: Any) -> str:
    """How a list of actions or resources differs."""
    was, becomes = ([str(v) for v in listed(value)] if value is not None else [] for value in (old, new))
    removed, added = ([v for v in one if v not in other] for one, other in ((was, becomes), (becomes, was)))
    parts = [f"loses {', '.join(removed)}" if removed else "", f"gets {', '.join(added)}" if added else ""]
    return " and ".join(filter(None, parts))


def _script(text: Any) -> str:
    lines = str(text or "").splitlines()
    return f"{count(len(lines), 'line')} that begin with {lines[0][:40]!r}" if lines else "none"


def _keep(planned: Planned, parameter: str) -> str:
    """Which variables decide the value."""
    names = _variables(_expanded(planned.task, planned.task[planned.full_module].get(parameter)))
    return f" ({', '.join(names)})" if names else ""


def _expanded(task: Mapping[str, Any], value: Any) -> str:
    """The text of a parameter, with that of the task's own variables that it uses."""
    text, known = json.dumps(value, default=str), dict(task.get("vars") or {})
    for name in [name for name in known if name in text]:
        text += _expanded({"vars": {k: v for k, v in known.items() if k != name}}, known[name])
    return text


def _variables(text: Any) -> list[str]:
    """The options of a fleet in a template, in order."""
    ids = re.findall(r"__fleet_drift\.ids\.(\w+)", str(text))
    named = re.findall(r"(?<![\w])fleet_[a-z0-9_]+", str(text))
    return list(dict.fromkeys([*(DECIDED_BY[id] for id in ids if id in DECIDED_BY), *named]))
