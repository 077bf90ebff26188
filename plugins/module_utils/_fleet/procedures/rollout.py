# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replace a group's instances by ones of another launch template version, canaries first. Pure: all ports are given.

Two instance refreshes. The first replaces the canaries and is cancelled as soon as they are in service: until the end
the group launches the version before, whoever scales it and whatever becomes of this program. The second replaces the
others, and AWS moves the group's version when it succeeds.

Nothing is remembered but by AWS: each step follows from the group's version, its refreshes, its instances' versions
and the tag of facts/rollout.py. So another run goes on wherever one was killed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Group,
    GroupInstance,
    Refresh,
    waiting_since,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import (
    count,
    duration,
    first_of,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import (
    ACTIVE,
    BACK,
    CHANGED,
    LAST_VERSION_TAG,
    PASSING,
    REFUSALS,
    STATUSES,
    TAG,
    Rollout,
    base_code,
    last_version,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done

EVERY_SECONDS = 2.0
ACTIVITIES_EVERY = 5  # looks, unless an instance has left or is unhealthy: all calls of an account share one budget
PASSING_SECONDS = 300.0  # for which AWS may refuse, or not answer, what it does a moment later
SETTLE_SECONDS = 2.0  # from writing the tag to reading it again: a second operator has written by then
SEEN_SECONDS = 30.0  # until DescribeAutoScalingGroups shows a tag that was written
END_SECONDS = 600.0  # for AWS to end a refresh, or an instance whose drain is over
LONGEST_PAUSE = 172_800  # AWS's limit of CheckpointDelay and BakeTime: two days
MIN_HEALTHY, MAX_HEALTHY = 100, 110  # another one first: a fleet of one never goes dark
CANARY_ATTEMPTS = 3  # where VALET scales canaries in before they are verified
LAUNCH_ATTEMPTS = 3  # that fail without an instance: another zone may have capacity
BACK_ATTEMPTS = 2
RETAINED = "Terminating:Retained"
HEALTH = re.compile(r"health[ -]?check|unhealthy", re.IGNORECASE)  # in an activity's cause: not a scale-in

# The steps of a rollout, and of its undoing.
FOREIGN, WAIT, TURN_BACK, MOVE_PIN, FINISH = "foreign", "wait", "turn back", "move pin", "finish"
START_CANARY, WATCH_CANARY, CANCEL, BAKE = "start canary", "watch canary", "cancel", "bake"
START_REST, WATCH_REST = "start rest", "watch rest"
STOP_REFRESH, TERMINATE, START_BACK, WATCH_BACK, UNDONE = "stop", "terminate", "start back", "watch back", "undone"


class Client(Protocol):
    """The group. Every method raises AwsError."""

    name: str

    def read(self) -> Group: ...

    def has_hook(self) -> bool:
        """Whether its termination hook exists."""

    def refreshes(self) -> tuple[Refresh, ...]:
        """The newest first."""

    def activities(self) -> tuple[Activity, ...]:
        """The newest first."""

    def start_refresh(self, group: Group, version: str, preferences: dict[str, Any]) -> None: ...

    def cancel_refresh(self, wait: bool) -> None: ...

    def roll_back_refresh(self) -> None: ...

    def terminate(self, instance: str, decrement: bool) -> None: ...

    def set_version(self, group: Group, version: str) -> None: ...

    def write_tag(self, key: str, value: str) -> None: ...

    def delete_tags(self, keys: Sequence[str]) -> None: ...

    def cli_command(self, words: str) -> str: ...


class Options(NamedTuple):
    """How to roll out. Times are seconds."""

    canary: int
    """how many instances first"""
    bake: float
    """for which canaries work at least before they are judged"""
    launch: float
    """a new instance takes at most to be in service"""
    drain: float
    """an old one takes at most to drain"""
    warmup: int | None = None
    """from in service to ready; None: the group's own"""
    standby: str = "Ignore"
    """StandbyInstances of RefreshPreferences"""
    alarms: tuple[str, ...] = ()
    """CloudWatch alarms that end a refresh"""


class Refused(Exception):
    """Nothing was changed. The text says why, and what to do."""


class Stopped(Exception):
    """It does not go on. What AWS has begun goes on without this program. The text says why, and what to do."""


class Undone(Exception):
    """The new version was not right, and the group is as it was before. The text is one line with the finding."""


class Fault(NamedTuple):
    """Something that went wrong with an instance of the new version."""

    instance: str
    """empty: there was none yet"""
    text: str


# --- what is --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """A group in a rollout, as AWS shows it."""

    group: Group
    refreshes: tuple[Refresh, ...]
    rollout: Rollout
    activities: tuple[Activity, ...] = ()

    @property
    def own(self) -> tuple[Refresh, ...]:
        """The refreshes since the rollout began: those before it were there when it did."""
        ids = [refresh.id for refresh in self.refreshes]
        return self.refreshes[: ids.index(self.rollout.after)] if self.rollout.after in ids else self.refreshes

    @property
    def active(self) -> Refresh | None:
        return active_refresh(self.refreshes)

    @property
    def counted(self) -> tuple[GroupInstance, ...]:
        """Those that count in desired capacity."""
        return counted(self.group)

    @property
    def new(self) -> tuple[GroupInstance, ...]:
        """Those of the new version."""
        return tuple(i for i in self.counted if self.is_new(i))

    @property
    def canaries(self) -> tuple[str, ...]:
        """The new ones in service."""
        return tuple(i.id for i in self.new if i.state == "InService")

    @property
    def old(self) -> tuple[GroupInstance, ...]:
        return tuple(i for i in self.counted if not self.is_new(i))

    @property
    def moved(self) -> bool:
        """Whether the group launches the new version."""
        return self.group.template_version == self.rollout.version

    def is_new(self, instance: GroupInstance) -> bool:
        version = (self.group.template_id, self.rollout.version)
        return (instance.template_id, instance.template_version) == version

    def is_forward(self, refresh: Refresh) -> bool:
        """Whether this refresh is to the new version."""
        return refresh in self.own and refresh.version == self.rollout.version

    def is_first(self, refresh: Refresh) -> bool:
        """Whether this refresh has replaced the canaries."""
        return self.is_forward(refresh) and is_canary(refresh)

    def is_own(self, refresh: Refresh) -> bool:
        """Whether the rollout, or its undoing, has started this refresh."""
        to_pin = refresh.version in ("", self.group.template_version)
        pinned = self.moved or self.rollout.going == BACK
        return refresh in self.own and (self.is_forward(refresh) or (to_pin and pinned))


def active_refresh(refreshes: Sequence[Refresh]) -> Refresh | None:
    """The one that is not over."""
    return next((refresh for refresh in refreshes if refresh.status in ACTIVE), None)


def counted(group: Group) -> tuple[GroupInstance, ...]:
    """The instances that count in desired capacity."""
    return tuple(i for i in group.instances if i.state == "InService" or i.state.startswith("Pending"))


def is_canary(refresh: Refresh) -> bool:
    """Whether it is a rollout's first one: that waits for this program before it goes on."""
    return bool(refresh.checkpoints or refresh.bake_seconds)


def faults(state: State) -> tuple[Fault, ...]:
    """What went wrong with instances of the new version, by the group and its activities."""
    found = [
        Fault(i.id, f"{i.id} is unhealthy") for i in state.group.instances if state.is_new(i) and i.health != "Healthy"
    ]
    windows = [(r.started, r.ended or float("inf")) for r in state.own if state.is_forward(r) and r.started]
    launches = [
        a
        for a in state.activities
        if a.description.startswith("Launching") and any(began <= a.started <= ended for began, ended in windows)
    ]
    failed = [a for a in launches if a.status in ("Failed", "Cancelled")]
    found += [Fault(a.instance, f"{a.instance} did not come into service: {_reason(a)}") for a in failed if a.instance]
    without = [a for a in failed if not a.instance]
    if len(without) >= LAUNCH_ATTEMPTS:
        found.append(Fault("", f"{len(without)} launches failed: {_reason(without[0])}"))
    ids = {a.instance for a in launches if a.instance}
    found += [
        Fault(a.instance, f"{a.instance} was unhealthy and was terminated: {_reason(a)}")
        for a in state.activities
        if a.instance in ids and a.description.startswith("Terminating") and HEALTH.search(a.cause)
    ]
    first: dict[str, Fault] = {}
    for fault in found:
        first.setdefault(fault.instance, fault)
    return tuple(first.values())


def _reason(activity: Activity) -> str:
    return (activity.message or activity.cause or "AWS gives no reason").rstrip(".")


def verdict(state: State) -> str:
    """Why the new version is not to be rolled out; empty: nothing is known.

    Once the others are being replaced, one that goes wrong may be chance: two, or a canary, are not.
    """
    found = faults(state)
    rest = [r for r in state.own if state.is_forward(r) and not is_canary(r)]
    if not found or (rest and len(found) < 2 and not _was_canary(state, found[0].instance)):
        return ""
    return "; ".join(fault.text for fault in found[:3])


def _was_canary(state: State, instance: str) -> bool:
    firsts = [(r.started, r.ended or float("inf")) for r in state.own if state.is_first(r)]
    launched = (a for a in state.activities if a.instance == instance and a.description.startswith("Launching"))
    return any(began <= a.started <= ended for a in launched for began, ended in firsts)


# --- what follows from it -------------------------------------------------------------------------------------------


def next_step(state: State, canary: int, approved: bool) -> str:
    """The next step.

    :param canary: how many canaries are wanted.
    :param approved: whether they were verified.
    """
    if state.active and not state.is_own(state.active):
        return FOREIGN
    return _step_back(state) if state.rollout.going == BACK else _step_forward(state, canary, approved)


def _step_forward(state: State, canary: int, approved: bool) -> str:
    active, last = state.active, next(iter(state.own), None)
    if active:
        if active.status == "RollbackInProgress" or (not state.moved and verdict(state)):
            return TURN_BACK
        if active.status == "Cancelling":
            return WAIT
        if not is_canary(active):
            return WATCH_REST
        return CANCEL if _in_service(state, active, canary) else WATCH_CANARY
    if state.moved:
        return START_REST if state.old else FINISH
    if verdict(state) or (last and last.status in ("Failed", "RollbackSuccessful", "RollbackFailed")):
        return TURN_BACK
    if last and state.is_forward(last) and last.status == "Successful":
        return MOVE_PIN
    if approved or not state.group.desired_capacity:
        return START_REST
    if state.canaries:
        return BAKE
    return WAIT if state.new else START_CANARY


def _in_service(state: State, active: Refresh, canary: int) -> bool:
    """Whether the canaries are in service and those that they replace have left."""
    if not state.canaries or len(state.canaries) < len(state.new) or len(state.counted) > state.group.desired_capacity:
        return False
    paused = bool(active.checkpoints) and active.percent >= active.checkpoints[0]
    return paused or active.status == "Baking" or len(state.canaries) >= canary


def _step_back(state: State) -> str:
    active = state.active
    if active:
        stops = active.status in ("Cancelling", "RollbackInProgress")
        return WATCH_BACK if stops or not state.is_forward(active) else STOP_REFRESH
    if state.moved:
        return FINISH
    if not state.new:
        return UNDONE
    only_canaries = all(is_canary(r) for r in state.own if state.is_forward(r))
    return TERMINATE if state.rollout.why and only_canaries else START_BACK


def preferences(options: Options, **more: Any) -> dict[str, Any]:
    """RefreshPreferences that are right for workers: busy ones are drained through their hook and never waited for."""
    alarms = {"AlarmSpecification": {"Alarms": list(options.alarms)}} if options.alarms else {}
    warmup = {} if options.warmup is None else {"InstanceWarmup": options.warmup}
    return {
        "MinHealthyPercentage": MIN_HEALTHY,
        "MaxHealthyPercentage": MAX_HEALTHY,
        "SkipMatching": True,
        "ScaleInProtectedInstances": "Refresh",
        "StandbyInstances": options.standby,
        **warmup,
        **alarms,
        **more,
    }


def canary_preferences(options: Options, group: Group) -> dict[str, Any]:
    """Those of the first refresh: it waits for two days, which is the longest that AWS allows, and is cancelled.

    A checkpoint is reached once that share of the group's instances is new (EC2 Auto Scaling User Guide, "Add
    checkpoints to an instance refresh"), so the share is rounded down.
    """
    every = len(counted(group)) + len(group.in_state("Standby"))
    pause: dict[str, Any] = {"BakeTime": LONGEST_PAUSE, "AutoRollback": True}
    if options.canary < len(counted(group)):
        share = max(1, 100 * options.canary // every)
        pause |= {"CheckpointPercentages": [share, 100], "CheckpointDelay": LONGEST_PAUSE}
    return preferences(options, **pause)


def longest(options: Options, group: Group) -> tuple[float, float]:
    """(the canaries, the others): for how long each refresh is waited for, in seconds."""
    others = max(0, len(counted(group)) - options.canary)
    at_once = max(1, group.desired_capacity * (MAX_HEALTHY - 100) // 100)
    warmup = group.warmup_seconds or 0 if options.warmup is None else options.warmup
    rounds = -(-others // at_once)
    return options.launch + warmup + END_SECONDS, (rounds + 1) * (options.launch + warmup) + options.drain + END_SECONDS


# --- the program ----------------------------------------------------------------------------------------------------


@dataclass
class Procedure:
    """A rollout under way.

    :param clock: seconds that only pass; `wall`: since the epoch.
    :param registry: reads the worker registry; None: there is none, or it cannot be read.
    """

    client: Client
    options: Options
    clock: Callable[[], float]
    wall: Callable[[], float]
    sleep: Callable[[float], None]
    log: Callable[[str], None]
    registry: Callable[[], Registry | None] = lambda: None
    state: State = field(init=False)
    approved: bool = False
    reason: str = ""
    """why it is being undone, for people"""
    settled_at: float = 0.0
    """since when the canaries are in service, by `wall`"""
    changed: bool = False
    finished: bool = False
    """nothing is under way any more"""
    _irreversible: bool = False
    _failing_since: float | None = None
    _looks: int = 0
    _known: frozenset[str] = frozenset()
    _rest: bool = False
    """whether this run has begun to replace the others"""

    # --- beginning ------------------------------------------------------------------------------------------------

    def plan(self, version: str, rollback: bool) -> tuple[Group, Rollout | None, str]:
        """(the group, the rollout under way, the version to go to; empty: nothing is to be done).

        :param version: of the launch template; ignored for a rollback.
        :raises Refused: it cannot begin.
        """
        group = self._read_group()
        refreshes = self._patient(self.client.refreshes)
        check(group)
        if not self._patient(self.client.has_hook):
            raise Refused(
                f"{group.name} has no termination hook: its instances end undrained. Run lifecycle_hook.yml first."
            )
        tag = group.tags.get(TAG)
        under_way = Rollout.parse(tag.value) if tag else None
        if tag and under_way is None:
            raise Refused(
                f"The tag {TAG} of {group.name} is {tag.value!r}, which no rollout wrote. Remove it: "
                f"`aws autoscaling delete-tags --tags {self._tag_words()}`"
            )
        if under_way:
            undoes = rollback and not self._is_rollback(group, under_way)
            return group, under_way, under_way.previous if undoes else under_way.version
        if active := active_refresh(refreshes):
            raise Refused(foreign(group.name, active, self.client.cli_command("cancel-instance-refresh")))
        if rollback:
            tag = group.tags.get(LAST_VERSION_TAG)
            version = last_version(tag.value, group.template_id) if tag else ""
            if not version:
                raise Refused(
                    f"No rollout of {group.name} has finished, so there is no version to go back to. "
                    "Name an image: rollout.yml -e fleet_image=ami-..."
                )
        current = group.template_version == version and all(
            (i.template_id, i.template_version) == (group.template_id, version) for i in counted(group)
        )
        if rollback and current:
            raise Refused(
                f"{group.name} runs version {version} already, the one before the last rollout. To go to another one: "
                "rollout.yml -e fleet_image=ami-..."
            )
        return group, None, "" if current else version

    def begin(self, version: str, rollback: bool, me: str, takeover: bool) -> bool:
        """Take the rollout under way, or begin one. False: nothing is to be done.

        :param me: ARN of who asks.
        :raises Refused: somebody else rolls out, or it cannot begin.
        """
        group, under_way, target = self.plan(version, rollback)
        if not target:
            return False
        if under_way:
            if under_way.by != Rollout.begin("0", "0", me, "", 0).by and not takeover:
                raise Refused(others(group.name, under_way))
            rollout = self._taken(group, under_way, rollback, me)
            verb = "Goes back from" if rollout.going == BACK else "Goes on with"
            self.log(f"{verb} the rollout of {under_way.what} that {under_way.by} began at {under_way.since}")
        else:
            rollout = self._new(group, target, me)
        self.changed = True
        self._patient(lambda: self.client.write_tag(TAG, rollout.as_tag()))
        self._own(rollout)
        self._look(rollout)
        return True

    def _taken(self, group: Group, under_way: Rollout, rollback: bool, me: str) -> Rollout:
        """The rollout under way, with this run as its controller."""
        if not rollback or under_way.going == BACK or self._is_rollback(group, under_way):
            return under_way.taken_over()
        if group.template_version != under_way.version:
            return under_way.taken_over().undone("")
        # The group launches the new version already, so going back is a rollout of its own.
        self._record_last(group, under_way)
        return self._new(group, under_way.previous, me)

    def _new(self, group: Group, version: str, me: str) -> Rollout:
        newest = next(iter(self._patient(self.client.refreshes)), None)
        return Rollout.begin(version, group.template_version, me, newest.id if newest else "", self.wall())

    def _record_last(self, group: Group, rollout: Rollout) -> None:
        value = f"{rollout.previous} {group.template_id}"
        self._patient(lambda: self.client.write_tag(LAST_VERSION_TAG, value))

    def resume(self, rollout: Rollout) -> None:
        """Go on with what an earlier task of this run began."""
        self._look(rollout)

    def _is_rollback(self, group: Group, rollout: Rollout) -> bool:
        """Whether that rollout goes to the version before the last one, as rollback.yml does."""
        tag = group.tags.get(LAST_VERSION_TAG)
        return tag is not None and last_version(tag.value, group.template_id) == rollout.version

    def _tag_words(self) -> str:
        return f"ResourceId={self.client.name},ResourceType=auto-scaling-group,Key={TAG}"

    def _own(self, rollout: Rollout) -> None:
        """Read the tag until it is there, and once more: of two that wrote it, the last one goes on."""
        began, seen = self.clock(), False
        while True:
            tag = self._read_group().tags.get(TAG)
            found = Rollout.parse(tag.value) if tag else None
            mine = found is not None and found.run == rollout.run
            if seen and mine:
                return
            if (seen or self.clock() - began >= SEEN_SECONDS) and not mine:
                raise Refused(others(self.client.name, found) if found else f"The tag {TAG} was removed meanwhile.")
            seen = mine
            self.sleep(SETTLE_SECONDS)

    # --- reading --------------------------------------------------------------------------------------------------

    def _patient(self, read: Callable[[], Any]) -> Any:
        """What `read` returns, also where AWS refuses for a while. Raises AwsError."""
        began = self.clock()
        while True:
            try:
                return read()
            except AwsError as error:
                if base_code(error.code) not in PASSING or self.clock() - began >= PASSING_SECONDS:
                    raise
                self.log(f"AWS refuses for the moment ({error}): trying again")
                self.sleep(EVERY_SECONDS)

    def _read_group(self) -> Group:
        group: Group = self._patient(self.client.read)
        return group

    def _look(self, rollout: Rollout | None = None) -> State:
        """Read the state. Raises Stopped where another run has taken the rollout over."""
        mine = rollout or self.state.rollout
        group = self._read_group()
        if not self._is_mine(group, mine):
            self.sleep(SETTLE_SECONDS)  # the answer may be older than the tag
            group = self._read_group()
            tag = group.tags.get(TAG)
            if not self._is_mine(group, mine):
                found = Rollout.parse(tag.value) if tag else None
                who = f"{found.by} has taken this rollout over" if found else f"Somebody removed the tag {TAG}"
                raise Stopped(f"{who}: this run of rollout.yml ends, and changes nothing more.")
        refreshes = self._patient(self.client.refreshes)
        state = State(group, refreshes, mine, self.state.activities if rollout is None else ())
        ids = frozenset(i.id for i in state.new if i.health == "Healthy")
        if self._known - ids or self._looks % ACTIVITIES_EVERY == 0:
            state = replace(state, activities=self._patient(self.client.activities))
        self._known, self._looks, self.state = ids, self._looks + 1, state
        return state

    @staticmethod
    def _is_mine(group: Group, mine: Rollout) -> bool:
        tag = group.tags.get(TAG)
        found = Rollout.parse(tag.value) if tag else None
        return found is not None and found.run == mine.run

    # --- going on -------------------------------------------------------------------------------------------------

    def run(self, until: str = "") -> State:
        """Do one step after another, to the end or until `until` is the next one.

        :raises Undone: it went back, as the new version was not right.
        :raises Stopped: it does not go on.
        """
        while True:
            step = next_step(self._look(), self.options.canary, self.approved)
            if step == until or (until and step == START_REST and not self.state.group.desired_capacity):
                return self.state
            if step in (FINISH, UNDONE):
                return self._end(step)
            self._do(step)

    def _do(self, step: str) -> None:
        state, client = self.state, self.client
        canary_bound, rest_bound = longest(self.options, state.group)
        if step == FOREIGN and state.active:
            raise Stopped(foreign(client.name, state.active, client.cli_command("cancel-instance-refresh")))
        if step == WAIT:
            if not self._watch(WAIT, canary_bound):
                raise Stopped(f"{self._summary()}: that has not ended. Run this again.")
        elif step == START_CANARY:
            firsts = [r for r in state.own if state.is_first(r)]
            if len(firsts) >= CANARY_ATTEMPTS:
                self._turn_back("canary-gone", f"{len(firsts)} times no canary stayed in service")
                return
            self.log(f"replacing {count(min(self.options.canary, len(state.counted)), 'canary instance')}")
            wanted = canary_preferences(self.options, state.group)
            self._write(lambda: client.start_refresh(state.group, state.rollout.version, wanted))
        elif step == WATCH_CANARY:
            if not self._watch(WATCH_CANARY, canary_bound):
                late = f"no canary was in service within {duration(canary_bound)}"
                self._turn_back("canary-launch", f"{late}. {state.active.reason if state.active else ''}".strip())
        elif step == CANCEL:
            self.log(f"{first_of(state.canaries)} in service: the refresh is cancelled, so that nothing spreads")
            self._write(lambda: client.cancel_refresh(wait=True))
            self.settled_at = self.wall()
        elif step == START_REST:
            self._start_rest()
        elif step == WATCH_REST:
            self._watch_rest(rest_bound)
        elif step == MOVE_PIN:
            self.sleep(SETTLE_SECONDS)  # the answer may be older than the end of the refresh
            if not self._look().moved:
                self._write(lambda: client.set_version(state.group, state.rollout.version))
        elif step == TURN_BACK:
            self._turn_back(*self._why())
        else:
            self._go_back(step, rest_bound)

    def _start_rest(self) -> None:
        state, last = self.state, next(iter(self.state.own), None)
        if self._rest and last and last.status in ("Cancelled", "Failed") and not is_canary(last):
            meaning = STATUSES[last.status]
            raise Stopped(f"The refresh is {last.status}: {meaning.meaning}. {last.reason} {meaning.remedy}")
        self._rest = True
        # Where the group launches the version already, only what is older is replaced: nothing can be rolled back.
        version = "" if state.moved else state.rollout.version
        wanted = preferences(self.options, **({} if state.moved else {"AutoRollback": True}))
        if not state.counted:
            self.log(f"the group has no instances: it will launch version {state.rollout.version}, which nobody saw")
        elif state.old:
            self.log(f"replacing the other {count(len(state.old), 'instance')}")
        self._write(lambda: self.client.start_refresh(state.group, version, wanted))

    def _watch_rest(self, bound: float) -> None:
        self._rest = True
        if not self._watch(WATCH_REST, bound):
            raise Stopped(f"{self._summary()}: it takes longer than {duration(bound)}. It goes on: run this again.")

    def _watch(self, step: str, bound: float) -> bool:
        """Wait while this step lasts; whether it is over."""

        def progress() -> Progress:
            state = self._look()
            return Progress(next_step(state, self.options.canary, self.approved) != step, self._summary())

        return until_done(progress, bound, self.clock, self.sleep, self.log, EVERY_SECONDS).done

    def _write(self, call: Callable[[], None]) -> None:
        """One write, whose outcome the next look shows, also where its answer was lost."""
        try:
            call()
            self.changed, self._failing_since = True, None
        except AwsError as error:
            code = base_code(error.code)
            if code in CHANGED:
                self.log(f"AWS answers {code}: {REFUSALS[code].meaning}")
                self._irreversible = self._irreversible or code == "IrreversibleInstanceRefresh"
            elif code in PASSING:
                self._failing_since = self.clock() if self._failing_since is None else self._failing_since
                if self.clock() - self._failing_since >= PASSING_SECONDS:
                    raise
                self.log(f"AWS refuses for the moment ({error}): trying again")
            else:
                raise
        self.sleep(EVERY_SECONDS)

    # --- the bake -------------------------------------------------------------------------------------------------

    def bake(self) -> State:
        """Let canaries bake; those that VALET scales in meanwhile are replaced by others.

        :raises Undone, Stopped: as `run`.
        """
        while self.run(until=BAKE).canaries and not self.finished:
            self._bake()
            if next_step(self.state, self.options.canary, approved=False) == BAKE:
                break
        return self.state

    def _bake(self) -> None:
        """Let the canaries work for the bake time, and for a job where jobs flow; not on if one's jobs go wrong."""
        ends = max((r.ended for r in self.state.own if self.state.is_first(r)), default=0.0)
        since = self.settled_at or ends or self.wall()
        began, left = self.clock(), max(0.0, self.options.bake - max(0.0, self.wall() - since))

        def progress() -> Progress:
            state = self._look()
            over = next_step(state, self.options.canary, approved=False) != BAKE
            baked = self.clock() - began >= left
            waits = self._awaits_job(state) if baked else ""
            if wrong := self._wrong(state):
                return Progress(True, wrong)
            text = f"{first_of(state.canaries)} of version {state.rollout.version} {'has' if baked else 'is'}"
            text += f" baked{waits}" if baked else f" baking for {duration(self.options.bake)}"
            return Progress(over or (baked and not waits), text)

        until_done(progress, left + self.options.drain, self.clock, self.sleep, self.log, EVERY_SECONDS)
        self.settled_at = since

    def _awaits_job(self, state: State) -> str:
        """What the canaries' first job waits for; empty: it is done, or no jobs flow."""
        registry = self.registry()
        if registry is None or not registry.reachable:
            return ""
        counts = [registry.jobs_of(i) for i in state.canaries]
        if not all(counts) or any(jobs.completed or jobs.problem for jobs in counts if jobs):
            return ""
        rows = (row for i in state.canaries if (row := registry.worker(i)))
        busy = next((row for row in rows if row.job_id), None)
        return f", and works on its first job ({busy.job_id})" if busy else ""

    def _wrong(self, state: State) -> str:
        """What is wrong with a canary's jobs: each minute more costs others."""
        registry = self.registry()
        found = ((i, jobs.problem) for i in state.canaries if registry and (jobs := registry.jobs_of(i)))
        return next((f"the worker of {i} {problem}" for i, problem in found if problem), "")

    # --- going back -----------------------------------------------------------------------------------------------

    def _why(self) -> tuple[str, str]:
        if text := verdict(self.state):
            return "instance", text
        last = next(iter(self.state.own), None)
        if last is None:
            return "refresh", "it could not go on"
        meaning = STATUSES.get(last.status)
        return "refresh", f"the refresh is {last.status}: {last.reason or (meaning.meaning if meaning else '')}"

    def reject(self, why: str, text: str) -> None:
        """Go back, because the canaries are not right. Raises Undone at the end, or Stopped."""
        self._turn_back(why, text)
        self.run()

    def _turn_back(self, why: str, text: str) -> None:
        """Record that it goes back: whoever goes on with it goes back too."""
        self.reason = text
        self.log(f"going back to version {self.state.rollout.previous}: {text}")
        rollout = self.state.rollout.undone(why)
        self._patient(lambda: self.client.write_tag(TAG, rollout.as_tag()))
        self.changed = True
        self.state = replace(self.state, rollout=rollout)

    def _go_back(self, step: str, bound: float) -> None:
        state, client = self.state, self.client
        if step == STOP_REFRESH and state.active:
            if is_canary(state.active) or self._irreversible:
                self._write(lambda: client.cancel_refresh(wait=False))
            else:
                self._write(client.roll_back_refresh)
        elif step == TERMINATE:
            for instance in state.new:
                self.log(f"ending {instance.id}: its hook drains it, and the group launches {state.rollout.previous}")
                self._end_instance(instance.id)
            self.sleep(EVERY_SECONDS)
        elif step == START_BACK:
            failed = [r for r in state.own if not state.is_forward(r) and r.status == "Failed"]
            if len(failed) >= BACK_ATTEMPTS:
                raise Stopped(
                    f"{count(len(state.new), 'instance')} of version {state.rollout.version} could not be replaced: "
                    f"{failed[0].reason}. The group launches version {state.rollout.previous}; see status.yml, then "
                    "run this again."
                )
            self.log(f"replacing {count(len(state.new), 'instance')} by version {state.rollout.previous}")
            self._write(lambda: client.start_refresh(state.group, "", preferences(self.options)))
        elif not self._watch(WATCH_BACK, bound):
            raise Stopped(f"{self._summary()}: it takes longer than {duration(bound)}. It goes on: run this again.")

    def _end_instance(self, instance: str) -> None:
        try:
            self.client.terminate(instance, decrement=False)
            self.changed = True
        except AwsError as error:  # it has left meanwhile, or AWS refuses for the moment: the next look shows it
            if base_code(error.code) not in PASSING | {"ValidationError"}:
                raise
            self.log(f"AWS refuses for the moment ({error})")

    # --- the end --------------------------------------------------------------------------------------------------

    def _end(self, step: str) -> State:
        """Record the version that was replaced, remove the tag, and wait until what is old has drained."""
        state, rollout = self.state, self.state.rollout
        if step == FINISH and not self._is_rollback(state.group, rollout):
            self._record_last(state.group, rollout)
        self._patient(lambda: self.client.delete_tags([TAG]))
        self.changed = self.finished = True
        self._wait_for_drains(rollout.version if step == FINISH else rollout.previous)
        if step == UNDONE and rollout.why:
            text = self.reason or f"an earlier run found {rollout.why}"
            raise Undone(
                f"Rolled back: {text}. {self.client.name} runs version {rollout.previous} as before, "
                f"and version {rollout.version} is not rolled out."
            )
        return self.state

    def _wait_for_drains(self, version: str) -> None:
        def progress() -> Progress:
            group = self._read_group()
            self.state = replace(self.state, group=group, activities=self._patient(self.client.activities))
            leaving = [i for i in group.instances if i.state.startswith("Terminating") and i.state != RETAINED]
            leaving = [i for i in leaving if i.template_version != version]
            return Progress(not leaving, self._drains() or f"every instance is of version {version}")

        limit = self.options.drain + END_SECONDS
        if not until_done(progress, limit, self.clock, self.sleep, self.log, EVERY_SECONDS).done:
            self.log(f"still draining after {duration(limit)}: {self._drains()}. verify.yml says what to do")

    # --- for people -----------------------------------------------------------------------------------------------

    def _summary(self) -> str:
        """How far it is, and who still drains and why."""
        state, active = self.state, self.state.active
        words = [f"{len(state.canaries)} of {state.group.desired_capacity} in service of version"]
        words = [f"{words[0]} {state.rollout.version}"]
        if active:
            reason = f": {active.reason}" if active.reason else ""
            words.append(f"refresh {active.status} {active.percent} %{reason.rstrip('.')}")
        booting = [i.id for i in state.counted if i.state != "InService"]
        words += [f"{first_of(booting)} booting"] if booting else []
        words += [drains] if (drains := self._drains()) else []
        return "; ".join(words)

    def _drains(self) -> str:
        """Which instances drain, for how long, and their jobs."""
        leaving = [i for i in self.state.group.instances if i.state.startswith("Terminating") and i.state != RETAINED]
        registry = self.registry() if leaving else None
        words = []
        for instance in leaving[:5]:
            since = waiting_since(self.state.activities, instance.id)
            row = registry.worker(instance.id) if registry else None
            job = f" (job {row.job_id})" if row and row.job_id else ""
            words.append(f"{instance.id} drains{f' for {duration(self.wall() - since)}' if since else ''}{job}")
        more = f" and {len(leaving) - 5} more" if len(leaving) > 5 else ""
        return ", ".join(words) + more


def check(group: Group) -> None:
    """Raises Refused where a rollout could not work."""
    if not group.template_version.isdigit():
        raise Refused(
            f"{group.name} launches version {group.template_version or '-'} of its launch template: only from a "
            "number can a rollout go back. Set fleet_template_version to numbered, run site.yml, then this again."
        )
    if stopped := sorted({"Launch", "Terminate", "InstanceRefresh"} & group.suspended_processes):
        resume = f"aws autoscaling resume-processes --auto-scaling-group-name {group.name} --scaling-processes"
        raise Refused(
            f"{group.name} has {' and '.join(stopped)} suspended. Resume them: `{resume} {' '.join(stopped)}`"
        )


def others(name: str, rollout: Rollout) -> str:
    """Who rolls what, since when, and how to take it over."""
    return (
        f"{rollout.by} has been rolling out {rollout.what} to {name} since {rollout.since}. Wait for it "
        "(status.yml shows it), or take it over: -e fleet_rollout_takeover=true"
    )


def foreign(name: str, refresh: Refresh, cancel: str) -> str:
    """A refresh runs that no rollout started."""
    to = f" to version {refresh.version}" if refresh.version else ""
    return (
        f"An instance refresh of {name} runs that this rollout did not start: {refresh.id}{to}, {refresh.status}, "
        f"{refresh.percent} %. Wait until it is over, or cancel it: `{cancel}`"
    )
