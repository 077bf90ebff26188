# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet as a picture: an instance is a cell, its template version a shape and a colour, its lifecycle state the block it stands in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count as counted
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import duration
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.markup import Html, tag, together
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.tables import table
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import shortened

Fleet = Mapping[str, Any]
Instance = Mapping[str, Any]

#: In this order the blocks stand; states that are not here come after these, by name.
STATES = {
    "InService": "",
    "Pending": "launching",
    "Pending:Wait": "waiting for the launch hook",
    "Pending:Proceed": "launching",
    "Terminating": "terminating",
    "Terminating:Wait": "draining, held by the termination hook",
    "Terminating:Proceed": "terminating",
    "Terminating:Retained": "kept after an abandoned drain, still billed",
    "Detaching": "leaving the group",
    "EnteringStandby": "being set aside",
    "Standby": "set aside by an operator",
}
#: What counts towards the desired capacity.
COUNTED = ("InService", "Pending", "Pending:Wait", "Pending:Proceed")
#: Shapes of the versions that are not the wanted one, newest first; the last is shared by all that are left.
SHAPES = ("old", "older", "oldest")
NO_TEMPLATE = "none"

_WIDTH, _LARGEST, _SMALLEST = 640, 38, 6
#: In smaller cells a mark would be a speck.
_MARKED = 9

#: What cells refer to: ten by ten, each shape told apart without its colour.
SYMBOLS = Html(
    '<svg class="symbols" width="0" height="0" aria-hidden="true"><defs>'
    '<pattern id="stripes" width="3" height="3" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="gap" width="1.1" height="3"/></pattern>'
    '<symbol id="wanted" viewBox="0 0 10 10"><rect class="wanted" x=".6" y=".6" width="8.8" height="8.8" rx="1.8"/></symbol>'
    '<symbol id="old" viewBox="0 0 10 10"><path class="old" d="M3.2 .6H9.4V6.8L6.8 9.4H.6V3.2Z"/>'
    '<path fill="url(#stripes)" d="M3.2 .6H9.4V6.8L6.8 9.4H.6V3.2Z"/></symbol>'
    '<symbol id="older" viewBox="0 0 10 10"><path class="older" d="M5 .2L9.8 5L5 9.8L.2 5Z"/></symbol>'
    '<symbol id="oldest" viewBox="0 0 10 10"><path class="oldest" d="M5 .6L9.7 9.2H.3Z"/></symbol>'
    '<symbol id="none" viewBox="0 0 10 10"><circle class="none" cx="5" cy="5" r="4"/></symbol>'
    '<symbol id="missing" viewBox="0 0 10 10"><rect class="missing" x="1" y="1" width="8" height="8" rx="1.6"/></symbol>'
    '<symbol id="busy" viewBox="0 0 10 10"><circle class="mark" cx="5" cy="5" r="1.9"/></symbol>'
    '<symbol id="unhealthy" viewBox="0 0 10 10"><path class="cross" d="M2.4 2.4L7.6 7.6M7.6 2.4L2.4 7.6"/></symbol>'
    "</defs></svg>"
)


class Kind(NamedTuple):
    """How the instances of one template version are drawn, and what is said of it."""

    shape: str
    says: str


class Grid(NamedTuple):
    """Cells of one size for all blocks, so that areas compare."""

    side: int
    columns: int


def kinds(fleet: Fleet) -> dict[str, Kind]:
    """The template versions of the fleet's instances: the wanted one first, then the newest first."""
    wanted = str(fleet["template_version"])
    others = {_version(instance) for instance in fleet["instances"]} - {wanted, NO_TEMPLATE}
    found = {wanted: Kind("wanted", f"version {wanted}, as wanted")}
    for place, version in enumerate(sorted(others, key=_age, reverse=True)):
        is_old = version.isdecimal() and wanted.isdecimal() and int(version) < int(wanted)
        says = f"version {shortened(version, 40)}, {'old' if is_old else 'not the wanted one'}"
        found[version] = Kind(SHAPES[min(place, len(SHAPES) - 1)], says)
    if any(_version(instance) == NO_TEMPLATE for instance in fleet["instances"]):
        found[NO_TEMPLATE] = Kind("none", "no template version")
    return found


def missing(fleet: Fleet) -> int:
    """How many instances the group wants and does not have."""
    return max(0, (fleet["desired"] or 0) - sum(instance["state"] in COUNTED for instance in fleet["instances"]))


def grid(cells: int) -> Grid:
    """A picture about as wide as it is high by 1.6, of cells as large as that leaves room for."""
    columns = max(12, math.ceil(math.sqrt(1.6 * cells)))
    return Grid(max(_SMALLEST, min(_LARGEST, _WIDTH // columns)), columns)


def picture(fleet: Fleet) -> Html:
    """The blocks, their legend, and the same in figures."""
    instances, absent = fleet["instances"], missing(fleet)
    if not instances and not absent:
        return tag("p", "The group has no instance, and wants none.", class_="quiet")
    drawn, shapes = grid(len(instances) + absent), kinds(fleet)
    states = sorted({instance["state"] for instance in instances}, key=_rank)
    blocks = [
        _block(fleet, state, [i for i in instances if i["state"] == state], shapes, drawn, f"block-{place}")
        for place, state in enumerate(states, 1)
    ]
    if absent:
        blocks.append(_absent(absent, drawn))
    return together(
        [
            SYMBOLS,
            tag("div", *blocks, class_="blocks"),
            _legend(instances, shapes, drawn),
            _figures(fleet, states, shapes),
        ]
    )


def said_of(instance: Instance, kind: Kind) -> str:
    """One instance in words."""
    worker = instance["worker"]
    work = (
        []
        if worker is None
        else [f"busy with job {worker['job_id'] or 'unknown'}" if worker["busy"] else f"worker {worker['status']}"]
    )
    guarded = ["protected from scale-in"] if instance["protected"] else []
    words = [instance["state"], instance["health"], instance["zone"], kind.says, instance["type"], *guarded, *work]
    return f"{instance['id']}: {', '.join(str(word) for word in words if word)}"


def _block(
    fleet: Fleet, state: str, members: Sequence[Instance], shapes: Mapping[str, Kind], drawn: Grid, id: str
) -> Html:
    longest = max((i["state_seconds"] for i in members if i["state_seconds"] is not None), default=None)
    note = STATES.get(state, "")
    if longest is not None and state != "InService":
        limit = (
            f" of {duration(fleet['hook_timeout_seconds'])}"
            if state == "Terminating:Wait" and fleet["hook_timeout_seconds"]
            else ""
        )
        note = f"{note}{'; ' if note else ''}{'' if len(members) == 1 else 'longest '}{duration(longest)}{limit}"
    versions = Counter(_version(i) for i in members)
    described = ", ".join(f"{number:,} of {shapes[version].says}" for version, number in versions.most_common())
    busy, unhealthy = sum(_busy(i) for i in members), sum(_unhealthy(i) for i in members)
    cells = [
        _cell(i, shapes[_version(i)], place, drawn)
        for place, i in enumerate(sorted(members, key=lambda i: _order(i, shapes)))
    ]
    return tag(
        "figure",
        _caption(state, len(members), note),
        _drawing(
            id,
            f"{counted(len(members), 'instance')} in {state}",
            f"{described}; {busy} busy, {unhealthy} unhealthy.",
            cells,
            drawn,
        ),
    )


def _absent(number: int, drawn: Grid) -> Html:
    cells = [_use("missing", place, drawn) for place in range(number)]
    title = f"{counted(number, 'instance')} missing"
    return tag(
        "figure",
        _caption("Missing", number, "wanted, not launched"),
        _drawing("block-missing", title, "The desired capacity is not reached.", cells, drawn),
    )


def _caption(state: str, number: int, note: str) -> Html:
    return tag(
        "figcaption",
        tag("b", f"{number:,}"),
        " ",
        tag("span", shortened(state, 60)),
        tag("small", note) if note else None,
    )


def _drawing(id: str, title: str, described: str, cells: Sequence[Html], drawn: Grid) -> Html:
    columns = min(len(cells), drawn.columns)
    width, height = columns * drawn.side, math.ceil(len(cells) / drawn.columns) * drawn.side
    return tag(
        "svg",
        tag("title", title, id=f"{id}-title"),
        tag("desc", described, id=f"{id}-desc"),
        *cells,
        role="img",
        aria_labelledby=f"{id}-title",
        aria_describedby=f"{id}-desc",
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
    )


def _cell(instance: Instance, kind: Kind, place: int, drawn: Grid) -> Html:
    marks = [mark for mark, there in (("busy", _busy(instance)), ("unhealthy", _unhealthy(instance))) if there]
    drawings = [_use(kind.shape, place, drawn), *(_use(mark, place, drawn) for mark in marks if drawn.side >= _MARKED)]
    return tag("g", tag("title", shortened(said_of(instance, kind), 300)), *drawings)


def _use(symbol: str, place: int, drawn: Grid) -> Html:
    row, column = divmod(place, drawn.columns)
    gap = 1 if drawn.side < 12 else 2
    return tag(
        "use",
        href=f"#{symbol}",
        x=column * drawn.side + gap / 2,
        y=row * drawn.side + gap / 2,
        width=drawn.side - gap,
        height=drawn.side - gap,
    )


def _legend(instances: Sequence[Instance], shapes: Mapping[str, Kind], drawn: Grid) -> Html:
    told = [(kind.shape, kind.says) for kind in shapes.values()]
    if drawn.side >= _MARKED:
        told += [("busy", "busy with a job")] if any(map(_busy, instances)) else []
        told += [("unhealthy", "unhealthy")] if any(map(_unhealthy, instances)) else []
    swatches = [
        tag(
            "li",
            tag(
                "svg",
                tag("use", href=f"#{symbol}", width=10, height=10),
                viewBox="0 0 10 10",
                aria_hidden="true",
                class_=f"swatch {symbol}",
            ),
            says,
        )
        for symbol, says in told
    ]
    return tag("ul", *swatches, class_="legend", aria_label="Legend")


def _figures(fleet: Fleet, states: Sequence[str], shapes: Mapping[str, Kind]) -> Html | None:
    """What the picture shows, as a table."""
    if not states:
        return None
    numbers = Counter((i["state"], _version(i)) for i in fleet["instances"])
    rows = [
        [
            shortened(state, 60),
            *(f"{numbers[state, version]:,}" for version in shapes),
            f"{sum(numbers[state, v] for v in shapes):,}",
        ]
        for state in states
    ]
    told = table(
        "Instances by lifecycle state and template version",
        ["State", *(k.says for k in shapes.values()), "All"],
        rows,
        "figures",
    )
    return tag("details", tag("summary", "The picture in figures"), told)


def _version(instance: Instance) -> str:
    return str(instance["template_version"] or NO_TEMPLATE)


def _age(version: str) -> tuple[int, str]:
    return (int(version) if version.isdecimal() and version.isascii() else -1, version)


def _busy(instance: Instance) -> bool:
    return bool(instance["worker"] and instance["worker"]["busy"])


def _unhealthy(instance: Instance) -> bool:
    return str(instance["health"]).lower() != "healthy"


def _order(instance: Instance, shapes: Mapping[str, Kind]) -> tuple[int, bool, str]:
    return (list(shapes).index(_version(instance)), not _busy(instance), instance["id"])


def _rank(state: str) -> tuple[int, str]:
    return (list(STATES).index(state) if state in STATES else len(STATES), state)
