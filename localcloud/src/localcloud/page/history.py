"""Lifecycle states over time: events and present states in, spans and counts out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from localcloud.autoscaling.groups import Event

#: Families of lifecycle states, in the order in which they are stacked, and what the page calls them.
FAMILIES = {
    "serving": "In service",
    "launching": "Launching",
    "draining": "Terminating",
    "standby": "Standby",
    "retained": "Retained",
}
#: The windows that a timeline can have, in seconds; the smallest that holds all events is taken.
WINDOWS = (60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)


def family(state: str) -> str:
    """The family of a lifecycle state; empty for what is outside the group."""
    if state == "InService":
        return "serving"
    if state.startswith("Pending"):
        return "launching"
    if state == "Terminating:Retained":
        return "retained"
    if state.startswith("Terminating"):
        return "draining"
    return "standby" if "Standby" in state else ""


@dataclass(frozen=True)
class Span:
    """A time in one lifecycle state, in seconds since the epoch."""

    state: str
    start: float
    end: float


def window_start(at: float, since: float, events: Iterable[Event]) -> float:
    """The start of a timeline until ``at``: the smallest window with all events, not before ``since``."""
    first = min((event.at for event in events), default=at)
    longest = at - since
    return at - min(longest, next((float(w) for w in WINDOWS if at - w <= first), longest))


def spans(
    events: Iterable[Event], present: Mapping[str, tuple[str, float]], start: float, end: float
) -> dict[str, list[Span]]:
    """Each instance's spans between start and end, in the order of their first changes.

    Args:
        events: changes of state, oldest first, none before ``start``.
        present: the instances' states now, and when they were launched.
    """
    current: dict[str, tuple[str, float]] = {}
    found: dict[str, list[Span]] = {id: [] for id in present}
    for event in events:
        state, since = current.get(event.instance_id, (event.before, start))
        if family(state) and event.at > since:
            found.setdefault(event.instance_id, []).append(Span(state, since, event.at))
        current[event.instance_id] = (event.after, event.at)
    for id, (state, launched_at) in present.items():
        state, since = current.get(id, (state, max(start, min(end, launched_at))))
        if family(state) and end > since:
            found[id].append(Span(state, since, end))
    return found


def counts(members: Iterable[Iterable[Span]], start: float, end: float, steps: int) -> dict[str, list[int]]:
    """How many instances were in each family at the end of each of so many equal steps."""
    changes = {name: [0] * (steps + 1) for name in FAMILIES}
    width = (end - start) / steps
    for member in members:
        for span in member:
            row = changes[family(span.state)]
            row[min(steps, int((span.start - start) / width))] += 1
            if span.end < end:
                row[min(steps, int((span.end - start) / width))] -= 1
    return {name: list(accumulate(row[:steps])) for name, row in changes.items()}
