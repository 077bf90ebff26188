# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A group in a rollout, and what follows from it: the next step, and what AWS is asked for. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Group,
    GroupInstance,
    Refresh,
    waiting_since,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import ACTIVE, BACK, Rollout

END_SECONDS = 600.0  # for AWS to end a refresh, or an instance whose drain is over
LONGEST_PAUSE = 172_800  # AWS's limit of CheckpointDelay and BakeTime: two days
MIN_HEALTHY, MAX_HEALTHY = 100, 110  # another one first: a fleet of one never goes dark
LAUNCH_ATTEMPTS = 3  # that fail without an instance: another zone may have capacity
HEALTH = re.compile(r"health[ -]?check|unhealthy", re.IGNORECASE)  # in an activity's cause: not a scale-in

# The steps of a rollout, and of its undoing.
FOREIGN, WAIT, TURN_BACK, MOVE_PIN, FINISH = "foreign", "wait", "turn back", "move pin", "finish"
START_CANARY, WATCH_CANARY, CANCEL, BAKE = "start canary", "watch canary", "cancel", "bake"
START_REST, WATCH_REST = "start rest", "watch rest"
STOP_REFRESH, TERMINATE, START_BACK, WATCH_BACK, UNDONE = "stop", "terminate", "start back", "watch back", "undone"


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
    give_up: float = float("inf")
    """after its launch, a canary that still boots is given up: before its agent or its launch hook does that, for then
    the group would launch the next one"""


class Fault(NamedTuple):
    """Something that went wrong with an instance of the new version."""

    instance: str
    """empty: there was none yet"""
    text: str


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
    scaled_in = {  # a launch that a scale-in ends is Cancelled as well, but without a message (derived)
        a.instance for a in state.activities if a.description.startswith("Terminating") and not HEALTH.search(a.cause)
    }
    failed = [
        a
        for a in launches
        if a.status == "Failed" or (a.status == "Cancelled" and (a.message or a.instance not in scaled_in))
    ]
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


def late(state: State, now: float, give_up: float) -> str:
    """Which new instance still boots so many seconds after its launch; empty: none."""
    booting = (i.id for i in state.new if i.state != "InService")
    launched = ((id, waiting_since(state.activities, id)) for id in booting)
    return next((id for id, since in launched if since and now - since >= give_up), "")


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
    """(the canaries, the others): for how long each refresh is waited for, in seconds. Between them lies the bake."""
    others = max(0, len(counted(group)) - options.canary)
    at_once = max(1, group.desired_capacity * (MAX_HEALTHY - 100) // 100)
    warmup = group.warmup_seconds or 0 if options.warmup is None else options.warmup
    rounds = -(-others // at_once)
    return options.launch + warmup + END_SECONDS, (rounds + 1) * (options.launch + warmup) + options.drain + END_SECONDS
