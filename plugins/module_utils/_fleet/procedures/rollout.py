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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Group,
    Refresh,
    waiting_since,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import (
    count,
    duration,
    first_of,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.refusals import passing
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import (
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
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.rollout_state import (
    BAKE,
    CANCEL,
    END_SECONDS,
    FINISH,
    FOREIGN,
    MOVE_PIN,
    START_BACK,
    START_CANARY,
    START_REST,
    STOP_REFRESH,
    TERMINATE,
    TURN_BACK,
    UNDONE,
    WAIT,
    WATCH_BACK,
    WATCH_CANARY,
    WATCH_REST,
    Options,
    State,
    active_refresh,
    canary_preferences,
    counted,
    is_canary,
    late,
    longest,
    next_step,
    preferences,
    verdict,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done

EVERY_SECONDS = 2.0
ACTIVITIES_EVERY = 5  # looks, unless an instance has left or is unhealthy: all calls of an account share one budget
PASSING_SECONDS = 300.0  # for which AWS may refuse, or not answer, what it does a moment later
SETTLE_SECONDS = 2.0  # from writing the tag to reading it again: a second operator has written by then
SEEN_SECONDS = 30.0  # until DescribeAutoScalingGroups shows a tag that was written
CANARY_ATTEMPTS = 3  # where VALET scales canaries in before they are verified
BACK_ATTEMPTS = 2
RETAINED = "Terminating:Retained"


class Client(Protocol):
    """The group. Every method raises AwsError."""

    name: str

    def read(self) -> Group: ...

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


class Refused(Exception):
    """Nothing was changed. The text says why, and what to do."""


class Stopped(Exception):
    """It does not go on. What AWS has begun goes on without this program. The text says why, and what to do."""


class Undone(Exception):
    """The new version was not right, and the group is as it was before. The text is one line with the finding."""


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
            # A refresh that is cancelled ends once what it terminates has drained.
            if not self._watch(WAIT, canary_bound + self.options.drain):
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
                text = f"no canary was in service within {duration(canary_bound)}"
                self._turn_back("canary-launch", f"{text}. {state.active.reason if state.active else ''}".strip())
            elif instance := self._late():
                text = f"{instance} did not come into service within {duration(self.options.give_up)}"
                self._turn_back("canary-launch", text)
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
            over = next_step(state, self.options.canary, self.approved) != step
            return Progress(over or (step == WATCH_CANARY and bool(self._late())), self._summary())

        return until_done(progress, bound, self.clock, self.sleep, self.log, EVERY_SECONDS).done

    def _late(self) -> str:
        return late(self.state, self.wall(), self.options.give_up)

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
            elif code in PASSING or passing(str(error)):
                self._failing_since = self.clock() if self._failing_since is None else self._failing_since
                if self.clock() - self._failing_since >= PASSING_SECONDS:
                    raise
                self.log(f"AWS refuses for the moment ({error}): trying again")
            elif self.state.own:
                raise
            else:  # nothing has begun, and nothing is left of it
                self._patient(lambda: self.client.delete_tags([TAG]))
                raise Refused(str(error)) from None
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
            # Without alarms: AWS starts no refresh while one of them is in ALARM, which may be why it goes back.
            wanted = preferences(self.options._replace(alarms=()))
            self._write(lambda: client.start_refresh(state.group, "", wanted))
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
        if step == UNDONE and rollout.why:  # whoever waits for the reason is not kept waiting for a drain
            text = self.reason or f"an earlier run found {rollout.why}"
            raise Undone(
                f"Rolled back: {text}. {self.client.name} runs version {rollout.previous} as before, "
                f"and version {rollout.version} is not rolled out.{self._left()}"
            )
        self._wait_for_drains(rollout.version if step == FINISH else rollout.previous)
        return self.state

    def _left(self) -> str:
        """Which instances of the new version have not ended yet, as sentences."""
        new = [i for i in self.state.group.instances if self.state.is_new(i)]
        retained = [i.id for i in new if i.state == RETAINED]
        draining = [i.id for i in new if i.state != RETAINED]
        words = f" Still draining: {first_of(draining)}." if draining else ""
        return words + (f" Retained and billed: {first_of(retained)}, see release_retained.yml." if retained else "")

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
            minutes = (self.wall() - since) // 60 if since else 0  # whole ones: a line each is enough
            words.append(f"{instance.id} drains{f' for {duration(60 * minutes)}' if minutes > 0 else ''}{job}")
        more = f" and {len(leaving) - 5} more" if len(leaving) > 5 else ""
        return ", ".join(words) + more


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
