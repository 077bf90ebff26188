"""``PageData`` as HTML: pure and self-contained."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from localcloud import fleet
from localcloud.page import history
from localcloud.page.data import GroupData, PageData

HERE = Path(__file__).parent
STYLE = (HERE / "page.css").read_text(encoding="utf-8")
SCRIPT = (HERE / "page.js").read_text(encoding="utf-8")
#: A table shows up to ROWS instances; of larger groups FEW.
ROWS = 40
FEW = 12
#: Into how many steps the chart of a group's instances is divided.
STEPS = 240


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


#: Only the page's own style and script are allowed, whatever a tag's value or a name contains.
HEADERS = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
]


@dataclass(frozen=True)
class Bar:
    """A piece of a strip: its family of states, start and length (percent), whether it waits, its label."""

    family: str
    start: float
    length: float
    waits: bool = False
    label: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table of instances. One that has left the group has only ``id`` and ``timeline``."""

    id: str
    timeline: tuple[Bar, ...]
    state: str = ""
    family: str = ""
    zone: str = ""
    version: str = ""
    note: str = ""
    image: str = ""
    kind: str = ""
    healthy: bool = True
    running: bool = True
    protected: bool = False


@dataclass(frozen=True)
class Countdown:
    """Time left of a whole, in seconds."""

    left: float
    whole: float

    @property
    def percent(self) -> float:
        """What is left, of a hundred."""
        return round(100 * self.left / self.whole, 2) if self.whole else 0.0


@dataclass(frozen=True)
class Waiting:
    """An open lifecycle action."""

    instance_id: str
    hook: fleet.Hook
    heartbeat: Countdown
    whole: Countdown


@dataclass(frozen=True)
class GroupView:
    """A group as the template shows it.

    Attributes:
        start: where its timelines begin, seconds since the epoch.
        numbers: instances by family of lifecycle states.
        composition: what instances are made of: a heading, and how many there are of each kind.
        instances, aside: rows; ``hidden`` and ``aside_hidden`` are left out of them.
        areas: the chart's layers: family and SVG path in a box of ``STEPS`` by 100.
    """

    of: GroupData
    start: float
    numbers: dict[str, int]
    strip: tuple[Bar, ...]
    desired_at: float
    composition: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    waiting: tuple[Waiting, ...]
    waiting_hidden: int
    instances: tuple[Row, ...]
    hidden: int
    aside: tuple[Row, ...]
    aside_hidden: int
    areas: tuple[tuple[str, str], ...]
    peak: int
    summary: str


def html(data: PageData) -> str:
    """The whole page."""
    return _TEMPLATE.render(
        data=data,
        views=[_group_view(group_data, data) for group_data in data.groups],
        families=history.FAMILIES,
        steps=STEPS,
        style=Markup(STYLE),
        script=Markup(SCRIPT),
    )


def duration(seconds: float) -> str:
    """``4:05`` or ``1:04:05``."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ago(seconds: float) -> str:
    """How long before now a timeline begins: ``10 min``, ``1 h 30 min`` or ``60 s``."""
    if seconds < 120:
        return f"{round(seconds)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(part for part in (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "") if part)


def _group_view(of: GroupData, data: PageData) -> GroupView:
    start = history.window_start(data.at, data.since, of.events)
    present = {i.id: (i.state, i.launched_at) for i in of.instances}
    timelines = history.spans(of.events, present, start, data.at)
    numbers = Counter(history.family(i.state) for i in of.instances)
    sized = max(len(of.instances), of.settings.desired, 1)
    rows = [_row(i, of, _timeline(timelines[i.id], start, data.at)) for i in of.instances]
    gone = [Row(id, _timeline(spans, start, data.at)) for id, spans in timelines.items() if id not in present and spans]
    instances, hidden = _shown([row for row in rows if row.family not in ("standby", "retained")], gone)
    aside = [row for row in rows if row.family in ("standby", "retained")]
    waiting = _waiting(of, data.at)
    areas, peak = _areas(timelines.values(), start, data.at)
    return GroupView(
        of=of,
        start=start,
        numbers={name: numbers[name] for name in history.FAMILIES},
        strip=_strip(numbers, sized),
        desired_at=100 * of.settings.desired / sized,
        composition=_composition(of),
        waiting=waiting[:FEW],
        waiting_hidden=max(0, len(waiting) - FEW),
        instances=instances,
        hidden=hidden,
        aside=tuple(aside[:FEW]),
        aside_hidden=max(0, len(aside) - FEW),
        areas=areas,
        peak=peak,
        summary=", ".join(
            f"{numbers[name]} {label.lower()}" for name, label in history.FAMILIES.items() if numbers[name]
        )
        or "no instances",
    )


def _strip(numbers: Counter[str], sized: int) -> tuple[Bar, ...]:
    bars, start = [], 0.0
    for name, label in history.FAMILIES.items():
        length = 100 * numbers[name] / sized
        if length:
            bars.append(Bar(name, round(start, 3), round(length, 3), label=f"{label}: {numbers[name]}"))
        start += length
    return tuple(bars)


def _timeline(spans: Iterable[history.Span], start: float, end: float) -> tuple[Bar, ...]:
    scale = 100 / (end - start)
    return tuple(
        Bar(
            history.family(span.state),
            round((span.start - start) * scale, 2),
            round(max(0.4, (span.end - span.start) * scale), 2),
            span.state.endswith(":Wait"),
            f"{span.state} for {duration(span.end - span.start)}",
        )
        for span in spans
    )


def _row(instance: fleet.Instance, of: GroupData, timeline: tuple[Bar, ...]) -> Row:
    return Row(
        id=instance.id,
        timeline=timeline,
        state=instance.state,
        family=history.family(instance.state),
        zone=instance.subnet.zone,
        version=instance.template.version if instance.template else "none",
        note=_note(instance.template, of),
        image=instance.image_id,
        kind=instance.instance_type,
        healthy=instance.healthy,
        running=instance.running,
        protected=instance.protected,
    )


def _note(template: fleet.Template | None, of: GroupData) -> str:
    """The note about an instance's template version, if it is not the group's."""
    if template is None:
        return "attached"
    if (template.id, template.version) == (of.settings.template.id, of.version):
        return ""
    return (
        "the refresh's"
        if of.refresh and of.refresh.status in fleet.ACTIVE and template == of.refresh.to
        else "not the group's"
    )


def _shown(instances: Sequence[Row], gone: Sequence[Row]) -> tuple[tuple[Row, ...], int]:
    """The rows to show, and how many are hidden; of many only a few, first those not in service or not healthy."""
    if len(instances) > ROWS:
        chosen = sorted(instances, key=lambda row: (row.state == "InService", row.healthy and row.running))
        return tuple(chosen[:FEW]), len(instances) - FEW
    latest = gone[::-1][: min(FEW, ROWS - len(instances))]
    return (*instances, *latest), 0


def _composition(of: GroupData) -> tuple[tuple[str, tuple[tuple[str, int], ...]], ...]:
    kinds: dict[str, Counter[str]] = {
        "Zone": Counter(i.subnet.zone for i in of.instances),
        "Template version": Counter(i.template.version if i.template else "none" for i in of.instances),
        "Image": Counter(i.image_id for i in of.instances),
        "Type": Counter(i.instance_type for i in of.instances),
        "Health": Counter("Healthy" if i.healthy else "Unhealthy" for i in of.instances),
        "Scale-in": Counter("protected" if i.protected else "not protected" for i in of.instances),
    }
    return tuple((heading, tuple(sorted(number.items()))) for heading, number in kinds.items() if number)


def _waiting(of: GroupData, at: float) -> tuple[Waiting, ...]:
    """Every open lifecycle action, the one that times out first coming first."""
    open_ = sorted(
        ((wait, i.id) for i in of.instances for wait in i.waits), key=lambda pair: (pair[0].deadline, pair[1])
    )
    return tuple(
        Waiting(
            id,
            wait.hook,
            Countdown(min(max(0.0, wait.deadline - at), wait.hook.heartbeat_timeout), wait.hook.heartbeat_timeout),
            Countdown(min(max(0.0, wait.limit - at), wait.hook.global_timeout), wait.hook.global_timeout),
        )
        for wait, id in open_
    )


def _areas(
    timelines: Iterable[Sequence[history.Span]], start: float, end: float
) -> tuple[tuple[tuple[str, str], ...], int]:
    """The layers of the chart, one upon the other, and what its height stands for."""
    layers = history.counts(timelines, start, end, STEPS)
    peak = max((sum(column) for column in zip(*layers.values(), strict=True)), default=0)
    base, areas = [0] * STEPS, []
    for name, numbers in layers.items():
        top = [b + n for b, n in zip(base, numbers, strict=True)]
        if any(numbers):
            areas.append((name, f"M0 100{_edge(top, peak)}V{_height(base[-1], peak)}{_edge_back(base, peak)}Z"))
        base = top
    return tuple(areas), peak


def _height(number: int, peak: int) -> float:
    return round(100 - 100 * number / max(1, peak), 2)


def _edge(tops: Sequence[int], peak: int) -> str:
    """A line of steps from left to right, a corner only where it changes."""
    parts = [f"V{_height(tops[0], peak)}"]
    parts += [f"H{i}V{_height(new, peak)}" for i, (old, new) in enumerate(pairwise(tops), 1) if new != old]
    return "".join([*parts, f"H{len(tops)}"])


def _edge_back(tops: Sequence[int], peak: int) -> str:
    """The same from right to left."""
    steps = [(i, tops[i - 1]) for i in range(len(tops) - 1, 0, -1) if tops[i] != tops[i - 1]]
    return "".join(f"H{i}V{_height(left, peak)}" for i, left in steps) + "H0"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"stamp": fleet.stamp, "duration": duration, "ago": ago, "clock": lambda at: fleet.stamp(at)[11:19]}
    return made


_TEMPLATE = _environment().get_template("page.html.j2")
