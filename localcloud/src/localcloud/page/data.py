"""What the page shows, as frozen values, and how they are read from the groups."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

from moto.core.exceptions import ServiceException

from localcloud import fleet
from localcloud.autoscaling.groups import Event, GroupRecord, Groups
from localcloud.clock import Clock

#: How far back the page looks, in seconds of real time; a cloud that runs faster shows as much more of its own.
WINDOW_SECONDS = 600.0
ACTIVITIES_SHOWN = 12


@dataclass(frozen=True)
class GroupData:
    """One group at one time.

    Attributes:
        version: the number of the group's template version.
        activities: the newest, newest first; ``activities_before`` counts the rest.
        refresh: the last instance refresh, if there ever was one.
        events: its instances' changes of state since ``PageData.since``, oldest first.
    """

    name: str
    region: str
    settings: fleet.Settings
    version: str
    created_at: float
    hooks: tuple[fleet.Hook, ...] = ()
    instances: tuple[fleet.Instance, ...] = ()
    activities: tuple[fleet.Activity, ...] = ()
    activities_before: int = 0
    refresh: fleet.Refresh | None = None
    suspended: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True)
class PageData:
    """Every group at one time. Times are seconds since the epoch, by the groups' clock, which runs at ``speed``."""

    at: float
    account: str
    speed: float
    groups: tuple[GroupData, ...] = ()
    deleted: tuple[str, ...] = ()

    @property
    def since(self) -> float:
        """Where the page's timelines begin at the earliest."""
        return self.at - WINDOW_SECONDS * max(1.0, self.speed)


def is_requested(environ: dict[str, Any]) -> bool:
    """Whether a request is for the page: its own path, or ``/`` for HTML and unsigned, unlike AWS's clients."""
    if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
        return False
    if environ.get("PATH_INFO") == "/localcloud/page":
        return True
    signed = "HTTP_AUTHORIZATION" in environ or environ.get("QUERY_STRING")
    return environ.get("PATH_INFO") in ("", "/") and not signed and "text/html" in environ.get("HTTP_ACCEPT", "")


def collect(regions: Iterable[Groups], account: str, clock: Clock) -> PageData:
    """Collect the data. Call it with the world entered; it only copies references."""
    living = list(regions)
    at = max((groups.now() for groups in living), default=clock.now())
    frame = PageData(at, account, clock.speed)
    groups_data = tuple(
        _group_data(groups, record, frame.since) for groups in living for _, record in sorted(groups.records.items())
    )
    gone = deque((record.group.name for groups in living for record in groups.deleted), maxlen=ACTIVITIES_SHOWN)
    return PageData(at, account, clock.speed, groups_data, tuple(gone))


def _group_data(groups: Groups, record: GroupRecord, since: float) -> GroupData:
    group = record.group
    recent = takewhile(lambda event: event.at >= since, reversed(groups.events))
    return GroupData(
        name=group.name,
        region=groups.region_name,
        settings=group.settings,
        version=_version(groups, group.settings.template),
        created_at=group.created_at,
        hooks=tuple(group.hooks.values()),
        instances=tuple(group.instances.values()),
        activities=tuple(islice(reversed(group.activities.values()), ACTIVITIES_SHOWN)),
        activities_before=max(0, len(group.activities) - ACTIVITIES_SHOWN),
        refresh=next(reversed(group.refreshes.values()), None),
        suspended=tuple(sorted(group.suspended)),
        tags=tuple(sorted((tag.key, tag.value) for tag in record.tags.values())),
        events=tuple(reversed([event for event in recent if event.group == group.name])),
    )


def _version(groups: Groups, template: fleet.Template) -> str:
    """The number of the template's version; as the group has it if the template was deleted."""
    try:
        return groups.resolve(template).version
    except ServiceException:
        return template.version
