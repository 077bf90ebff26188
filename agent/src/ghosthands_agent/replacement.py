"""When an instance that cannot serve asks its group for a replacement: at most three launches of the group an hour.

What is counted is in the group alone: its scaling activities and the capacity that it is about to launch. So the limit
holds whoever replaced the instances before, and however often the agent was restarted. Until then the instance stays,
and boot goes on trying: a cause that is removed outside needs no new instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .passing_errors import BackOff
from .ports import GroupState, Level, Member, PortError, Ports, Replacement
from .settings import Settings

LAUNCHES, WINDOW_SECONDS = 3, 3600.0
#: Instances ask one after the other, each in its own share of time by the wall clock, which chrony keeps: what one has
#: asked for shows in the group within a second or two, before the next one looks.
SLOT_SECONDS = 10.0
READ_SECONDS = 60.0  # between two readings of the group
AGAIN_SECONDS = 600.0  # a request that had no effect by then is repeated
ENDING = ("Terminating", "Terminated", "Detach", "Warmed:")


class Verdict(NamedTuple):
    """Whether an instance may ask now; `until` is the wall time before which it may not, 0 if that is not known."""

    may_ask: bool
    text: str
    until: float = 0.0


def slot_wait(place: int, number: int, wall: float) -> float:
    """Seconds until the share of time of one of so many instances; 0 in its first half, the time to call."""
    period = number * SLOT_SECONDS
    into = (wall - place * SLOT_SECONDS) % period
    return 0.0 if into < SLOT_SECONDS / 2 else period - into


def is_current(group: GroupState, own: Member) -> bool:
    """Whether the group would launch the same again, as far as that is known."""
    return not group.template or not own.template or group.template == own.template


def newer_template(group: GroupState, own: Member, *, has_launch_hook: bool) -> Verdict | None:
    """Whether the group launches something else by now, so that a new instance may be the fix; None: it does not.

    One instance tries it. The others follow once that one is in service, which with a launch hook proves it.
    """
    if is_current(group, own):
        return None
    newer = [each for each in group.members if each.template == group.template and each.state == "InService"]
    if has_launch_hook and any(each.healthy for each in newer):
        return Verdict(True, "the group launches another template version by now, which works")
    tried = any(each.template == group.template for each in group.members)
    return None if tried or coming(group) else Verdict(True, "the group launches another template version by now")


def coming(group: GroupState) -> int:
    """How many instances the group is about to launch."""
    staying = [each for each in group.members if each.healthy and not each.state.startswith(ENDING)]
    return max(0, group.desired - len(staying))


def verdict(launches: Sequence[float], launching: int, wall: float) -> Verdict:
    """Whether one more launch stays within the limit.

    :param launches: when the group's launches of the last hour began.
    :param launching: how many it is about to begin.
    """
    recent = sorted(each for each in launches if each > wall - WINDOW_SECONDS)
    count = len(recent) + launching
    text = f"{count} of {LAUNCHES} launches in the last hour"
    if count < LAUNCHES:
        return Verdict(True, text)
    if len(recent) < LAUNCHES:
        return Verdict(False, f"{text}, {launching} of them about to begin")
    until = recent[-LAUNCHES] + WINDOW_SECONDS
    return Verdict(False, f"{text}; next replacement at {clock_time(until)}", until)


def clock_time(wall: float) -> str:
    """A wall time as an operator writes it: 21:14 UTC."""
    hours, minutes = divmod(int(wall // 60) % (24 * 60), 60)
    return f"{hours:02}:{minutes:02} UTC"


class Replacing:
    """Asks for the replacement of this instance, when it may."""

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self.ports = ports
        self.settings = settings
        self.record: Replacement | None = None
        self._next = 0.0
        self._back_off = BackOff(ports.random, SLOT_SECONDS, READ_SECONDS)
        self._launches_until = 0.0

    def pursue(self, reason: str) -> None:
        """Ask if that is allowed now; at most a few calls. To be called again and again while the reason lasts."""
        wall, now = self.ports.clock.wall(), self.ports.clock.monotonic()
        if self.record is None or self.record.reason != reason:
            self._show(self._but(reason))
        if now < self._next:
            return
        if self.record is not None and self.record.asked and 0 <= wall - self.record.asked < AGAIN_SECONDS:
            return
        try:
            self._next = now + self._look(reason, wall)
            self._back_off.reset()
        except PortError as error:  # fails closed
            self._next = now + self._back_off.pause()
            self._show(Replacement(reason, f"the group cannot be read, so nothing is asked for: {error}"))

    def withdraw(self) -> None:
        """The instance can serve."""
        if self.record is not None:
            self.ports.journal.step("replacement_not_needed", reason=self.record.reason)
            self._show(None)
            self._next = self._launches_until = 0.0

    def _but(self, reason: str) -> Replacement:
        """The record, for another reason."""
        before = self.record or Replacement("", "has not read the group yet")
        return Replacement(reason, before.status, before.until, before.asked)

    def _look(self, reason: str, wall: float) -> float:
        """Read the group, and ask if this instance may; seconds until the next look."""
        group, id = self.ports.group.state(), self.ports.metadata.instance().id
        own = next((each for each in group.members if each.id == id), None)
        if own is None or own.state.startswith(ENDING):
            self._show(Replacement(reason, f"its state in the group is {own.state if own else 'none'}"))
            return READ_SECONDS
        if own.state not in ("Pending:Wait", "InService") or (
            own.state != "InService" and not self.settings.launch_hook
        ):
            self._show(Replacement(reason, f"its state in the group is {own.state}: nothing can be asked for"))
            return READ_SECONDS
        if wait := slot_wait(group.members.index(own), len(group.members), wall):
            return min(wait, READ_SECONDS)
        found = newer_template(group, own, has_launch_hook=self.settings.launch_hook is not None)
        if found is None and wall < self._launches_until:
            return READ_SECONDS
        if found is None:
            found = verdict(self.ports.group.launches(wall - WINDOW_SECONDS), coming(group), wall)
            self._launches_until = found.until
        if not found.may_ask:
            self._show(Replacement(reason, found.text, until=found.until))
            return SLOT_SECONDS / 2
        if own.state == "Pending:Wait":
            self.ports.group.complete(self.settings.launch_hook or "", "ABANDON")
        else:
            self.ports.group.report_unhealthy()
        self._show(Replacement(reason, f"asked for it ({found.text})", asked=wall))
        return SLOT_SECONDS

    def _show(self, record: Replacement | None) -> None:
        """Keep and log what has changed."""
        if record == self.record:
            return
        self.record = record
        if record is not None:
            level: Level = "error" if record.asked else "warning"
            event = "replacement_requested" if record.asked else "replacement_waits"
            self.ports.journal.step(event, level, reason=record.reason, status=record.status)
            self.ports.supervisor.status(f"replacement: {record.status}")
        try:
            self.ports.records.write_replacement(record)
        except PortError as error:
            self.ports.journal.step("replacement_record_failed", "warning", call=error.call, code=error.code)
