# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A drill: launch one instance, drain and terminate one, and time each step. Pure: group and clock are handed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import duration
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch_failures import cause
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done

KINDS = ("scale_in", "terminate")
STEPS = {  # what is timed, in order
    "launch": "launched in",
    "boot": "in service in",
    "wait": "terminating in",
    "drain": "drained in",
    "gone": "gone in",
}
EVERY_SECONDS = 1.0
SETTLE_SECONDS = 5.0  # DescribeAutoScalingGroups may lag behind a write; somebody else's write stays
RETRY_SECONDS = 30.0  # after a failed launch Auto Scaling tries another zone at once; later it would only fail again
CHOOSE_SECONDS = 300.0  # Auto Scaling acts on a smaller desired capacity within a minute or so
GONE_SECONDS = 600.0  # EC2 gives a system minutes to shut down
RETAINED = "Terminating:Retained"
PRODUCTION = re.compile(r"(?<![a-z])prod(uction)?(?![a-z])", re.IGNORECASE)


class GroupClient(Protocol):
    """A group to read and to change. Every method raises AwsError."""

    name: str

    def read(self) -> Group:
        """The group as it is now."""

    def has_hook(self) -> bool:
        """Whether its termination hook exists."""

    def failed_launches(self) -> Mapping[str, str]:
        """Its latest launches that failed: activity id -> the reason that AWS gives."""

    def set_desired_capacity(self, desired: int) -> None:
        """Write its desired capacity."""

    def terminate(self, instance: str, decrement: bool) -> None:
        """Terminate this instance, after its hook; `decrement` lowers desired capacity by one."""

    def cli_command(self, words: str) -> str:
        """The AWS CLI's `autoscaling` command, for people."""


class Limits(NamedTuple):
    """How long each step may take, in seconds."""

    launch: float
    drain: float
    hook: float
    """the hook's timeout: an agent without a heartbeat for so long is given up"""


class Refused(Exception):
    """The drill did not begin, and nothing was changed. The text says why, and what to do."""


class DrillFailed(Exception):
    """The drill did not go as it should: what happened, and what to do."""

    def __init__(self, detail: str, remedy: str, *commands: str, severity: str = "error") -> None:
        super().__init__(detail)
        self.remedy, self.severity = Remedy(remedy, commands), severity


def production(names: Iterable[str]) -> str:
    """The first of a fleet's names that marks it as production; empty: none does."""
    return next((name for name in names if PRODUCTION.search(name)), "")


@dataclass
class Drill:
    """One drill, and its result so far.

    `busy` are instances known to work on a job besides those that their agents protect. Any exception may interrupt
    `run`, also KeyboardInterrupt: desired capacity is restored all the same, after `ignore_interrupts`.
    """

    kind: str
    group: GroupClient
    limits: Limits
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    log: Callable[[str], None]
    busy: Collection[str] = ()
    ignore_interrupts: Callable[[], None] = lambda: None
    launched: str = ""
    terminated: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    left: str = ""
    """how desired capacity was left"""
    _before: int = 0
    """desired capacity before the drill"""
    _expected: int = 0
    """desired capacity unless somebody else writes it"""
    _written: set[int] = field(default_factory=set)
    """what the drill wrote to it, or was about to when something interrupted"""
    _unexpected_since: float | None = None
    _last_summary: str = ""

    def check(self) -> Group:
        """The group: stable, with room for one more instance. Raises Refused, AwsError."""
        group, name = self.group.read(), self.group.name
        if not self.group.has_hook():
            raise Refused(
                f"{name} has no termination hook: its instances terminate undrained. Run lifecycle_hook.yml first."
            )
        if group.desired_capacity >= group.max_size:
            raise Refused(
                f"{name} may have {group.max_size} instances and wants {group.desired_capacity}: "
                "a drill needs room for one more. "
                "Raise fleet_max_size (-e fleet_size_owner=playbook), or wait until VALET has scaled in."
            )
        if stopped := sorted({"Launch", "Terminate"} & group.suspended_processes):
            resume = self.group.cli_command(f"resume-processes --scaling-processes {' '.join(stopped)}")
            raise Refused(f"{name} has {' and '.join(stopped)} suspended. Resume them: `{resume}`")
        stable = {i.id for i in group.in_state("InService", "Standby", RETAINED)}
        changing = [f"{i.id} is {i.state}" for i in group.instances if i.id not in stable]
        serving = len(group.in_state("InService"))
        if changing or serving != group.desired_capacity:
            state = ", ".join(changing[:3]) or f"{serving} of {group.desired_capacity} in service"
            raise Refused(f"{name} is not stable: {state}. Run this again when it is.")
        if self.kind == "terminate" and not self._idle(group):
            raise Refused(
                f"Every instance of {name} is busy or protected from scale-in: there is none to terminate. "
                "Run this again when one is idle: it stays protected for fleet_protection_linger_seconds after a job."
            )
        return group

    def run(self) -> Finding:
        """Do the drill; its result. Raises Refused, and AwsError where nothing was changed yet."""
        group, failed = self.check(), self.group.failed_launches()
        self._before = self._expected = group.desired_capacity
        try:
            self._scale_out(group, failed)
            self._scale_in()
            self._follow()
        except DrillFailed as failure:
            ok, severity, detail, remedy = False, failure.severity, str(failure), failure.remedy
        except AwsError as error:
            remedy = Remedy("Run verify.yml to see the fleet as it is.")
            ok, severity, detail = False, "error", str(error)
        else:
            ok, severity, detail, remedy = True, "error", self.times(), Remedy()
        finally:
            self.ignore_interrupts()
            self._restore()
        return Finding(
            "drill",
            severity,
            f"{self.kind}: {detail}; {self.left}",
            remedy,
            ok=ok,
            section=11,
            evidence={
                "kind": self.kind,
                "launched": self.launched,
                "ended": self.terminated,
                "seconds": self.seconds,
                "stands": self.left,
            },
        )

    def times(self) -> str:
        """The time of each step, for people."""
        return ", ".join(f"{words} {self.seconds[step]:.1f} s" for step, words in STEPS.items() if step in self.seconds)

    def _idle(self, group: Group) -> list[str]:
        """Ids of idle instances, the new one last: the drain of one that has worked shows more."""
        idle = [
            i.id
            for i in group.in_state("InService")
            if i.health == "Healthy" and not i.protected and i.id not in self.busy
        ]
        return sorted(idle, key=lambda i: (i == self.launched, i))

    def _read(self) -> Group:
        """Raises DrillFailed where somebody else has written desired capacity."""
        group = self.group.read()
        if group.desired_capacity == self._expected:
            self._unexpected_since = None
        elif self._unexpected_since is None:
            self._unexpected_since = self.clock()
        elif self.clock() - self._unexpected_since >= SETTLE_SECONDS:
            raise self._written_by_others(group)
        return group

    def _written_by_others(self, group: Group) -> DrillFailed:
        return DrillFailed(
            f"somebody else set desired capacity to {group.desired_capacity} meanwhile ({self._expected} expected)",
            "VALET scales as it likes; run the drill again when the queue is quiet.",
            severity="warning",
        )

    def _until(self, check: Callable[[], Progress], limit: float) -> Progress:
        """As until_done, but the summary with which the last wait ended is not logged again."""

        def log(line: str) -> None:
            known, self._last_summary = self._last_summary, ""
            if line.rpartition(" (")[0] != known:
                self.log(line)

        progress = until_done(check, limit, self.clock, self.sleep, log, EVERY_SECONDS)
        self._last_summary = progress.summary
        return progress

    def _set_desired_capacity(self, desired: int) -> None:
        """Write desired capacity, unless somebody else wrote it."""
        group = self.group.read()
        if group.desired_capacity != self._expected:
            raise self._written_by_others(group)
        self._expected = desired
        self._written.add(desired)
        self.group.set_desired_capacity(desired)

    def _scale_out(self, before: Group, failed: Mapping[str, str]) -> None:
        """One instance more, until it is in service."""
        self.log(f"desired capacity {before.desired_capacity} -> {before.desired_capacity + 1}")
        self._set_desired_capacity(before.desired_capacity + 1)
        known = {i.id for i in before.instances}
        began, appeared, failing_since = self.clock(), 0.0, 0.0
        failure = ""

        def progress() -> Progress:
            nonlocal appeared, failing_since, failure
            new = [i for i in self._read().instances if i.id not in known]
            if new and not appeared:
                appeared = self.clock()
                self.seconds["launch"] = appeared - began
            if serving := [i.id for i in new if i.state == "InService"]:
                self.launched = serving[0]
                return Progress(True, f"{self.launched} is in service")
            reasons = [reason for activity, reason in self.group.failed_launches().items() if activity not in failed]
            failure = reasons[0] if reasons else ""
            failing_since = (failing_since or self.clock()) if failure else 0.0
            summary = ", ".join(f"{i.id} is {i.state}" for i in new) or "waiting for the new instance"
            given_up = bool(failure) and self.clock() - failing_since >= RETRY_SECONDS
            return Progress(given_up, f"{summary}; a launch failed: {failure}" if failure else summary)

        self._until(progress, self.limits.launch)
        if self.launched:
            self.seconds["boot"] = self.clock() - appeared
        elif failure:
            why = cause(failure)
            raise DrillFailed(
                f"the launch failed{f', {why.means}' if why else ''}: {failure}",
                why.remedy if why else "See the group's activities.",
            )
        else:
            raise DrillFailed(
                f"no new instance came into service within {duration(self.limits.launch)}",
                "See the group's activities, and the instance's log.",
            )

    def _scale_in(self) -> None:
        """One instance less, until it is known which."""
        before = self._read()
        if self.kind == "terminate":
            self._terminate(before)
        else:
            self.log(f"desired capacity {self._expected} -> {self._expected - 1}")
            self._set_desired_capacity(self._expected - 1)
        began = self.clock()

        def progress() -> Progress:
            states = self._states(self._read())
            if self.kind == "scale_in":
                leaving = [i.id for i in before.in_state("InService") if _leaves(states.get(i.id))]
                self.terminated = leaving[0] if leaving else ""
            if not self.terminated:
                return Progress(False, "waiting for Auto Scaling to choose an instance")
            state = states.get(self.terminated, "gone")
            return Progress(state not in ("InService", "Terminating"), f"{self.terminated} is {state}")

        found = self._until(progress, CHOOSE_SECONDS)
        self.seconds["wait"] = self.clock() - began
        if not found.done:
            protected = sum(i.protected for i in before.instances)
            raise DrillFailed(
                f"no instance began to terminate within {duration(CHOOSE_SECONDS)} "
                f"({protected} of {len(before.instances)} protected from scale-in)",
                "See instances-idle-shielded: a fleet whose idle workers are protected cannot shrink.",
            )

    def _terminate(self, group: Group) -> None:
        """Terminate an idle instance."""
        if not (idle := self._idle(group)):
            remedy = "Run the drill again."
            raise DrillFailed("every instance became busy meanwhile: none was terminated", remedy, severity="warning")
        if group.desired_capacity != self._expected:
            raise self._written_by_others(group)
        self.terminated = idle[0]
        self.log(f"terminating {self.terminated}, desired capacity {self._expected} -> {self._expected - 1}")
        self._expected -= 1
        self.group.terminate(self.terminated, decrement=True)

    @staticmethod
    def _states(group: Group) -> dict[str, str]:
        return {i.id: i.state for i in group.instances}

    def _follow(self) -> None:
        """Until the instance is gone, or retained."""

        def state() -> str:  # desired capacity has been written for the last time, so nobody else's write matters
            return self._states(self.group.read()).get(self.terminated, "gone")

        def drained() -> Progress:
            now = state()
            return Progress(now not in ("Terminating", "Terminating:Wait"), f"{self.terminated} is {now}")

        def gone() -> Progress:
            now = state()
            return Progress(now == "gone", f"{self.terminated} is {now}")

        began = self.clock()
        found = self._until(drained, self.limits.drain)
        self.seconds["drain"] = self.clock() - began
        self._check_drain(found)
        drained_at = self.clock()
        found = self._until(gone, GONE_SECONDS)
        self.seconds["gone"] = self.clock() - drained_at
        if not found.done:
            raise DrillFailed(
                f"{self.terminated} was not gone {duration(self.seconds['gone'])} after its drain",
                "See the instance in EC2.",
            )
        if self.seconds["drain"] >= self.limits.hook:
            raise DrillFailed(
                f"{self.terminated} was idle and waited for {duration(self.seconds['drain'])}, "
                "the hook's whole timeout: nobody completed the hook",
                "See its log, and whether its image has the agent (image-origin).",
            )

    def _check_drain(self, drain: Progress) -> None:
        """Raises DrillFailed where the drain has not ended, or ended with the instance retained."""
        took = duration(self.seconds["drain"])
        if not drain.done:
            raise DrillFailed(
                f"{self.terminated} was still draining after {took}",
                "The drain goes on without the drill; instances-terminating follows it.",
            )
        if drain.summary.endswith(RETAINED):
            command = self.group.cli_command(
                "terminate-instance-in-auto-scaling-group "
                f"--instance-id {self.terminated} --no-should-decrement-desired-capacity"
            )
            raise DrillFailed(
                f"{self.terminated} was retained after {took}: a job may be lost, or its agent failed",
                "See its journal (journalctl -u ghosthands-watch; event=job_lost, with the job where it is known). "
                "Then terminate it:",
                command,
            )

    def _restore(self) -> None:
        """Desired capacity as it was, unless somebody else wrote it."""
        try:
            now = self.group.read().desired_capacity
            for _attempt in range(3):  # right after a write, the answer may still be the one before it
                if now != self._before or self._expected == self._before:
                    break
                self.sleep(EVERY_SECONDS)
                now = self.group.read().desired_capacity
            if now == self._before:
                self.left = f"desired capacity is {self._before} as before"
            elif now in self._written:
                self.group.set_desired_capacity(self._before)
                self.left = f"desired capacity was set back to {self._before}, so one instance is drained by the hook"
            else:
                self.left = (
                    f"desired capacity is {now}, which somebody else wrote ({self._before} before), and was left"
                )
        except AwsError as error:
            command = self.group.cli_command(f"set-desired-capacity --desired-capacity {self._before}")
            self.left = f"desired capacity could not be restored ({error}); it was {self._before}: `{command}`"
        self.log(self.left)


def _leaves(state: str | None) -> bool:
    """Whether an instance that was in service is on its way out."""
    return state is None or state.startswith("Terminating")
