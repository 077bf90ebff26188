# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report for people: one page that needs nothing but itself, and runs no script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count as counted
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import duration
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report import chart as picture
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report import outcome as verdict
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.chart import Fleet, Instance
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.markup import Html, tag, together
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.outcome import SEVERITIES, Result
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.style import STYLE
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.tables import table
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import shortened, visible

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
#: Nothing but the page's own style can have any effect, whatever a tag or a registry row holds.
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; form-action 'none'"
#: Of findings, instances and drains that are alike, so many are told; report.json has them all.
FEW = 12
ROWS = 40
LINE = 88
#: Right of the longest bar or the limit some room is left.
ROOM = 1.04
#: A longer id may be broken.
ID = 32

TITLES = {"error": "To mend", "warning": "To look at", "info": "Good to know"}
WORDS = {"ok": "Holds", "skipped": "Skipped", "error": "Error", "warning": "Warning", "info": "Note"}
#: The mark of an outcome, in a box of 16 by 16: its shape tells it without its colour.
MARKS = {
    "ok": '<circle cx="8" cy="8" r="8"/><path class="in" d="M4.4 8.4L7 11L11.7 5.6"/>',
    "skipped": '<circle cx="8" cy="8" r="8"/><path class="in" d="M4.6 8H11.4"/>',
    "error": '<path d="M4.7 0H11.3L16 4.7V11.3L11.3 16H4.7L0 11.3V4.7Z"/><path class="in" d="M5 5L11 11M11 5L5 11"/>',
    "warning": '<path d="M8 .6L16 15.2H0Z"/><path class="in" d="M8 5.6V10M8 12.2V12.8"/>',
    "info": '<rect width="16" height="16" rx="4"/><path class="in" d="M8 7.2V12M8 4.2V4.6"/>',
}


def to_html(fleet: Fleet, findings: Sequence[Finding]) -> str:
    """The whole page."""
    found = verdict.results(findings)
    body = tag(
        "body",
        tag("header", tag("p", tag("b", "Fleet report"), " ", shortened(fleet["name"], 120)), _time(fleet["at"])),
        tag(
            "main",
            _verdict(fleet, findings, found),
            *(_findings(severity, found) for severity in SEVERITIES),
            _fleet(fleet),
            _drains(fleet),
            _price(fleet["monthly_price"]),
            _sections(found),
        ),
        tag("footer", tag("p", "Written by wekruit.ghosthands. The same for programs: report.json, report.xml.")),
    )
    return f"<!doctype html>\n{tag('html', _head(fleet, findings), body, lang='en')}\n"


def _head(fleet: Fleet, findings: Sequence[Finding]) -> Html:
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag(
            "title",
            shortened(f"{fleet['name']}: {verdict.totals(findings) or verdict.conclusion(fleet, findings)}", 200),
        ),
        # Without an icon of its own a browser asks the server for one.
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(STYLE)),
    )


def _time(at: str) -> Html:
    return tag("p", tag("time", shortened(at, 60).replace("T", " "), datetime=at), class_="time")


# --- the verdict -------------------------------------------------------------------------------------------------------------------------


def _verdict(fleet: Fleet, findings: Sequence[Finding], found: Sequence[Result]) -> Html:
    worst = next(iter(verdict.worst_first(found)), None)
    how = worst.outcome if worst and worst.outcome != "info" else "ok" if findings else "info"
    held = sum(len(check.findings) for check in found if check.outcome == verdict.PASSED)
    skipped = sum(len(check.findings) for check in found if check.outcome == verdict.SKIPPED)
    facts = (
        f"{held:,} of {counted(len(findings), 'finding')} hold{f', {skipped:,} could not be looked at' if skipped else ''}, "
        f"in {counted(len({c.section for c in found}), 'section')} of the runbook."
    )
    return tag(
        "section",
        _mark(how),
        tag("h1", _unbroken(shortened(verdict.conclusion(fleet, findings))), id="verdict"),
        tag("p", facts) if findings else None,
        _contents(found),
        class_=f"verdict {how}",
        aria_labelledby="verdict",
    )


def _contents(found: Sequence[Result]) -> Html | None:
    """A line of the runbook's sections, each with the worst that was found in it."""
    if not found:
        return None
    links = []
    for section in dict.fromkeys(check.section for check in found):
        inside = [check for check in found if check.section == section]
        worst = next(
            iter(
                [
                    *verdict.worst_first(inside),
                    *(check for check in inside if check.outcome == verdict.PASSED),
                    inside[0],
                ]
            )
        )
        says = f"{verdict.heading(section)}: {_tally(inside)}"
        links.append(
            tag(
                "li",
                tag(
                    "a",
                    _mark(worst.outcome),
                    f" §{section}",
                    tag("span", says, class_="unseen"),
                    href=f"#section-{section}",
                    title=says,
                ),
            )
        )
    return tag("nav", tag("ul", *links), aria_label="Sections of the runbook")


def _unbroken(sentence: str) -> Html:
    """A sentence whose lines do not end within an id such as `hook-name`."""
    words = [
        tag("span", word, class_="id") if "-" in word and len(word) <= ID else word for word in sentence.split(" ")
    ]
    return together([words[0], *(part for word in words[1:] for part in (" ", word))])


def _tally(inside: Iterable[Result]) -> str:
    numbers: dict[str, int] = {}
    for check in inside:
        numbers[check.outcome] = numbers.get(check.outcome, 0) + len(check.findings)
    bad = [counted(numbers[severity], word) for severity, word in SEVERITIES.items() if severity in numbers]
    held, skipped = numbers.get(verdict.PASSED, 0), numbers.get(verdict.SKIPPED, 0)
    hold = [f"{held:,} hold{'s' if held == 1 else ''}"] if held else []
    return ", ".join([*bad, *hold, *([f"{skipped:,} skipped"] if skipped else [])])


def _mark(how: str) -> Html:
    return Html(
        f'<svg class="icon {how}" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">{MARKS[how]}</svg>'
    )


# --- what does not hold ------------------------------------------------------------------------------------------------------------------


def _findings(severity: str, found: Sequence[Result]) -> Html | None:
    bad = [check for check in found if check.outcome == severity]
    if not bad:
        return None
    number = sum(len(check.findings) for check in bad)
    return tag(
        "section",
        tag("h2", f"{TITLES[severity]} ", tag("small", counted(number, SEVERITIES[severity])), id=f"{severity}s"),
        *map(_finding, bad),
        aria_labelledby=f"{severity}s",
    )


def _finding(check: Result) -> Html:
    details = list(dict.fromkeys(shortened(finding.detail) for finding in check.findings))
    more = [tag("li", detail) for detail in details[1:FEW]]
    if len(details) > FEW:
        more.append(tag("li", f"and {len(details) - FEW:,} more like these", class_="dim"))
    many = f" {len(check.findings):,} times." if len(check.findings) > 1 else ""
    return tag(
        "article",
        _mark(check.outcome),
        tag("h3", tag("span", f"{WORDS[check.outcome]}: ", class_="unseen"), details[0]),
        tag("p", tag("code", shortened(check.id, 120)), f" in {verdict.heading(check.section)}.{many}", class_="dim"),
        tag("ul", *more) if more else None,
        *(_remedy(remedy) for remedy in list(dict.fromkeys(f.remedy for f in check.findings if f.remedy.text))[:FEW]),
        _evidence(check.findings),
        class_=f"finding {check.outcome}",
    )


def _remedy(remedy: Remedy) -> Html:
    """A remedy's words and its commands; one click selects a command, for there is no script to copy it."""
    commands = [tag("pre", tag("code", visible(command))) for command in remedy.commands]
    return tag("div", tag("h4", "Remedy"), tag("p", shortened(remedy.text)), *commands, class_="remedy")


def _evidence(findings: Sequence[Finding]) -> Html | None:
    told = [finding.evidence for finding in findings if finding.evidence]
    if not told:
        return None
    more = f"\nand {len(told) - FEW:,} more, in report.json" if len(told) > FEW else ""
    lines = "\n".join(map(_data, told[:FEW]))
    return tag("details", tag("summary", "Evidence"), tag("pre", shortened(lines, 10_000) + more), class_="evidence")


def _data(value: Any) -> str:
    """A value as JSON, on one line where it is short."""
    line = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return line if len(line) <= LINE else json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


# --- the fleet ---------------------------------------------------------------------------------------------------------------------------


def _fleet(fleet: Fleet) -> Html:
    return tag(
        "section",
        tag("h2", "The fleet", id="fleet"),
        _numbers(fleet),
        picture.picture(fleet),
        _instances(fleet),
        _facts(fleet),
        class_="card",
        aria_labelledby="fleet",
    )


def _numbers(fleet: Fleet) -> Html:
    members = fleet["instances"]
    wanted = [i for i in members if str(i["template_version"]) == str(fleet["template_version"])]
    workers = [i["worker"] for i in members if i["worker"]]
    told = [
        (_or_dash(fleet["desired"]), "desired", f"{_or_dash(fleet['min'])} to {_or_dash(fleet['max'])}"),
        (sum(i["state"] == "InService" for i in members), "in service", ""),
        (len(wanted), f"on version {shortened(_or_dash(fleet['template_version']), 20)}", f"of {len(members):,}"),
        (sum(bool(w["busy"]) for w in workers), "busy", f"of {counted(len(workers), 'worker')}") if workers else None,
    ]
    items = [
        tag(
            "div",
            tag("dt", name),
            tag("dd", tag("b", f"{n:,}" if isinstance(n, int) else n), tag("small", f" {beside}") if beside else None),
        )
        for n, name, beside in filter(None, told)
    ]
    return tag("dl", *items, class_="numbers")


def _instances(fleet: Fleet) -> Html | None:
    """The instances as a table, whoever needs a look first."""
    members = sorted(fleet["instances"], key=lambda i: (_serves(i, fleet), i["id"]))
    if not members:
        return None
    shapes = picture.kinds(fleet)
    rows = [_instance(i, shapes[str(i["template_version"] or picture.NO_TEMPLATE)].says) for i in members[:ROWS]]
    left = len(members) - ROWS
    caption = "Who does not just serve comes first" + (f"; {left:,} more are in report.json" if left > 0 else "")
    columns = ["Instance", "State", "Made of", "Worker"]
    return tag("details", tag("summary", counted(len(members), "instance")), table(caption, columns, rows, "instances"))


def _instance(i: Instance, version: str) -> list[str]:
    long = [f"for {duration(i['state_seconds'])}"] if i["state_seconds"] is not None else []
    worker = i["worker"]
    state = [i["health"], *long, *(["protected from scale-in"] if i["protected"] else [])]
    return [
        _two(tag("code", shortened(i["id"], 60)), [i["zone"], i["type"]]),
        _two(tag("b", shortened(i["state"], 60)), state),
        _two(version, [i["image"], i["launched_at"] and f"launched {str(i['launched_at']).replace('T', ' ')}"]),
        _two(shortened(worker["id"], 80), _work(worker)) if worker else "",
    ]


def _work(worker: Mapping[str, Any]) -> list[Any]:
    age = worker["heartbeat_age_seconds"]
    return [
        worker["status"],
        f"job {worker['job_id'] or 'unknown'}" if worker["busy"] else "idle",
        f"heartbeat {duration(age)} ago" if age is not None else "no heartbeat",
        worker["ip"],
    ]


def _two(first: str, beneath: Iterable[Any]) -> Html:
    return together([first, tag("small", ", ".join(shortened(word, 80) for word in beneath if word))])


def _serves(i: Instance, fleet: Fleet) -> bool:
    right = str(i["template_version"]) == str(fleet["template_version"]) and i["image"] == fleet["image"]
    return right and i["state"] == "InService" and str(i["health"]).lower() == "healthy"


def _facts(fleet: Fleet) -> Html:
    seconds = {"Termination hook": fleet["hook_timeout_seconds"], "Drain limit": fleet["drain_limit_seconds"]}
    told = {
        "Group": fleet["group"],
        "Account": fleet["account"],
        "Region": fleet["region"],
        "Endpoint": fleet["endpoint"],
        "Template version": fleet["template_version"],
        "Image": fleet["image"],
        **{name: duration(value) for name, value in seconds.items() if value is not None},
    }
    return _pairs({name: value for name, value in told.items() if value})


def _pairs(told: Mapping[str, Any]) -> Html:
    return tag(
        "dl",
        *(tag("div", tag("dt", shortened(name, 80)), tag("dd", shortened(value, 300))) for name, value in told.items()),
    )


def _or_dash(value: Any) -> Any:
    return "\N{EN DASH}" if value is None or value == "" else value


# --- drains and price --------------------------------------------------------------------------------------------------------------------


def _drains(fleet: Fleet) -> Html | None:
    """The longest drains, as bars against the limit."""
    drains = sorted(fleet["drains"], key=lambda drain: -drain["seconds"])
    if not drains:
        return None
    limit = fleet["drain_limit_seconds"]
    full = ROOM * max([drain["seconds"] for drain in drains] + [limit or 0, 1])
    rows = [_drain(drain, limit, full) for drain in drains[:FEW]]
    over = sum(drain["seconds"] > limit for drain in drains) if limit else 0
    middle = duration(drains[len(drains) // 2]["seconds"])
    words = (
        f"{counted(len(drains), 'drain')}, half of them within {middle}, the longest {duration(drains[0]['seconds'])}."
    )
    bound = f" The limit is {duration(limit)}; {'none' if not over else f'{over:,}'} took longer." if limit else ""
    left = f"The {FEW} longest" if len(drains) > FEW else "The longest first"
    return tag(
        "section",
        tag("h2", "Drains", id="drains"),
        tag("p", words + bound),
        table(left, ["Instance", "Took", "Ended"], rows, "drains"),
        class_="card",
        aria_labelledby="drains",
    )


def _drain(drain: Mapping[str, Any], limit: float | None, full: float) -> list[str]:
    seconds = max(0.0, drain["seconds"])
    over = limit is not None and seconds > limit
    says = duration(seconds) + (f" of {duration(limit)}" if limit else "")
    percent = f"{100 * seconds / full:.2f}%"
    strip = tag(
        "svg",
        tag("title", says),
        tag("rect", class_="over" if over else "within", width=percent, height="100%"),
        # What lies beyond the limit is striped: it shows on paper too.
        tag(
            "rect",
            class_="striped",
            x=f"{100 * (limit or 0) / full:.2f}%",
            width=f"{100 * (seconds - (limit or 0)) / full:.2f}%",
            height="100%",
        )
        if over
        else None,
        tag("line", class_="limit", x1=f"{100 * limit / full:.2f}%", x2=f"{100 * limit / full:.2f}%", y1="0", y2="100%")
        if limit
        else None,
        role="img",
        aria_label=says,
        class_="bar",
    )
    said = tag("b" if over else "span", f"{duration(seconds)}{', longer than the limit' if over else ''}")
    ended = _two(shortened(drain["outcome"] or "", 120), [str(drain["ended_at"] or "").replace("T", " ")])
    return [tag("code", shortened(drain["instance"], 60)), together([strip, said]), ended]


def _price(price: Mapping[str, Any] | None) -> Html | None:
    if not price:
        return None
    told = {key.replace("_", " ").capitalize(): _amount(value) for key, value in price.items()}
    return tag(
        "section", tag("h2", "Price by the month", id="price"), _pairs(told), class_="card", aria_labelledby="price"
    )


def _amount(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, (dict, list)) else str(value)


# --- every check -------------------------------------------------------------------------------------------------------------------------


def _sections(found: Sequence[Result]) -> Html | None:
    if not found:
        return None
    parts = [
        _section(section, [c for c in found if c.section == section])
        for section in dict.fromkeys(c.section for c in found)
    ]
    return tag("section", tag("h2", "Every check", id="checks"), *parts, class_="card", aria_labelledby="checks")


def _section(section: int, inside: Sequence[Result]) -> Html:
    rows = [
        [tag("code", shortened(c.id, 120)), together([_mark(c.outcome), " ", WORDS[c.outcome]]), _said(c)]
        for c in inside
    ]
    return together(
        [
            tag("h3", verdict.heading(section), " ", tag("small", _tally(inside)), id=f"section-{section}"),
            table(f"Checks of {verdict.heading(section)}", ["Check", "Outcome", "Finding"], rows, "checks"),
        ]
    )


def _said(check: Result) -> str:
    more = len(check.findings) - 1
    return shortened(check.findings[0].detail) + (f" And {more:,} more." if more else "")
