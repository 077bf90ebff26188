# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances as a chart: a block for each lifecycle state, a cell for each instance, shaped by its version."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, duration
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import shortened

Fleet = Mapping[str, Any]
Instance = Mapping[str, Any]

#: The order of the blocks; states that are not here come after these, by name.
STATES = {
    "InService": "",
    "Pending": "launching",
    "Pending:Wait": "waiting for the launch hook",
    "Pending:Proceed": "launching",
    "Terminating": "terminating",
    "Terminating:Wait": "draining, held by the termination hook",
    "Terminating:Proceed": "terminating",
    "Terminating:Retained": "a job may be lost or its agent failed, still billed",
    "Detaching": "leaving the group",
    "EnteringStandby": "entering standby",
    "Standby": "put into standby by an operator",
}
#: What counts towards the desired capacity.
COUNTED = ("InService", "Pending", "Pending:Wait", "Pending:Proceed")
#: Shapes of the versions other than the launch template's, newest first; all that are left share the last.
SHAPES = ("old", "older", "oldest")
NO_TEMPLATE = "none"

_WIDTH, _LARGEST, _SMALLEST = 640, 38, 6
#: In smaller cells a mark could not be seen.
_MARKED = 9


class Version(NamedTuple):
    """How the instances of one template version are drawn, and what they are called."""

    shape: str
    text: str


class Grid(NamedTuple):
    """One size of cell for all blocks, so that areas compare."""

    side: int
    columns: int

    @property
    def gap(self) -> int:
        """Between two cells."""
        return 1 if self.side < 12 else 2

    def position(self, place: int) -> tuple[float, float]:
        """x and y of the cell at that place."""
        row, column = divmod(place, self.columns)
        return column * self.side + self.gap / 2, row * self.side + self.gap / 2


class Cell(NamedTuple):
    """An instance, or a missing one (without a title)."""

    title: str
    symbols: tuple[str, ...]
    x: float
    y: float


class Block(NamedTuple):
    """The instances in one lifecycle state."""

    id: str
    state: str
    note: str
    title: str
    description: str
    cells: list[Cell]
    width: int
    height: int


class Chart(NamedTuple):
    """Everything that is drawn, and the same as numbers."""

    blocks: list[Block]
    cell: int
    """Width and height of a symbol."""
    legend: list[Version]
    columns: list[str]
    """The head of the table of numbers."""
    rows: list[list[str]]


def chart(fleet: Fleet) -> Chart | None:
    """The chart; None where the group has no instance, and should have none."""
    instances, absent = fleet["instances"], missing(fleet)
    if not instances and not absent:
        return None
    grid, found = fit(len(instances) + absent), versions(fleet)
    states = sorted({instance["state"] for instance in instances}, key=_state_order)
    blocks = [
        _block(fleet, state, [i for i in instances if i["state"] == state], found, grid, f"block-{place}")
        for place, state in enumerate(states, 1)
    ]
    if absent:
        cells = [Cell("", ("missing",), *grid.position(place)) for place in range(absent)]
        text = "The desired capacity is not reached."
        missed = f"{count(absent, 'instance')} missing"
        blocks.append(_sized("block-missing", "Missing", "desired, not launched", missed, text, cells, grid))
    numbers = Counter((i["state"], version_of(i)) for i in instances)
    rows = [[state, *(numbers[state, version] for version in found)] for state in states]
    return Chart(
        blocks,
        grid.side - grid.gap,
        _legend(instances, found, grid),
        ["State", *(version.text for version in found.values()), "All"],
        [[shortened(row[0], 60), *(f"{number:,}" for number in [*row[1:], sum(row[1:])])] for row in rows],
    )


def versions(fleet: Fleet) -> dict[str, Version]:
    """The template versions of the fleet's instances: the launch template's first, then the newest first."""
    current = str(fleet["template_version"])
    others = {version_of(instance) for instance in fleet["instances"]} - {current, NO_TEMPLATE}
    found = {current: Version("current", f"version {current}, as desired")}
    for place, version in enumerate(sorted(others, key=_age, reverse=True)):
        is_old = version.isdecimal() and current.isdecimal() and int(version) < int(current)
        text = f"version {shortened(version, 40)}, {'old' if is_old else 'not the desired one'}"
        found[version] = Version(SHAPES[min(place, len(SHAPES) - 1)], text)
    if any(version_of(instance) == NO_TEMPLATE for instance in fleet["instances"]):
        found[NO_TEMPLATE] = Version("none", "no template version")
    return found


def version_of(instance: Instance) -> str:
    """The instance's template version, or NO_TEMPLATE."""
    return str(instance["template_version"] or NO_TEMPLATE)


def missing(fleet: Fleet) -> int:
    """How many instances the group should have and does not."""
    return max(0, (fleet["desired"] or 0) - sum(instance["state"] in COUNTED for instance in fleet["instances"]))


def fit(cells: int) -> Grid:
    """A grid about 1.6 times as wide as high, of cells as large as that leaves room for."""
    columns = max(12, math.ceil(math.sqrt(1.6 * cells)))
    return Grid(max(_SMALLEST, min(_LARGEST, _WIDTH // columns)), columns)


def described(instance: Instance, version: Version) -> str:
    """One instance in words."""
    worker = instance["worker"]
    work = []
    if worker is not None:
        work = [f"busy with job {worker['job_id'] or 'unknown'}" if worker["busy"] else f"worker {worker['status']}"]
    protected = ["protected from scale-in"] if instance["protected"] else []
    values = [instance["state"], instance["health"], instance["zone"], version.text, instance["type"]]
    return f"{instance['id']}: {', '.join(str(word) for word in [*values, *protected, *work] if word)}"


def _block(
    fleet: Fleet, state: str, instances: Sequence[Instance], found: Mapping[str, Version], grid: Grid, id: str
) -> Block:
    numbers = Counter(map(version_of, instances))
    by_version = ", ".join(f"{number:,} of {found[version].text}" for version, number in numbers.most_common())
    marks = f"{sum(map(_busy, instances))} busy, {sum(map(_unhealthy, instances))} unhealthy."
    order = list(found)
    cells = [
        Cell(
            shortened(described(instance, found[version_of(instance)]), 300),
            (found[version_of(instance)].shape, *(_marks(instance) if grid.side >= _MARKED else ())),
            *grid.position(place),
        )
        for place, instance in enumerate(
            sorted(instances, key=lambda i: (order.index(version_of(i)), not _busy(i), i["id"]))
        )
    ]
    title = f"{count(len(instances), 'instance')} in {state}"
    return _sized(id, state, _note(fleet, state, instances), title, f"{by_version}; {marks}", cells, grid)


def _sized(id: str, state: str, note: str, title: str, text: str, cells: list[Cell], grid: Grid) -> Block:
    width = min(len(cells), grid.columns) * grid.side
    return Block(id, state, note, title, text, cells, width, math.ceil(len(cells) / grid.columns) * grid.side)


def _note(fleet: Fleet, state: str, instances: Sequence[Instance]) -> str:
    """What the state means, and how long the longest has been in it."""
    longest = max((i["state_seconds"] for i in instances if i["state_seconds"] is not None), default=None)
    notes = [STATES[state]] if STATES.get(state) else []
    if longest is not None and state != "InService":
        most = fleet["drain_limit_seconds"] if state == "Terminating:Wait" else None
        limit = f" of {duration(most)}" if most else ""
        notes.append(f"{'' if len(instances) == 1 else 'longest '}{duration(longest)}{limit}")
    return "; ".join(notes)


def _legend(instances: Sequence[Instance], found: Mapping[str, Version], grid: Grid) -> list[Version]:
    marks = {mark for instance in instances for mark in _marks(instance)} if grid.side >= _MARKED else set()
    texts = {"busy": "busy with a job", "unhealthy": "unhealthy"}
    return [*found.values(), *(Version(mark, text) for mark, text in texts.items() if mark in marks)]


def _marks(instance: Instance) -> tuple[str, ...]:
    return tuple(mark for mark, set_ in (("busy", _busy(instance)), ("unhealthy", _unhealthy(instance))) if set_)


def _busy(instance: Instance) -> bool:
    return bool(instance["worker"] and instance["worker"]["busy"])


def _unhealthy(instance: Instance) -> bool:
    return str(instance["health"]).lower() != "healthy"


def _age(version: str) -> tuple[int, str]:
    return (int(version) if version.isdecimal() and version.isascii() else -1, version)


def _state_order(state: str) -> tuple[int, str]:
    return (list(STATES).index(state) if state in STATES else len(STATES), state)
