# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command to a fleet's agents: wishes in tags, the wait for their answers, in batches where workers restart.

No state but AWS's tags: each look says what is left to do, so the same command picks up one that was interrupted.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import FINAL, Told, Wish
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Group,
    GroupInstance,
    Instance,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, first_of
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done

#: An agent sees a wish within 5 s. One that is silent for so long has no such channel, or does not run.
SILENT_SECONDS = 60.0
LEAVING = ("Terminat", "Detach")
STOPPED = ("stopping", "stopped")
SHOWN_JOBS = 3


class Channel(Protocol):
    """The tags, and the group's process Launch. Every method raises AwsError."""

    def group(self) -> Group: ...

    def instances(self) -> Mapping[str, Instance]: ...

    def want(self, instances: Sequence[str], wish: Wish) -> None: ...

    def want_of_launches(self, wish: Wish | None) -> None:
        """Set, or remove, the group's tag that instances get at launch."""

    def record(self, wish: Wish | None) -> None:
        """Set, or remove, the group's tag that names the command under way for the whole fleet."""

    def suspend_launch(self) -> None: ...

    def resume_launch(self) -> None: ...


class Refused(Exception):
    """The command cannot be given. Nothing was changed; the text says why, and what to do."""


class Stopped(Exception):
    """The command was given and did not come to its end. The text says how far it came, and what to do."""


class Look(NamedTuple):
    """How far a command has come at one moment: ids."""

    done: tuple[str, ...]
    """also one that drains meanwhile, which ignores every wish, and one that was told and is stopped, in standby"""
    running: tuple[str, ...]
    failed: Mapping[str, str]
    """with the reasons"""
    untold: tuple[str, ...]
    """idle ones first"""


class Policy(NamedTuple):
    """How many workers restart at once."""

    canary: int
    """with so many it begins; the others follow when so many are done"""
    batch: int


@dataclass
class Command:
    """One command.

    :param wish: with a new id; the id of a command that is continued takes its place.
    :param only: the ids of the instances that it is about; none means the whole fleet.
    :param policy: for renew and release.
    :param job: what the registry knows of an instance's job, for people.
    :param finish: whether to end the fleet's record of it; false where more has to be done first.
    :param keep_suspended: whether Launch is suspended for other reasons as well, so that resume leaves it.
    """

    channel: Channel
    wish: Wish
    only: Collection[str]
    policy: Policy
    job: Callable[[str], str]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    log: Callable[[str], None]
    finish: bool = True
    keep_suspended: bool = False
    told_at: dict[str, float] = field(init=False, default_factory=dict)
    seen: set[str] = field(init=False, default_factory=set)
    """on which this very wish was seen: if another one is there later, somebody else gave it"""

    @property
    def rolls(self) -> bool:
        """Whether workers restart, so that it goes in batches."""
        return self.wish.verb in ("renew", "release")

    def plan(self) -> Look:
        """What there is to do. Continues the same command where it is under way. Raises Refused."""
        group, instances = self.channel.group(), self.channel.instances()
        there = self._members(group)
        if strangers := set(self.only) - {one.id for one in there}:
            known = ", ".join(one.id for one in group.instances) or "it has none"
            raise Refused(f"fleet_instances: {first_of(strangers)} not in {group.name}, or ending. It has: {known}.")
        self._continue(group, instances, there)
        look = self._look(there, instances)
        waiting = {*look.running, *look.untold}
        blind = [id for id in waiting if id in instances and not instances[id].shows_tags]
        if self.rolls and blind:
            raise Refused(
                f"{count(len(blind), 'instance')} cannot see wishes: {first_of(blind)}. They were launched without "
                "tags in their metadata: replace them first (rollout.yml), or name the others (fleet_instances)."
            )
        return look

    def changes_group(self) -> bool:
        """Whether the group itself is to be paused, or its pause to be ended."""
        group = self.channel.group()
        suspended = "Launch" in group.suspended_processes
        if self.only or self.rolls:
            return False
        if self.wish.verb == "hold":
            return not (suspended and group.paused)
        return bool(group.launch_wish or group.command or (suspended and not self.keep_suspended))

    def run(self, timeout: float) -> list[str]:
        """Give the command, and wait for every answer; the instances that were told. Raises Refused, Stopped."""
        look, whole = self.plan(), not self.only
        group = self.channel.group()
        if whole and self.wish.verb == "hold":
            if "Launch" not in group.suspended_processes:
                self.channel.suspend_launch()  # first, so that whatever is listed from now on is everything
            if group.launch_wish != self.wish:
                self.channel.want_of_launches(self.wish)
        elif whole and self.wish.verb == "resume":
            self._tell(look.untold)
            self._end_pause(group)
        elif whole and (look.running or look.untold) and group.command != self.wish:
            self.channel.record(self.wish)
        self._follow(timeout)
        if whole and self.rolls and self.finish:
            self._end_record()
        return sorted(self.told_at)

    # --- what there is -------------------------------------------------------------------------------------------

    def _members(self, group: Group) -> list[GroupInstance]:
        """Those that it is about. One on its way out drains, which beats every wish."""
        there = [one for one in group.instances if not one.state.startswith(LEAVING)]
        return [one for one in there if not self.only or one.id in self.only]

    def _continue(self, group: Group, instances: Mapping[str, Instance], there: Sequence[GroupInstance]) -> None:
        """Take the id of the same command that did not end. Raises Refused for another one that restarts workers."""
        if self.rolls and group.command and not self._same(group.command):
            raise Refused(
                f"{group.name} has {group.command.text} under way, or it was interrupted: run it again to end it. To "
                "give it up: resume.yml"
            )
        whole = [group.command] if self.rolls else [group.launch_wish] if self.wish.verb == "hold" else []
        told = [instances[one.id].told for one in there if one.id in instances]
        some = [found.wish for found in told if found.state not in FINAL]
        candidates = some if self.only else whole
        self.wish = next((wish for wish in candidates if wish and self._same(wish)), self.wish)

    def _same(self, wish: Wish) -> bool:
        return (wish.verb, wish.digest) == (self.wish.verb, self.wish.digest)

    def _look(self, there: Sequence[GroupInstance], instances: Mapping[str, Instance]) -> Look:
        done, running, failed, untold = list[str](), list[str](), dict[str, str](), list[str]()
        parked = {one.id for one in there if one.id in instances and instances[one.id].state in STOPPED}
        # Protected ones are busy. A stopped one answers once it runs, so it is no canary.
        for one in sorted(there, key=lambda one: (one.id in parked, one.protected, one.id)):
            told = instances[one.id].told if one.id in instances else Told()
            mine = told.wish is not None and self._same(told.wish)
            if self.wish.verb == "renew":
                mine = told.wish == self.wish  # each renewal is one of its own, the others are states
            if (mine and (told.state in ("done", "ignored") or one.id in parked)) or (
                self.wish.verb == "resume" and told.wish is None
            ):
                done.append(one.id)
            elif told.wish == self.wish and told.state == "failed":
                failed[one.id] = told.answer.reason if told.answer else ""
            elif one.id in self.seen and not mine:
                failed[one.id] = f"{told.wish.text if told.wish else 'another command'} took its place"
            elif (mine and told.state not in FINAL) or one.id in self.told_at:  # DescribeInstances may lag behind
                running.append(one.id)
                self.seen |= {one.id} if mine else set()
            else:
                untold.append(one.id)
        return Look(tuple(done), tuple(running), failed, tuple(untold))

    # --- what it does --------------------------------------------------------------------------------------------

    def _tell(self, ids: Sequence[str]) -> None:
        if ids:
            self.channel.want(ids, self.wish)
        self.told_at.update(dict.fromkeys(ids, self.clock()))

    def _follow(self, timeout: float) -> None:
        """Tell those that are to be told, and wait until every one of them has answered. Raises Stopped."""
        seen = dict[str, float]()
        silent, failed = list[str](), dict[str, str]()

        def check() -> Progress:
            nonlocal silent, failed
            group, instances = self.channel.group(), self.channel.instances()
            look = self._look(self._members(group), instances)
            state = {one.id: one.state for one in group.instances}
            for id in look.running:
                seen.setdefault(id, self.clock())
            silent = [
                id
                for id in look.running
                if not (id in instances and instances[id].told.state)
                and self.clock() - seen[id] >= SILENT_SECONDS
                and not state[id].startswith("Pending")  # it boots
            ]
            failed = dict(look.failed)
            working = [id for id in look.running if id not in silent]
            fresh = look.untold[: self._room(len(look.done), len(working), bool(failed or silent))]
            self._tell(fresh)
            if fresh and self.wish.verb == "release":
                self._tell_launches(group, len(look.done))
            over = not working and not fresh
            return Progress(over, self._summary(look, working, len(fresh), silent, instances))

        last = until_done(check, timeout, self.clock, self.sleep, self.log)
        if failed or silent:
            if self.rolls and not self.only:
                self._end_record()
            raise Stopped(self._reasons(failed, silent))
        if not last.done:
            raise Stopped(f"{last.summary}, after {timeout:.0f} s. It goes on: run this again to follow it.")

    def _room(self, done: int, working: int, stopped: bool) -> int:
        """How many more may be told now."""
        if not self.rolls:
            return 10_000
        if stopped:
            return 0
        return max(0, (self.policy.canary if done < self.policy.canary else self.policy.batch) - working)

    def _tell_launches(self, group: Group, done: int) -> None:
        """Once the canaries are done, an instance that is launched meanwhile does it as well."""
        if not self.only and done >= self.policy.canary and group.launch_wish is None:
            self.channel.want_of_launches(self.wish)

    def _end_pause(self, group: Group) -> None:
        """First the tags, then Launch: what is launched then is not held. A killed run is repeated."""
        if group.launch_wish:
            self.channel.want_of_launches(None)
        if group.command:
            self.channel.record(None)
        if "Launch" in group.suspended_processes and not self.keep_suspended:
            self.channel.resume_launch()

    def _end_record(self) -> None:
        group = self.channel.group()
        if group.launch_wish and self._same(group.launch_wish):
            self.channel.want_of_launches(None)
        if group.command and self._same(group.command):
            self.channel.record(None)

    # --- what it says --------------------------------------------------------------------------------------------

    def _summary(
        self, look: Look, working: Sequence[str], fresh: int, silent: Sequence[str], instances: Mapping[str, Instance]
    ) -> str:
        begun = [id for id in working if instances[id].told.state == "begun"]
        words = [f"{len(look.done)} done"]
        words += [f"{len(begun)} begun"] if begun else []
        words += [f"{unseen} told"] if (unseen := len(working) - len(begun) + fresh) else []
        words += [f"{later} to follow"] if (later := len(look.untold) - fresh) else []
        words += [f"{len(look.failed)} failed"] if look.failed else []
        words += [f"{len(silent)} silent"] if silent else []
        words += [f"{id} has {self.job(id)}" for id in begun[:SHOWN_JOBS]]
        return f"{self.wish.text}: {', '.join(words)}"

    def _reasons(self, failed: Mapping[str, str], silent: Sequence[str]) -> str:
        said = [f"{id} has failed: {reason or 'its journal says why'}." for id, reason in sorted(failed.items())]
        if silent:
            said.append(
                f"No answer from {first_of(silent)}: see whether ghosthands-watch runs there, and whether it sees its "
                "tags (collect.yml; ghosthands-agent doctor)."
            )
        if self.rolls:
            said.append("No further instance was told. The same command begins anew.")
        return " ".join(said)
