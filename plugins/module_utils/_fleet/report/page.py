# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the page shows, as values for its template, page.html.j2. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, duration
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.chart import (
    Fleet,
    Instance,
    chart,
    version_of,
    versions,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.outcome import (
    PASSED,
    SEVERITIES,
    SKIPPED,
    Result,
    conclusion,
    heading,
    results,
    totals,
    worst_first,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import shortened

#: Of findings, instances and drains that are alike, so many are shown; report.json has them all.
FEW = 12
INSTANCES = 40
#: JSON up to this length stays on one line.
LINE = 88
#: The width of a drain's bar, as a multiple of the longest drain or the limit.
ROOM = 1.04
#: An id up to this length is not broken at the end of a line.
UNBROKEN = 32

TITLES = {"error": "To fix", "warning": "To look at", "info": "Good to know"}
WORDS = {PASSED: "Passed", SKIPPED: "Skipped", "error": "Error", "warning": "Warning", "info": "Note"}
FACTS = {
    "Group": "group",
    "Account": "account",
    "Region": "region",
    "Endpoint": "endpoint",
    "Template version": "template_version",
    "Image": "image",
}


class Section(NamedTuple):
    """The results of one section of the runbook."""

    number: int
    heading: str
    outcome: str
    """The worst."""
    tally: str
    results: list[Result]


class Row(NamedTuple):
    """An instance in the table."""

    instance: Instance
    serving: bool
    """It only serves, on the desired version and image."""
    version: str
    condition: list[str]
    origin: list[str]
    work: list[str]


class Drain(NamedTuple):
    """A drain's bar, in percent of its full width."""

    drain: Mapping[str, Any]
    ended: str
    duration: str
    text: str
    over: bool
    """It took longer than the limit."""
    width: float
    limit: float
    """0: there is none."""


def context(fleet: Fleet, findings: Sequence[Finding]) -> dict[str, Any]:
    """The template's variables."""
    found = results(findings)
    numbers = Counter(result.outcome for result in found for _finding in result.findings)
    worst = next((result.outcome for result in worst_first(found) if result.outcome != "info"), None)
    return {
        "fleet": fleet,
        "at": _readable(fleet["at"]),
        "title": f"{fleet['name']}: {totals(findings) or conclusion(fleet, findings)}",
        "conclusion": _unbroken(shortened(conclusion(fleet, findings))),
        "outcome": worst or (PASSED if findings else "info"),
        "findings": len(findings),
        "passed": numbers[PASSED],
        "skipped": numbers[SKIPPED],
        "sections": [_section(number, found) for number in dict.fromkeys(result.section for result in found)],
        "failed": {
            severity: [r for r in found if r.outcome == severity] for severity in SEVERITIES if numbers[severity]
        },
        "failed_counts": {severity: count(numbers[severity], noun) for severity, noun in SEVERITIES.items()},
        "headline": _headline(fleet),
        "chart": chart(fleet),
        "instances": _instances(fleet),
        "facts": _facts(fleet),
        "drains": _drains(fleet),
        "price": {key.replace("_", " ").capitalize(): _amount(v) for key, v in (fleet["monthly_price"] or {}).items()},
    }


def evidence(result: Result) -> str:
    """The values behind a result's findings, as JSON; empty where there are none."""
    values = [finding.evidence for finding in result.findings if finding.evidence]
    more = f"\nand {len(values) - FEW:,} more, in report.json" if len(values) > FEW else ""
    return shortened("\n".join(map(_json, values[:FEW])), 10_000) + more if values else ""


def _json(value: Any) -> str:
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return line if len(line) <= LINE else json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _unbroken(sentence: str) -> list[tuple[str, bool]]:
    """The words of a sentence, and whether each is an id such as `hook-name` that is not to be broken."""
    return [(word, "-" in word and len(word) <= UNBROKEN) for word in sentence.split(" ")]


def _section(number: int, found: Sequence[Result]) -> Section:
    inside = [result for result in found if result.section == number]
    passed = [result for result in inside if result.outcome == PASSED]
    worst = next(iter([*worst_first(inside), *passed, *inside]))
    numbers = Counter(result.outcome for result in inside for _finding in result.findings)
    failed = [count(numbers[severity], noun) for severity, noun in SEVERITIES.items() if numbers[severity]]
    others = [
        f"{numbers[other]:,} {word}" for other, word in ((PASSED, "passed"), (SKIPPED, "skipped")) if numbers[other]
    ]
    return Section(number, heading(number), worst.outcome, ", ".join([*failed, *others]), inside)


def _headline(fleet: Fleet) -> list[tuple[str, str, str]]:
    """The fleet in large numbers: (number, what it counts, what to compare it with)."""
    instances = fleet["instances"]
    current = sum(version_of(i) == str(fleet["template_version"]) for i in instances)
    workers = [i["worker"] for i in instances if i["worker"]]
    found = [
        (_number(fleet["desired"]), "desired", f"{_number(fleet['min'])} to {_number(fleet['max'])}"),
        (_number(sum(i["state"] == "InService" for i in instances)), "in service", ""),
        (_number(current), f"on version {shortened(fleet['template_version'] or '-', 20)}", f"of {len(instances):,}"),
    ]
    if workers:
        busy = sum(bool(worker["busy"]) for worker in workers)
        found.append((_number(busy), "busy", f"of {count(len(workers), 'worker')}"))
    return found


def _number(value: int | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:,}"


def _instances(fleet: Fleet) -> list[Row]:
    """The instances, those that do not just serve first."""
    found = versions(fleet)
    rows = [
        _row(instance, _serving(instance, fleet), found[version_of(instance)].text) for instance in fleet["instances"]
    ]
    return sorted(rows, key=lambda row: (row.serving, row.instance["id"]))


def _row(instance: Instance, serving: bool, version: str) -> Row:
    seconds, launched, worker = instance["state_seconds"], instance["launched_at"], instance["worker"]
    condition = [instance["health"], f"for {duration(seconds)}" if seconds is not None else ""]
    condition.append("protected from scale-in" if instance["protected"] else "")
    origin = [instance["image"], f"launched {_readable(launched)}" if launched else ""]
    return Row(instance, serving, version, condition, origin, _work(worker) if worker else [])


def _work(worker: Mapping[str, Any]) -> list[str]:
    age = worker["heartbeat_age_seconds"]
    job = f"job {worker['job_id'] or 'unknown'}" if worker["busy"] else "idle"
    return [
        worker["status"],
        job,
        f"heartbeat {duration(age)} ago" if age is not None else "no heartbeat",
        worker["ip"],
    ]


def _readable(timestamp: object) -> str:
    """An ISO 8601 timestamp with a blank in place of its T."""
    return str(timestamp or "").replace("T", " ")


def _serving(instance: Instance, fleet: Fleet) -> bool:
    current = version_of(instance) == str(fleet["template_version"]) and instance["image"] == fleet["image"]
    return current and instance["state"] == "InService" and str(instance["health"]).lower() == "healthy"


def _facts(fleet: Fleet) -> dict[str, str]:
    seconds = {"Termination hook": fleet["hook_timeout_seconds"], "Drain limit": fleet["drain_limit_seconds"]}
    found = {name: fleet[key] for name, key in FACTS.items() if fleet[key]}
    return found | {name: duration(value) for name, value in seconds.items() if value is not None}


def _drains(fleet: Fleet) -> dict[str, Any] | None:
    """The longest drains, and a sentence about all of them."""
    drains = sorted(fleet["drains"], key=lambda drain: -drain["seconds"])
    if not drains:
        return None
    limit = fleet["drain_limit_seconds"] or 0
    full = ROOM * max(drains[0]["seconds"], limit, 1)
    median, longest = duration(drains[len(drains) // 2]["seconds"]), duration(drains[0]["seconds"])
    text = f"{count(len(drains), 'drain')}, half of them within {median}, the longest {longest}."
    if limit:
        over = sum(drain["seconds"] > limit for drain in drains)
        text += f" The limit is {duration(limit)}; {f'{over:,}' if over else 'none'} took longer."
    return {
        "text": text,
        "caption": f"The {FEW} longest" if len(drains) > FEW else "The longest first",
        "rows": [_drain(drain, limit, full) for drain in drains[:FEW]],
    }


def _drain(drain: Mapping[str, Any], limit: float, full: float) -> Drain:
    seconds = max(0.0, drain["seconds"])
    took = duration(seconds)
    text = took + (f" of {duration(limit)}" if limit else "")
    return Drain(
        drain, _readable(drain["ended_at"]), took, text, 0 < limit < seconds, 100 * seconds / full, 100 * limit / full
    )


def _amount(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, (dict, list)) else str(value)
