# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill: one instance more, one instance less, the right way, with the time that each step takes. Pure: the group and the clock are handed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import CannotAsk
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import duration
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch_failures import cause
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Look, until_done

KINDS = ("scale_in", "terminate")
STEPS = {  # what is timed, in order
    "launch": "launched in",
    "boot": "in service in",
    "wait": "told to end in",
    "drain": "drained in",
    "gone": "gone in",
}
EVERY_SECONDS = 1.0
SETTLE_SECONDS = 5.0  # DescribeAutoScalingGroups may lag behind a write; another's write stays
RETRY_SECONDS = (
    30.0  # after a launch that failed Auto Scaling tries another zone at once; later on it would only fail again
)
ORDER_SECONDS = 300.0  # Auto Scaling acts upon a smaller desired capacity within a minute or so
GONE_SECONDS = 600.0  # EC2 gives a system minutes to shut down
RETAINED = "Terminating:Retained"
PRODUCTION = re.compile(r"(?<![a-z])prod(uction)?(?![a-z])", re.IGNORECASE)


class Member(NamedTuple):
    """An instance, as its group sees it."""

    state: str
    healthy: bool
    protected: bool


class Standing(NamedTuple):
    """The group at one look."""

    least: int
    most: int
    desired: int
    suspended: frozenset[str]
    members: Mapping[str, Member]


class Group(Protocol):
    """A group, to look at and to act upon. Every call raises CannotAsk."""

    name: str

    def look(self) -> Standing:
        """How it stands now."""

    def hook(self) -> bool:
        """Whether its termination hook is there."""

    def failures(self) -> Mapping[str, str]:
        """Its latest launches that failed: activity -> what AWS says."""

    def resize(self, desired: int) -> None:
        """Write its desired capacity."""

    def end(self, instance: str) -> None:
        """End this instance, hook and all, and lower desired capacity by one."""

    def command(self, words: str) -> str:
        """aws-cli's `autoscaling` command for people."""


class Limits(NamedTuple):
    """How long what may take, in seconds."""

    launch: float
    drain: float
    hook: float
    """the hook's timeout: who is silent for so long is given up"""


class Refused(Exception):
    """There is no drill, and nothing was changed. The text says why, and what to do."""


class Amiss(Exception):
    """The drill did not go as it should: what happened, and what to do."""

    def __init__(self, detail: str, remedy: Remedy | str, severity: str = "error") -> None:
        super().__init__(detail)
        self.remedy, self.severity = Remedy(remedy) if isinstance(remedy, str) else remedy, severity


def production(names: Iterable[str]) -> str:
    """The first of a fleet's names that says that it is production; empty: none does."""
    return next((name for name in names if PRODUCTION.search(name)), "")


@dataclass
class Drill:
    """One drill, and what came of it so far.

    `busy` are instances known to work on a job beside those that their agents protect. `run` may be interrupted by any exception, also
    KeyboardInterrupt: desired capacity is put back all the same, after `deafen`, from which on nothing may interrupt.
    """

    kind: str
    group: Group
    limits: Limits
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    tell: Callable[[str], None]
    busy: Collection[str] = ()
    deafen: Callable[[], None] = lambda: None
    launched: str = ""
    ended: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    stands: str = ""
    """how desired capacity was left"""
    _was: int = 0
    _expected: int = 0
    """what desired capacity is unless somebody else writes it"""
    _ours: set[int] = field(default_factory=set)
    """what we wrote to it, or were about to when something interrupted"""
    _odd_since: float | None = None
    _known: str = ""

    def check(self) -> Standing:
        """The group at rest, with room for one more. Raises Refused, CannotAsk."""
        now, name = self.group.look(), self.group.name
        if not self.group.hook():
            raise Refused(
                f"{name} has no termination hook: whatever ends in it ends undrained. Run lifecycle_hook.yml first."
            )
        if now.desired >= now.most:
            raise Refused(
                f"{name} may have {now.most} instances and wants {now.desired}: a drill needs room for one more. "
                "Raise fleet_max_size (-e fleet_size_owner=playbook), or wait until VALET has scaled in."
            )
        if stopped := sorted({"Launch", "Terminate"} & now.suspended):
            raise Refused(
                f"{name} has {' and '.join(stopped)} suspended. Resume them: {self.group.command('resume-processes --scaling-processes ' + ' '.join(stopped))}"
            )
        moving = {i: m.state for i, m in now.members.items() if m.state not in ("InService", "Standby", RETAINED)}
        serving = sum(m.state == "InService" for m in now.members.values())
        if moving or serving != now.desired:
            said = (
                ", ".join(f"{one} is {state}" for one, state in sorted(moving.items())[:3])
                or f"{serving} of {now.desired} in service"
            )
            raise Refused(f"{name} is not at rest: {said}. Run this again when it is.")
        if self.kind == "terminate" and not self._idle(now):
            raise Refused(
                f"Every instance of {name} is busy or protected from scale-in: there is none to end. Run this again when one is idle."
            )
        return now

    def run(self) -> Finding:
        """Do it; how it went. Raises Refused, and CannotAsk where nothing was changed yet."""
        before, failed = self.check(), self.group.failures()
        self._was = self._expected = before.desired
        try:
            self._raise(before, failed)
            self._lower()
            self._follow()
        except Amiss as amiss:
            found = Finding("drill", amiss.severity, f"{self.kind}: {amiss}", amiss.remedy, section=11)
        except CannotAsk as problem:
            found = Finding(
                "drill",
                "error",
                f"{self.kind}: {problem}",
                Remedy("Run verify.yml again to see the result."),
                section=11,
            )
        else:
            found = Finding("drill", "error", f"{self.kind}: {self.said()}", ok=True, section=11)
        finally:
            self.deafen()
            self._restore()
        evidence = {
            "kind": self.kind,
            "launched": self.launched,
            "ended": self.ended,
            "seconds": self.seconds,
            "stands": self.stands,
        }
        return found._replace(detail=f"{found.detail}; {self.stands}", evidence=evidence)

    def said(self) -> str:
        """The times, for people."""
        return ", ".join(f"{words} {self.seconds[step]:.1f} s" for step, words in STEPS.items() if step in self.seconds)

    def _idle(self, now: Standing) -> list[str]:
        fit = (
            i
            for i, m in now.members.items()
            if m.state == "InService" and m.healthy and not m.protected and i not in self.busy
        )
        return sorted(
            fit, key=lambda i: (i == self.launched, i)
        )  # one that has served tells more of a drain than one that just booted

    def _look(self) -> Standing:
        """Raises Amiss where somebody else has written desired capacity."""
        now = self.group.look()
        if now.desired == self._expected:
            self._odd_since = None
        elif self._odd_since is None:
            self._odd_since = self.clock()
        elif self.clock() - self._odd_since >= SETTLE_SECONDS:
            raise self._meddled(now)
        return now

    def _meddled(self, now: Standing) -> Amiss:
        return Amiss(
            f"somebody else set desired capacity to {now.desired} meanwhile ({self._expected} expected)",
            "VALET scales as it likes; run the drill again when the queue is quiet.",
            "warning",
        )

    def _until(self, done: Callable[[], Look], limit: float) -> Look:
        """As until_done, but a state in which the wait before this one ended is not told a second time."""

        def tell(said: str) -> None:
            known, self._known = self._known, ""
            if said.rpartition(" (")[0] != known:
                self.tell(said)

        found = until_done(done, limit, self.clock, self.sleep, tell, EVERY_SECONDS)
        self._known = found.says
        return found

    def _write(self, desired: int) -> None:
        """Never over what somebody else wrote."""
        now = self.group.look()
        if now.desired != self._expected:
            raise self._meddled(now)
        self._expected = desired
        self._ours.add(desired)
        self.group.resize(desired)

    def _raise(self, before: Standing, failed: Mapping[str, str]) -> None:
        """One more, until it serves."""
        self.tell(f"desired capacity {before.desired} -> {before.desired + 1}")
        self._write(before.desired + 1)
        began, appeared, failing_since = self.clock(), 0.0, 0.0
        failure = ""

        def look() -> Look:
            nonlocal appeared, failing_since, failure
            new = {i: m for i, m in self._look().members.items() if i not in before.members}
            if new and not appeared:
                appeared = self.clock()
                self.seconds["launch"] = appeared - began
            serving = sorted(i for i, m in new.items() if m.state == "InService")
            if serving:
                self.launched = serving[0]
                return Look(True, f"{serving[0]} is in service")
            failure = next((said for one, said in self.group.failures().items() if one not in failed), "")
            failing_since = (failing_since or self.clock()) if failure else 0.0
            says = ", ".join(f"{i} is {m.state}" for i, m in sorted(new.items())) or "waiting for the new instance"
            given_up = bool(failure) and self.clock() - failing_since >= RETRY_SECONDS
            return Look(given_up, f"{says}; a launch failed: {failure}" if failure else says)

        self._until(look, self.limits.launch)
        if self.launched:
            self.seconds["boot"] = self.clock() - appeared
        elif failure:
            known = cause(failure)
            raise Amiss(
                f"the launch failed{f', {known.means}' if known else ''}: {failure}",
                known.remedy if known else "See the group's activities.",
            )
        else:
            raise Amiss(
                f"no new instance served within {duration(self.limits.launch)}",
                "See the group's activities, and the instance's log.",
            )

    def _lower(self) -> None:
        """One less, until it is known which."""
        now = self._look()
        if self.kind == "terminate":
            if not (idle := self._idle(now)):
                raise Amiss("every instance became busy meanwhile: none was ended", "Run the drill again.", "warning")
            if now.desired != self._expected:
                raise self._meddled(now)
            self.ended = idle[0]
            self.tell(f"ending {self.ended}, desired capacity {self._expected} -> {self._expected - 1}")
            self._expected -= 1
            self.group.end(self.ended)
        else:
            self.tell(f"desired capacity {self._expected} -> {self._expected - 1}")
            self._write(self._expected - 1)
        began = self.clock()

        def look() -> Look:
            members = self._look().members
            if self.kind == "scale_in":
                going = [i for i in now.members if i not in members or members[i].state.startswith("Terminating")]
                self.ended = next((i for i in sorted(going) if now.members[i].state == "InService"), "")
            state = members[self.ended].state if self.ended in members else "gone" if self.ended else ""
            waits = bool(self.ended) and state not in ("InService", "Terminating")
            return Look(
                waits, f"{self.ended} is {state}" if self.ended else "waiting for Auto Scaling to choose an instance"
            )

        found = self._until(look, ORDER_SECONDS)
        self.seconds["wait"] = self.clock() - began
        if not found.done:
            shielded = sum(m.protected for m in now.members.values())
            raise Amiss(
                f"no instance was told to end within {duration(ORDER_SECONDS)} ({shielded} of {len(now.members)} protected from scale-in)",
                "See instances-idle-shielded: a fleet whose idle workers are protected cannot shrink.",
            )

    def _follow(self) -> None:
        """Until it is gone, or kept."""
        began = self.clock()

        def state() -> str:
            members = self.group.look().members  # desired capacity has been written for the last time
            return members[self.ended].state if self.ended in members else "gone"

        def drained() -> Look:
            now = state()
            return Look(now not in ("Terminating", "Terminating:Wait"), f"{self.ended} is {now}")

        def gone() -> Look:
            now = state()
            return Look(now == "gone", f"{self.ended} is {now}")

        found = self._until(drained, self.limits.drain)
        self.seconds["drain"] = self.clock() - began
        took = duration(self.seconds["drain"])
        if not found.done:
            raise Amiss(
                f"{self.ended} was still draining after {took}",
                "It goes on by itself; instances-terminating follows it.",
            )
        if found.says.endswith(RETAINED):
            words = f"terminate-instance-in-auto-scaling-group --instance-id {self.ended} --no-should-decrement-desired-capacity"
            raise Amiss(
                f"{self.ended} was kept after {took}: its agent gave the drain up, or never completed the hook",
                Remedy(
                    "Look at it: a job may have been cut short, and journalctl -u ghosthands-watch says why. "
                    "Then terminate it:",
                    (self.group.command(words),),
                ),
            )
        drained_at = self.clock()
        found = self._until(gone, GONE_SECONDS)
        self.seconds["gone"] = self.clock() - drained_at
        if not found.done:
            raise Amiss(
                f"{self.ended} was not gone {duration(self.seconds['gone'])} after its drain",
                "See what EC2 says of it.",
            )
        if self.seconds["drain"] >= self.limits.hook:
            raise Amiss(
                f"{self.ended} was idle and waited for {took}, the hook's whole timeout: nobody completed the hook",
                "See its log, and whether its image has the agent (image-origin).",
            )

    def _restore(self) -> None:
        """Desired capacity as it was, unless somebody else wrote it."""
        try:
            now = self.group.look()
            for _look in range(3):  # a look right after a write may still show what was before
                if now.desired != self._was or self._expected == self._was:
                    break
                self.sleep(EVERY_SECONDS)
                now = self.group.look()
            if now.desired == self._was:
                self.stands = f"desired capacity is {self._was} as before"
            elif now.desired in self._ours:
                self.group.resize(self._was)
                self.stands = f"desired capacity was set back to {self._was}, so one instance ends by the hook"
            else:
                self.stands = (
                    f"desired capacity is {now.desired}, which somebody else wrote ({self._was} before), and was left"
                )
        except CannotAsk as problem:
            words = f"set-desired-capacity --desired-capacity {self._was}"
            self.stands = f"desired capacity could not be looked after ({problem}); it was {self._was}: {self.group.command(words)}"
        self.tell(self.stands)
