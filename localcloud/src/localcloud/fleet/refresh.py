"""Instance refresh: a group's instances replaced in batches, with checkpoints, cancellation and rollback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from localcloud.fleet.lifecycle import Lifecycle
from localcloud.fleet.values import (
    COUNTED,
    Effect,
    Headroom,
    Instance,
    Refused,
    Settings,
    Template,
    headroom,
    invalid,
    stamp,
)

#: Statuses of a refresh that is not over (API, InstanceRefresh).
ACTIVE = frozenset({"Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress"})
#: How long a refresh waits for protection and standby to end (API, RefreshPreferences), and for a replacement to come
#: into service (derived), before it fails.
REFRESH_TIMEOUT_SECONDS = 3600
#: How long a refresh can replace instances at most (UG, "How an instance refresh works", "Limitations").
LONGEST_REFRESH_SECONDS = 14 * 86_400
#: How many alarms a refresh can name (API, AlarmSpecification).
MAX_ALARMS = 10
DEFAULT_MIN_HEALTHY = 90
DEFAULT_CHECKPOINT_DELAY = 3600


@dataclass(frozen=True)
class Preferences:
    """Preferences of a refresh (API, RefreshPreferences); None means not given.

    Attributes:
        min_healthy, max_healthy: percent of desired capacity.
        warmup, checkpoint_delay, bake: seconds.
        protected: ``Refresh``, ``Ignore`` or ``Wait``; standby: ``Terminate``, ``Ignore`` or ``Wait``.
        alarms: names of CloudWatch alarms.
    """

    min_healthy: int | None = None
    max_healthy: int | None = None
    warmup: int | None = None
    checkpoints: tuple[int, ...] = ()
    checkpoint_delay: int | None = None
    bake: int | None = None
    skip_matching: bool = False
    auto_rollback: bool = False
    protected: str = "Wait"
    standby: str = "Wait"
    alarms: tuple[str, ...] = ()

    def with_defaults(self, settings: Settings) -> Preferences:
        """With defaults from a group's settings (UG, "Understand the default values for an instance refresh").

        Raises:
            Refused: ``ValidationError`` (limits from the API reference, RefreshPreferences).
        """
        low, high = self.min_healthy, self.max_healthy
        if high is not None and low is None:
            raise invalid("MinHealthyPercentage must be specified if MaxHealthyPercentage is specified")
        if low is None:
            low, high = settings.min_healthy_percentage, settings.max_healthy_percentage
        low = DEFAULT_MIN_HEALTHY if low is None else low
        if not 0 <= low <= 100 or not 100 <= (high or 100) <= 200:
            raise invalid("MinHealthyPercentage must be between 0 and 100, MaxHealthyPercentage between 100 and 200")
        if high is not None and high - low > 100:
            raise invalid(
                "The difference between MaxHealthyPercentage and MinHealthyPercentage cannot be greater than 100"
            )
        points = self.checkpoints
        if list(points) != sorted(set(points)) or not all(1 <= point <= 100 for point in points):
            raise invalid("CheckpointPercentages must be unique, in ascending order and between 1 and 100")
        if self.checkpoint_delay is not None and not points:
            raise invalid("CheckpointPercentages must be specified if CheckpointDelay is specified")
        if not 0 <= (self.checkpoint_delay or 0) <= 172_800 or not 0 <= (self.bake or 0) <= 172_800:
            raise invalid("CheckpointDelay and BakeTime must be between 0 and 172800 seconds")
        if len(self.alarms) > MAX_ALARMS:
            raise invalid(f"At most {MAX_ALARMS} alarms can be specified")
        if self.protected not in ("Refresh", "Ignore", "Wait"):
            raise invalid(f"Unknown ScaleInProtectedInstances: {self.protected}")
        if self.standby not in ("Terminate", "Ignore", "Wait"):
            raise invalid(f"Unknown StandbyInstances: {self.standby}")
        warmup = self.warmup if self.warmup is not None else settings.default_instance_warmup
        return replace(
            self,
            min_healthy=low,
            max_healthy=high,
            warmup=settings.health_check_grace_period if warmup is None else warmup,
            checkpoint_delay=(DEFAULT_CHECKPOINT_DELAY if self.checkpoint_delay is None else self.checkpoint_delay)
            if points
            else None,
        )

    def ignores(self, instance: Instance) -> bool:
        """Whether a refresh leaves the instance alone because of its protection or standby."""
        if instance.state == "Standby":
            return self.standby == "Ignore"
        return instance.protected and self.protected == "Ignore"


@dataclass(frozen=True)
class Rollback:
    """The progress of a refresh when its rollback began (API, RollbackDetails)."""

    reason: str
    started_at: float
    percentage: int
    left: int
    total: int


@dataclass(frozen=True)
class Refresh:
    """One instance refresh. Times are seconds since the epoch.

    Attributes:
        desired: the configuration that was asked for, as it was given; ``to`` has its version's number.
        waiting: ids still to be replaced.
        members: ids of the instances that were in the group at the start; a rollback leaves them alone.
        total: how many there were at the start.
        furthest: the most replacements that were in service at once.
        failing_since: since when replacements fail to come into service; None again when ``furthest`` grows.
        blocked_since: since when only protected or standby instances are left.
        checkpoints_passed: how many checkpoints' delays are over.
        paused_at: the number of checkpoints that are reached, while it pauses there.
        paused_until: the end of a checkpoint's delay, or of the bake time.
    """

    id: str
    preferences: Preferences
    desired: Template | None
    to: Template
    waiting: frozenset[str]
    total: int
    requested_at: float
    status: str = "Pending"
    reason: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    percentage: int = 0
    left: int = 0
    furthest: int = 0
    checkpoints_passed: int = 0
    failing_since: float | None = None
    blocked_since: float | None = None
    paused_at: int = 0
    paused_until: float | None = None
    rollback: Rollback | None = None
    members: frozenset[str] = frozenset()

    @property
    def points(self) -> tuple[int, ...]:
        """Where it pauses or ends, in percent of the group; a rollback goes to its end."""
        return (() if self.rollback else self.preferences.checkpoints) or (100,)


@dataclass
class Group(Lifecycle):
    """One Auto Scaling group.

    Attributes:
        refreshes: every instance refresh, by id, oldest first; at most the last is active.
        alarms: the states of the alarms that the active refresh names, as far as they exist.
    """

    refreshes: dict[str, Refresh] = field(default_factory=dict)
    alarms: Mapping[str, str] = field(default_factory=dict)

    # --- requests ---------------------------------------------------------------------------------------------------

    @property
    def active_refresh(self) -> Refresh | None:
        """The refresh or rollback that is in progress."""
        last = next(reversed(self.refreshes.values()), None)
        return last if last and last.status in ACTIVE else None

    def start_refresh(
        self,
        preferences: Preferences,
        desired: Template | None,
        to: Template,
        now: float,
        alarms: Mapping[str, str] | None = None,
    ) -> Refresh:
        """StartInstanceRefresh; it begins with the next tick.

        Args:
            desired: the configuration asked for, if any; adopted by the group when the refresh succeeds.
            to: it, or else the group's template, with the version's number.
            alarms: the states of the account's alarms.

        Raises:
            Refused: ``InstanceRefreshInProgress``; ``ValidationError`` for preferences out of bounds, for
                AutoRollback if nothing can be rolled back, or for an alarm that is not OK.
        """
        if self.active_refresh:
            raise Refused(
                "InstanceRefreshInProgress",
                "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
            )
        settled = preferences.with_defaults(self.settings)
        if settled.auto_rollback and desired is None:
            raise invalid(
                "The AutoRollback parameter cannot be set to true when the DesiredConfiguration parameter is empty. "
                "Set AutoRollback to false or specify a desired configuration and try again."
            )
        if settled.auto_rollback and not self.settings.template.version.isdigit():
            raise invalid(
                "The AutoRollback parameter cannot be set to true when the group uses the $Latest or $Default version."
            )
        for name in settled.alarms:  # (UG, "Undo changes with a rollback", "Considerations"; wording derived)
            if (state := (alarms or {}).get(name)) is None:
                raise invalid(f"The CloudWatch alarm {name} does not exist.")
            if state != "OK":
                raise invalid(f"The CloudWatch alarm {name} is in the {state} state. Specify an alarm that is OK.")
        instances = [i for i in self.instances.values() if i.state in COUNTED or i.state == "Standby"]
        members = frozenset(i.id for i in instances)
        differ = [i for i in instances if not (settled.skip_matching and i.template == to)]
        waiting = frozenset(i.id for i in differ if not settled.ignores(i))
        left = len(waiting)
        refresh = Refresh(self.new_id(), settled, desired, to, waiting, left, now, left=left, members=members)
        self.refreshes[refresh.id] = refresh
        self.alarms = alarms or {}
        self._check_at(now)
        return refresh

    def set_alarms(self, states: Mapping[str, str], now: float) -> list[Effect]:
        """The account's alarms have these states from now on."""
        self.alarms = states
        refresh = self.active_refresh
        return self._converge(now) if refresh and refresh.preferences.alarms else []

    def check_launch_template_update(self) -> None:
        """Whether UpdateAutoScalingGroup can name a launch template now.

        Raises:
            Refused: ``ValidationError`` while a refresh with a desired configuration is active (UG, "How an instance
                refresh works", "Limitations"); also for the template that the group has (derived).
        """
        refresh = self.active_refresh
        if refresh and refresh.desired:
            raise invalid(
                "An active instance refresh with a desired configuration exists. All configuration options derived "
                "from the desired configuration are not available for update while the instance refresh is active."
            )

    def cancel_refresh(self, wait: bool, now: float) -> Refresh:
        """CancelInstanceRefresh, also of a rollback: no more replacements.

        Args:
            wait: whether launches and terminations in progress end first, with their hooks
                (API, CancelInstanceRefresh, WaitForTransitioningInstances).

        Raises:
            Refused: ``ActiveInstanceRefreshNotFound``.
        """
        refresh = self._running("Cancelling")
        reason = "Cancelled due to user request."
        changed = replace(refresh, status="Cancelling", reason=reason, paused_until=None)
        self._store(changed if wait else replace(changed, status="Cancelled", ended_at=now))
        self._check_at(now)
        return refresh

    def roll_back_refresh(self, now: float) -> Refresh:
        """RollbackInstanceRefresh.

        Raises:
            Refused: ``ActiveInstanceRefreshNotFound``; ``IrreversibleInstanceRefresh`` without a desired configuration
                or if the group's template version is not a number (API, RollbackInstanceRefresh).
        """
        refresh = self._running("Cancelling", "RollbackInProgress")
        if refresh.desired is None or not self.settings.template.version.isdigit():
            raise Refused(
                "IrreversibleInstanceRefresh",
                "The request failed because a desired configuration was not found or an incompatible launch template "
                "version ($Latest or $Default) is present on the Auto Scaling group.",
            )
        self._begin_rollback(refresh, "Manual rollback was initiated by user request.", now)
        return refresh

    def _running(self, *but: str) -> Refresh:
        refresh = self.active_refresh
        if refresh is None or refresh.status in but:
            raise Refused(
                "ActiveInstanceRefreshNotFound",
                f"No in progress or pending Instance Refresh found for Auto Scaling group {self.name}",
            )
        return refresh

    def terminated(self, instance_id: str, now: float) -> None:
        """EC2 has terminated the instance of a ``Terminate``: a cancelled refresh may wait for that."""
        super().terminated(instance_id, now)
        if self.active_refresh:
            self._check_at(now)

    # --- called by the lifecycle ------------------------------------------------------------------------------------

    @property
    def launch_template(self) -> Template:
        """While a refresh is active, every new instance has its configuration; a rollback launches the group's own.

        (UG, "How an instance refresh works", "Desired configuration"; that it is active until it is cancelled is
        derived.)
        """
        refresh = self.active_refresh
        if refresh and refresh.desired and not refresh.rollback:
            return refresh.to
        return self.settings.template

    @property
    def warmup(self) -> int:
        """A refresh has its own."""
        refresh = self.active_refresh
        return super().warmup if refresh is None else refresh.preferences.warmup or 0

    def _note_failure(self, launched_at: float, now: float) -> None:
        refresh = self.active_refresh
        if (
            refresh
            and refresh.started_at is not None
            and launched_at >= refresh.started_at
            and refresh.failing_since is None
        ):
            self._store(replace(refresh, failing_since=now))
            self._check_at(now + REFRESH_TIMEOUT_SECONDS)

    def _may_terminate(self, instance: Instance) -> bool:
        refresh = self.active_refresh
        refreshed = (
            refresh is not None and instance.id in refresh.waiting and refresh.preferences.protected == "Refresh"
        )
        return refreshed or super()._may_terminate(instance)

    def _may_spare(self, instance_id: str | None, now: float) -> bool:
        """A refresh also waits if others have become unhealthy, to stay above its minimum."""
        refresh = self.active_refresh
        return refresh is None or instance_id is None or self._may_lose(self.instances[instance_id], refresh, now)

    def _may_lose(self, instance: Instance, refresh: Refresh, now: float) -> bool:
        """Whether enough healthy instances are left without this one."""
        if not self._serves(instance, refresh, now):
            return True
        serving = sum(self._serves(i, refresh, now) for i in self.instances.values())
        return serving - 1 >= self.settings.desired - self._headroom(refresh).fewer

    def _rebalance(self, now: float) -> list[Effect]:
        """Not while a refresh moves instances itself (derived)."""
        return [] if self.active_refresh else super()._rebalance(now)

    # --- progress ---------------------------------------------------------------------------------------------------

    def _store(self, refresh: Refresh) -> None:
        self.refreshes[refresh.id] = refresh

    def _refresh(self, now: float) -> list[Effect]:
        """The active refresh's next step: update its progress, then end, pause, wait, or replace the next batch."""
        refresh = self.active_refresh
        if refresh is None or "InstanceRefresh" in self.suspended:
            return []
        if refresh.status == "Pending":
            refresh = replace(refresh, status="InProgress", started_at=now)
            self._check_at(now + LONGEST_REFRESH_SECONDS)
        effects = self._terminate_replacements(refresh, now) if refresh.rollback else []
        refresh = self._update_progress(refresh, now)
        self._store(refresh)
        if refresh.status == "Cancelling":
            if not (self.launching or self.extras or any(self._moves(i, refresh) for i in self.instances.values())):
                self._store(replace(refresh, status="Cancelled", ended_at=now))
            return effects
        if reason := self._failure(refresh, now):
            return self._fail(refresh, f"Instance refresh failed: {reason}.", now)
        if refresh.paused_until is not None:
            if now < refresh.paused_until:
                return effects
            if refresh.status == "Baking":
                return self._succeed(refresh, now)
            refresh = replace(refresh, paused_until=None, checkpoints_passed=refresh.paused_at)
        reached = sum(self._left(refresh, now) <= self._may_stay(refresh, point) for point in refresh.points)
        # In a larger group a checkpoint can be ahead again (UG, "Add checkpoints to an instance refresh").
        refresh = replace(refresh, checkpoints_passed=min(refresh.checkpoints_passed, reached))
        self._store(refresh)
        if reached > refresh.checkpoints_passed:
            return effects + self._reach(refresh, reached, now)
        return effects + self._replace_batch(refresh, now)

    def _failure(self, refresh: Refresh, now: float) -> str | None:
        """Why the refresh fails, if it does."""
        alarms = () if refresh.rollback else refresh.preferences.alarms
        if alarming := [name for name in alarms if self.alarms.get(name) == "ALARM"]:
            return f"CloudWatch alarm {alarming[0]} is in the ALARM state"
        if refresh.failing_since is not None and now >= refresh.failing_since + REFRESH_TIMEOUT_SECONDS:
            return "new instances did not come into service within one hour"
        began = refresh.rollback.started_at if refresh.rollback else refresh.started_at
        if began is not None and now >= began + LONGEST_REFRESH_SECONDS:
            return "it did not complete within 14 days"
        return None

    @staticmethod
    def _moves(instance: Instance, refresh: Refresh) -> bool:
        """Whether the instance is being launched, or terminated with its hooks (those of the refresh, derived)."""
        if instance.state.startswith("Terminating") and instance.state != "Terminating:Retained":
            return instance.id in refresh.members or instance.template == refresh.to
        return instance.state.startswith("Pending")

    def _may_stay(self, refresh: Refresh, point: int) -> int:
        """How many instances need not be replaced yet once so many percent of the group are new.

        The group is what it desires, so that this changes with its size; an instance that matched already, or was
        launched by a scale-out, is a new one, and one that is ignored is not (UG, "Add checkpoints to an instance
        refresh"; skip matching derived).
        """
        standby = sum(self.instances[id].state == "Standby" for id in refresh.waiting)
        ignored = sum(
            id in self.instances
            and self.instances[id].state in COUNTED
            and refresh.preferences.ignores(self.instances[id])
            and not (refresh.preferences.skip_matching and self.instances[id].template == refresh.to)
            for id in refresh.members
        )
        return max(0, (self.settings.desired + standby) * (100 - point) // 100 - ignored)

    def _terminate_replacements(self, refresh: Refresh, now: float) -> list[Effect]:
        """A rollback terminates the replacements of instances that are still there."""
        cause = f"At {stamp(now)} an instance was taken out of service in response to an instance refresh rollback."
        launched = [self.instances[extra.instance] for extra in self.extras.values() if extra.instance]
        return [effect for i in launched if self._to_undo(i, refresh) for effect in self._terminate(i, cause, now)]

    def _to_undo(self, instance: Instance, refresh: Refresh) -> bool:
        """Whether the refresh has launched it (API, RollbackInstanceRefresh): not what it skipped as matching."""
        if instance.id in refresh.members or instance.state not in COUNTED:
            return False
        return instance.template == refresh.to != self.settings.template

    def _update_progress(self, refresh: Refresh, now: float) -> Refresh:
        """What is left to replace, and the percentage (API, InstanceRefresh, PercentageComplete)."""
        instances = [self.instances[id] for id in refresh.waiting if id in self.instances]
        kept = [
            i for i in instances if (i.state in COUNTED or i.state == "Standby") and not refresh.preferences.ignores(i)
        ]
        if refresh.rollback:  # what was still being launched when it began counts too
            kept = [i for i in self.instances.values() if self._to_undo(i, refresh)]
        refresh = replace(refresh, waiting=frozenset(i.id for i in kept), total=max(refresh.total, len(kept)))
        done = max(0, refresh.total - self._left(refresh, now))
        share = 100 * done // refresh.total if refresh.total else 100
        warming = self._unready(refresh, now)
        if done > refresh.furthest:
            refresh = replace(refresh, furthest=done, failing_since=None)
        reason = refresh.reason if refresh.paused_until is not None or refresh.status == "Cancelling" else None
        if warming and reason is None:
            reason = f"Waiting for instances to warm up before continuing. For example: {warming[0]} is warming up."
        if refresh.rollback:
            return replace(refresh, reason=reason, percentage=refresh.rollback.percentage * (100 - share) // 100)
        return replace(refresh, reason=reason, percentage=min(100, share), left=max(0, refresh.total - done))

    def _unready(self, refresh: Refresh, now: float) -> list[str]:
        """The ids of new instances that are not ready yet."""
        new = (i for i in self.instances.values() if i.state in COUNTED and i.id not in refresh.waiting)
        return [i.id for i in new if not self._ready(i, now)]

    def _left(self, refresh: Refresh, now: float) -> int:
        """How many instances are still to be replaced, missing, or new and not warm yet."""
        coming = len(self._unready(refresh, now)) + len(self.launching)
        missing = max(0, self.settings.desired - (self._actual - self._surplus()))
        return len(refresh.waiting) + max(0, coming - self._surplus()) + missing

    def _replace_batch(self, refresh: Refresh, now: float) -> list[Effect]:
        """Replace as many as health, checkpoint and preferences allow (UG, "How an instance refresh works")."""
        waiting = [self.instances[id] for id in self.instances if id in refresh.waiting]
        free = [i for i in waiting if not self._held(i, refresh)]
        started = {extra.target for extra in self.extras.values()}
        point = refresh.points[min(refresh.checkpoints_passed, len(refresh.points) - 1)]
        budget = len(waiting) - self._may_stay(refresh, point) - len(started & refresh.waiting)
        if {"Launch", "Terminate"} & self.suspended.keys() or self._retry_at is not None:
            return []
        alarms = () if refresh.rollback else refresh.preferences.alarms
        if unclear := [name for name in alarms if self.alarms.get(name) != "OK"]:  # (UG, "Undo changes", alarms)
            self._store(replace(refresh, reason=f"Waiting for data of CloudWatch alarm {unclear[0]}."))
            return []
        if not free and waiting and not self._unready(refresh, now):
            return self._wait_for(refresh, waiting, now)
        if refresh.blocked_since is not None:
            self._store(replace(refresh, blocked_since=None))
        bounds = self._headroom(refresh)
        cause = f"At {stamp(now)} an instance was taken out of service in response to an instance refresh."
        why = f"At {stamp(now)} an instance was launched in response to an instance refresh."
        effects: list[Effect] = []
        for instance in free:
            if budget <= 0:
                break
            if instance.id in started:
                continue
            if instance.state == "Standby":
                effects += self._terminate(instance, cause, now)
            elif bounds.more > len(self.extras) and instance.state == "InService":
                effects += self._replace_first(instance, bounds.more, why, cause, now)
            elif self._may_lose(instance, refresh, now):
                effects += self._terminate(instance, cause, now)
            else:
                break
            budget -= 1
        return effects + self._fill(now, why)

    def _serves(self, instance: Instance, refresh: Refresh, now: float) -> bool:
        """Whether the instance counts as healthy capacity; only new ones must be warm for that."""
        return self._ready(instance, now) or (
            instance.id in refresh.waiting and instance.state == "InService" and instance.healthy
        )

    def _headroom(self, refresh: Refresh) -> Headroom:
        preferences = refresh.preferences
        return headroom(self.settings.desired, preferences.min_healthy or 0, preferences.max_healthy)

    def _held(self, instance: Instance, refresh: Refresh) -> bool:
        """Whether the refresh waits for its protection or standby to end."""
        if instance.state == "Standby":
            return refresh.preferences.standby == "Wait"
        return instance.protected and refresh.preferences.protected == "Wait"

    def _wait_for(self, refresh: Refresh, held: list[Instance], now: float) -> list[Effect]:
        """Wait up to an hour for protected and standby instances (API, RefreshPreferences)."""
        since = refresh.blocked_since if refresh.blocked_since is not None else now
        why = "is in Standby" if held[0].state == "Standby" else "is protected from scale in"
        reason = f"Waiting for remaining instances to be available. For example: {held[0].id} {why}."
        if now >= since + REFRESH_TIMEOUT_SECONDS:
            return self._fail(
                refresh, f"Instance refresh failed: {held[0].id} {why} and could not be replaced within one hour.", now
            )
        if refresh.blocked_since is None:
            self._check_at(now + REFRESH_TIMEOUT_SECONDS)
        self._store(replace(refresh, blocked_since=since, reason=reason))
        return []

    def _reach(self, refresh: Refresh, reached: int, now: float) -> list[Effect]:
        """So many checkpoints are reached: the delay of the last of them, the bake time, or the end."""
        preferences = refresh.preferences
        if refresh.rollback:
            self._store(replace(refresh, status="RollbackSuccessful", reason=None, ended_at=now, percentage=0))
            return []
        if reached < len(refresh.points):
            until = now + (preferences.checkpoint_delay or 0)
            reason = f"Reached the checkpoint at {refresh.points[reached - 1]}%; waiting until {stamp(until)}."
            refresh = replace(refresh, paused_at=reached, paused_until=until, reason=reason)
        elif preferences.bake:
            until = now + preferences.bake
            refresh = replace(refresh, status="Baking", paused_until=until, reason=f"Baking until {stamp(until)}.")
        else:
            return self._succeed(refresh, now)
        self._store(refresh)
        self._check_at(until)
        return []

    def _succeed(self, refresh: Refresh, now: float) -> list[Effect]:
        """The group gets the desired configuration (UG, "How an instance refresh works")."""
        if refresh.desired:
            self.settings = replace(self.settings, template=refresh.desired)
        self._store(replace(refresh, status="Successful", reason=None, ended_at=now, paused_until=None))
        return []

    def _fail(self, refresh: Refresh, reason: str, now: float) -> list[Effect]:
        """Fail, or roll back if that was asked for (UG, "Undo changes with a rollback")."""
        if refresh.rollback:
            self._store(replace(refresh, status="RollbackFailed", reason=reason, ended_at=now))
        elif refresh.preferences.auto_rollback:
            self._begin_rollback(refresh, f"Automatic rollback was initiated: {reason}", now)
        else:
            self._store(replace(refresh, status="Failed", reason=reason, ended_at=now))
        return []

    def _begin_rollback(self, refresh: Refresh, reason: str, now: float) -> None:
        """Replace what the refresh has launched; what was not replaced stays."""
        self._check_at(now + LONGEST_REFRESH_SECONDS)
        back = frozenset(i.id for i in self.instances.values() if self._to_undo(i, refresh))
        self._store(
            replace(
                refresh,
                status="RollbackInProgress",
                reason=reason,
                waiting=back,
                total=len(back),
                started_at=refresh.started_at if refresh.started_at is not None else now,
                furthest=0,
                failing_since=None,
                blocked_since=None,
                paused_until=None,
                rollback=Rollback(reason, now, refresh.percentage, refresh.left, len(back)),
            )
        )
        self._check_at(now)
