# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts of a group whose clock moves only when the procedure sleeps: killed at every call, refused, unanswered."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Activity,
    Group,
    GroupInstance,
    Refresh,
    Tag,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import (
    Registry,
    WorkerJobs,
    WorkerRow,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import (
    ACTIVE,
    LAST_VERSION_TAG,
    STATUSES,
    TAG,
    Rollout,
    base_code,
    last_version,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures import rollout_state
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.rollout import (
    Procedure,
    Refused,
    Stopped,
    Undone,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.rollout_state import (
    LONGEST_PAUSE,
    Options,
)

ME, OTHER = "arn:aws:sts::123456789012:assumed-role/operator/alice", "arn:aws:iam::123456789012:user/bob"
T = TypeVar("T")
TEMPLATE = "lt-0123456789abcdef0"
OPTIONS = Options(canary=1, bake=60.0, launch=300.0, drain=600.0)
BOOT, DRAIN = 20.0, 30.0
HEALTH_CHECK = "At 2026-11-27T12:00:00Z an instance was taken out of service in response to a user health-check."


class Killed(BaseException):
    """The controller is gone."""


class FakeGroup:
    """An Auto Scaling group with instance refreshes. Each call is counted, and may be refused, lost or the last one."""

    name = "gh-asg"

    def __init__(self, instances: int = 3, version: str = "1") -> None:
        self.now = 1_000_000.0
        self.desired = instances
        self.pin = version
        self.instances: dict[str, GroupInstance] = {}
        self.since: dict[str, float] = {}
        self.tags: dict[str, str] = {}
        self.done: list[Refresh] = []
        self.events: list[Activity] = []
        self.log: list[str] = []
        self.writes: list[str] = []
        self.fails_to_boot: set[str] = set()
        self.alarm = False
        self.calls = 0
        self.at_call: Callable[[str, int, str], None] = lambda name, number, when: None
        self.at_tick: Callable[[], None] = lambda: None
        self._number = 0
        for _instance in range(instances):
            self._launch(version, booted=True)

    # --- what is done with it ---

    def _called(self, name: str, change: Callable[[], T], write: bool = False) -> T:
        self.calls += 1
        number = self.calls
        self.at_call(name, number, "before")
        result = change()
        if write:
            self.writes.append(name)
        self.at_call(name, number, "after")
        return result

    def read(self) -> Group:
        return self._called("read", self.group)

    def group(self) -> Group:
        return Group(
            name=self.name,
            arn="arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:x:autoScalingGroupName/gh-asg",
            min_size=0,
            max_size=20,
            desired_capacity=self.desired,
            template_id=TEMPLATE,
            template_version=self.pin,
            tags={key: Tag(value, propagated=False) for key, value in self.tags.items()},
            instances=tuple(self.instances.values()),
        )

    def refreshes(self) -> tuple[Refresh, ...]:
        return self._called("refreshes", lambda: tuple(reversed(self.done)))

    def activities(self) -> tuple[Activity, ...]:
        return self._called("activities", lambda: tuple(reversed(self.events)))

    def start_refresh(self, group: Group, version: str, preferences: dict[str, Any]) -> None:
        self._called("start_refresh", lambda: self._start(version, preferences), write=True)

    def _start(self, version: str, preferences: dict[str, Any]) -> None:
        if self.active:
            raise AwsError("a refresh is in progress", "InstanceRefreshInProgress")
        if self.alarm and "AlarmSpecification" in preferences:
            raise AwsError("the alarm is in the ALARM state", "ValidationError")
        assert preferences["SkipMatching"]
        assert preferences["ScaleInProtectedInstances"] == "Refresh"
        points = tuple(preferences.get("CheckpointPercentages", ()))
        assert bool(points) == ("CheckpointDelay" in preferences)
        self.done.append(
            Refresh(
                id=f"refresh-{len(self.done)}",
                status="InProgress",
                reason="",
                percent=0,
                started=self.now,
                template_id=TEMPLATE if version else "",
                version=version,
                checkpoints=points,
                bake_seconds=preferences.get("BakeTime", 0),
            )
        )

    def cancel_refresh(self, wait: bool) -> None:
        self._called("cancel_refresh", lambda: self._end(self._running("Cancelling"), "Cancelled"), write=True)

    def roll_back_refresh(self) -> None:
        self._called("roll_back_refresh", lambda: self._roll_back("asked for"), write=True)

    def _roll_back(self, reason: str) -> None:
        self._put(replace(self._running("RollbackInProgress"), status="RollbackInProgress", reason=reason))

    def terminate(self, instance: str, decrement: bool) -> None:
        assert not decrement, "the desired capacity is VALET's"
        self._called("terminate", lambda: self._terminate(instance, "a user request"), write=True)

    def set_version(self, group: Group, version: str) -> None:
        self._called("set_version", lambda: setattr(self, "pin", version), write=True)

    def write_tag(self, key: str, value: str) -> None:
        self._called("write_tag", lambda: self.tags.__setitem__(key, value), write=True)

    def delete_tags(self, keys: Sequence[str]) -> None:
        self._called("delete_tags", lambda: [self.tags.pop(key, None) for key in keys], write=True)

    def cli_command(self, words: str) -> str:
        return f"aws autoscaling {words}"

    # --- what it does itself ---

    @property
    def active(self) -> Refresh | None:
        return self.done[-1] if self.done and self.done[-1].status in ACTIVE else None

    def _running(self, *but: str) -> Refresh:
        if self.active is None or self.active.status in but:
            raise AwsError("no refresh", "ActiveInstanceRefreshNotFoundFault")
        return self.active

    def _put(self, refresh: Refresh) -> None:
        self.done[-1] = refresh

    def _end(self, refresh: Refresh, status: str) -> None:
        self._put(replace(refresh, status=status, ended=self.now))

    def _launch(self, version: str, booted: bool = False) -> None:
        self._number += 1
        id = f"i-{self._number:08x}"
        state = "InService" if booted else "Pending:Wait"
        self.instances[id] = GroupInstance(id, state, "Healthy", "a", "t3.medium", version, False, TEMPLATE)
        self.since[id] = self.now
        status = "Successful" if booted else "InProgress"
        self._event(id, "Launching a new EC2 instance", "a difference", status)

    def _event(self, id: str, what: str, cause: str, status: str = "InProgress", message: str = "") -> None:
        at = self.now if status != "Failed" else self.since[id]
        self.events.append(Activity(status, f"{what}: {id}", message, at, 0.0, id, f"a-{len(self.events)}", cause))

    def _terminate(self, id: str, cause: str) -> None:
        if id in self.instances and not self.instances[id].state.startswith("Terminating"):
            self.instances[id] = replace(self.instances[id], state="Terminating:Wait")
            self.since[id] = self.now
            self._event(id, "Terminating EC2 instance", cause)

    def unhealthy(self, id: str) -> None:
        """Its agent says that it is unfit."""
        self.instances[id] = replace(self.instances[id], health="Unhealthy")
        self._terminate(id, HEALTH_CHECK)

    def counted(self, *versions: str) -> list[GroupInstance]:
        every = rollout_state.counted(self.group())
        return [i for i in every if not versions or i.template_version in versions]

    def sleep(self, seconds: float) -> None:
        for _second in range(max(1, round(seconds))):
            self.now += seconds / max(1, round(seconds))
            self._tick()

    def _tick(self) -> None:
        for id, one in list(self.instances.items()):
            age = self.now - self.since[id]
            if one.state == "Pending:Wait" and age >= BOOT:
                if one.template_version in self.fails_to_boot:
                    del self.instances[id]
                    self._event(id, "Launching a new EC2 instance", "", "Failed", "the launch hook was abandoned")
                else:
                    self.instances[id] = replace(one, state="InService")
            elif one.state == "Terminating:Wait" and age >= DRAIN:
                del self.instances[id]
        self._refresh()
        launches = self.active.version if self.active and self.active.status == "InProgress" else ""
        for _missing in range(self.desired - len(self.counted())):
            self._launch(launches or self.pin)
        if not self.active:
            for extra in self.counted()[self.desired :]:  # the newest: what a scale-in may do to a canary
                self._terminate(extra.id, "a difference between desired and actual capacity")
        self.at_tick()

    def _refresh(self) -> None:
        """One instance at a time: launch its replacement, then terminate it."""
        refresh = self.active
        if refresh is None or any(i.state != "InService" for i in self.counted()):
            return
        back = refresh.status == "RollbackInProgress"
        to = self.pin if back else refresh.version or self.pin
        old = [i for i in self.counted() if i.template_version != to]
        old = [i for i in old if i.template_version == refresh.version] if back else old
        if len(self.counted()) > self.desired:
            self._terminate((old or self.counted())[0].id, "an instance refresh")
            return
        new = len(self.counted()) - len(old)
        percent = 100 * new // len(self.counted()) if self.counted() else 100
        refresh = replace(refresh, percent=percent, remaining=len(old))
        self._put(refresh)
        paused = refresh.checkpoints and percent >= refresh.checkpoints[0]
        if old and not (paused and not back and self.now < refresh.started + LONGEST_PAUSE):
            self._launch(to)
        elif old:
            return
        elif back:
            self._end(refresh, "RollbackSuccessful")
        elif refresh.bake_seconds and self.now < refresh.started + refresh.bake_seconds:
            self._put(replace(refresh, status="Baking"))
        else:
            self.pin = refresh.version or self.pin
            self._end(refresh, "Successful")

    # --- what came of it ---

    @property
    def result(self) -> tuple[set[str], str, dict[str, str]]:
        """(the instances' versions, the group's, the rollout's tags)."""
        return {i.template_version for i in self.counted()}, self.pin, self.tags


def no_registry() -> Registry | None:
    return None


def make(
    fake: FakeGroup, options: Options = OPTIONS, registry: Callable[[], Registry | None] = no_registry
) -> Procedure:
    return Procedure(fake, options, lambda: fake.now, lambda: fake.now, fake.sleep, fake.log.append, registry)


def play(
    fake: FakeGroup,
    version: str = "2",
    *,
    rollback: bool = False,
    me: str = ME,
    takeover: bool = False,
    options: Options = OPTIONS,
    bad: str = "",
) -> bool:
    """As the playbooks do it, each step a process of its own. `bad` is a version that verification finds wrong."""
    first = make(fake, options)
    if not first.begin(version, rollback, me, takeover):
        return False
    first.run(until=rollout_state.BAKE)
    if first.finished:
        return True
    last = first
    if first.state.canaries:
        last = make(fake, options)
        last.resume(first.state.rollout)
        last.settled_at = first.settled_at
        last.bake()
    final = make(fake, options)
    final.resume(last.state.rollout)
    if bad and any(fake.instances[id].template_version == bad for id in last.state.canaries if id in fake.instances):
        final.reject("instances-ec2", "the canary is not right")
    final.approved = True
    final.run()
    assert final.finished
    return True


def finished(previous: str = "1") -> dict[str, str]:
    return {LAST_VERSION_TAG: f"{previous} {TEMPLATE}"}


# --- a rollout ---


@pytest.mark.parametrize("instances", [1, 2, 3, 10])
@pytest.mark.parametrize("canary", [1, 2])
def test_every_instance_is_replaced_and_the_version_moves(instances: int, canary: int) -> None:
    fake = FakeGroup(instances)
    assert play(fake, options=OPTIONS._replace(canary=canary))
    assert fake.result == ({"2"}, "2", finished())
    assert [r.status for r in fake.done] == ["Cancelled", "Successful"]
    assert not any(i.state.startswith("Terminating") for i in fake.instances.values()), "it waited for the drains"
    assert not play(fake), "a second run has nothing to do"


def test_the_version_before_is_launched_until_the_canaries_are_judged() -> None:
    fake, launched = FakeGroup(4), list[float]()

    def scale_out() -> None:
        firsts = [r for r in fake.done if r.status == "Cancelled"]
        if firsts and len(fake.done) == 1 and not launched:
            fake.desired += 1
            launched.append(fake.now)

    fake.at_tick = scale_out
    versions = []

    def note(name: str, _number: int, when: str) -> None:
        if name == "start_refresh" and when == "before":
            versions.append(sorted(i.template_version for i in fake.counted()))

    fake.at_call = note
    play(fake)
    assert versions == [["1"] * 4, ["1", "1", "1", "1", "2"]]
    assert fake.result == ({"2"}, "2", finished())


def test_canaries_bake_for_their_time_also_where_another_run_goes_on() -> None:
    fake = FakeGroup(3)
    play(fake)
    first, second = fake.done
    assert second.started - first.ended >= OPTIONS.bake


def test_a_fleet_without_instances_moves_its_version() -> None:
    fake = FakeGroup(0)
    assert play(fake)
    assert (fake.pin, fake.tags, [r.status for r in fake.done]) == ("2", finished(), ["Successful"])
    assert any("which nobody saw" in line for line in fake.log)


def test_a_group_that_launches_the_version_already_replaces_what_is_older() -> None:
    fake = FakeGroup(3)
    fake.pin = "2"
    assert play(fake)
    assert fake.result[:2] == ({"2"}, "2")
    assert [(r.version, r.status) for r in fake.done] == [("", "Successful")]


def test_progress_names_who_drains_and_for_which_job() -> None:
    fake = FakeGroup(1)
    old = next(iter(fake.instances))
    job, now = "0f8fad5b-d9cb-469f-a165-70867728950e", "2026-11-27T12:00:00Z"
    row = WorkerRow(old, "draining", None, old, "10.0.0.1", job, now, now, 3, 0, 1.0)
    one = make(fake, registry=lambda: Registry(True, "", (row,), (), may_write=False))
    one.begin("2", False, ME, False)
    one.approved = True
    one.run()
    assert any(f"{old} drains (job {job})" in line for line in fake.log), fake.log


def test_a_canarys_first_job_is_waited_for() -> None:
    fake, now = FakeGroup(1), "2026-11-27T12:00:00Z"
    job = "0f8fad5b-d9cb-469f-a165-70867728950e"

    def registry() -> Registry:
        (canary,) = (i.id for i in fake.counted("2")) if fake.counted("2") else ("i-none",)
        done = fake.now - 1_000_000 > 400
        row = WorkerRow(canary, "active", None, canary, "10.0.0.1", job, now, now, 0, 0, 1.0)
        jobs = {canary: WorkerJobs(completed=int(done), running=1)}
        return Registry(True, "", (row,), (), may_write=False, jobs=jobs)

    one = make(fake, registry=registry)
    one.begin("2", False, ME, False)
    one.run(until=rollout_state.BAKE)
    one.bake()
    assert fake.now - 1_000_000 > 400
    assert any(f"works on its first job ({job})" in line for line in fake.log)


@pytest.mark.parametrize("jobs", [WorkerJobs(failed=1), WorkerJobs(completed=2, running=2)], ids=["fails", "crashes"])
def test_a_canary_whose_jobs_go_wrong_bakes_no_longer(jobs: WorkerJobs) -> None:
    fake, now = FakeGroup(3), "2026-11-27T12:00:00Z"

    def registry() -> Registry:
        canaries = [i.id for i in fake.counted("2")]
        rows = tuple(WorkerRow(i, "active", None, i, "10.0.0.1", None, now, now, 0, 0, 1.0) for i in canaries)
        return Registry(True, "", rows, (), may_write=False, jobs=dict.fromkeys(canaries, jobs))

    one = make(fake, registry=registry)
    one.begin("2", False, ME, False)
    one.run(until=rollout_state.BAKE)
    began = fake.now
    one.bake()
    assert fake.now - began < OPTIONS.bake / 2
    assert any(jobs.problem in line for line in fake.log), fake.log


# --- what is not right ---


def assert_undone(fake: FakeGroup, text: str) -> None:
    assert fake.result == ({"1"}, "1", {}), fake.log
    assert any(text in line for line in fake.log)


@pytest.mark.parametrize("instances", [1, 4])
def test_canaries_that_are_judged_bad_are_ended_and_the_line_says_why(instances: int) -> None:
    fake = FakeGroup(instances)
    with pytest.raises(
        Undone, match=r"Rolled back: the canary is not right\. gh-asg runs version 1 as before"
    ) as undone:
        play(fake, bad="2")
    assert "Still draining: i-" in str(undone.value)
    fake.sleep(60)
    assert_undone(fake, "the canary is not right")
    assert fake.writes.count("terminate") == 1


def test_a_canary_that_does_not_boot_is_given_up_before_the_group_launches_the_next_one() -> None:
    fake = FakeGroup(3)
    fake.fails_to_boot = {"2"}
    with pytest.raises(Undone, match=r"did not come into service within 18 s\. gh-asg runs version 1 as before"):
        play(fake, options=OPTIONS._replace(give_up=BOOT - 2))
    assert [i.template_version for i in fake.instances.values()].count("2") <= 1
    assert len([e for e in fake.events if e.description.startswith("Launching")]) == 3 + 1 + 1
    assert fake.result == ({"1"}, "1", {})


def test_a_version_that_does_not_boot_costs_one_canary() -> None:
    fake = FakeGroup(3)
    fake.fails_to_boot = {"2"}
    with pytest.raises(Undone, match="did not come into service: the launch hook was abandoned"):
        play(fake)
    fake.sleep(60)
    assert_undone(fake, "did not come into service")
    assert {i.id for i in fake.counted()} >= {f"i-{n:08x}" for n in (1, 2, 3)}, "the old ones stayed"


def test_a_canary_that_becomes_unhealthy_while_it_bakes_is_rolled_back() -> None:
    fake = FakeGroup(3)

    def sicken() -> None:
        first = fake.done[0] if fake.done else None
        if first and first.status == "Cancelled" and fake.now >= first.ended + 30:
            for canary in fake.counted("2"):
                fake.unhealthy(canary.id)

    fake.at_tick = sicken
    with pytest.raises(Undone, match="unhealthy"):
        play(fake)
    fake.sleep(60)
    assert_undone(fake, "unhealthy")


def test_a_canary_that_crashes_while_the_others_are_replaced_is_rolled_back() -> None:
    fake, canary = FakeGroup(4), list[str]()

    def crash() -> None:
        if len(fake.done) == 1 and fake.done[0].status == "Cancelled":
            canary[:] = [i.id for i in fake.counted("2")]
        if len(fake.done) == 2 and len(fake.counted("2")) == 2 and canary[0] in fake.instances:
            fake.unhealthy(canary[0])

    fake.at_tick = crash
    with pytest.raises(Undone):
        play(fake)
    fake.sleep(120)
    assert_undone(fake, "unhealthy")
    assert fake.done[1].status == "RollbackSuccessful"


def test_one_of_many_that_fails_later_may_be_chance() -> None:
    fake, failed = FakeGroup(6), list[str]()

    def crash() -> None:
        if len(fake.done) == 2 and len(fake.counted("2")) == 4 and not failed:
            failed.append(fake.counted("2")[-1].id)
            fake.unhealthy(failed[0])

    fake.at_tick = crash
    assert play(fake)
    assert (failed != [], fake.result) == (True, ({"2"}, "2", finished()))


def test_a_refresh_that_fails_is_undone_with_awss_reason() -> None:
    fake = FakeGroup(4)

    def alarm() -> None:
        if len(fake.done) == 2 and fake.done[1].status == "InProgress" and len(fake.counted("2")) == 2:
            fake._roll_back("alarm queue-stuck went off")

    fake.at_tick = alarm
    with pytest.raises(Undone, match="alarm queue-stuck went off"):
        play(fake)
    assert fake.result == ({"1"}, "1", {})


def test_an_alarm_that_stays_on_does_not_prevent_the_way_back() -> None:
    fake = FakeGroup(4)

    def alarm() -> None:
        if len(fake.done) == 2 and fake.active and len(fake.counted("2")) == 2:
            fake.alarm = True
            fake._end(fake.active, "Failed")

    fake.at_tick = alarm
    with pytest.raises(Undone):
        play(fake, options=OPTIONS._replace(alarms=("queue-stuck",)))
    assert fake.result == ({"1"}, "1", {})
    assert [r.status for r in fake.done] == ["Cancelled", "Failed", "Successful"]


def test_a_refresh_that_somebody_cancels_stops_the_rollout_and_the_same_command_goes_on() -> None:
    fake = FakeGroup(4)

    def cancel() -> None:
        if len(fake.done) == 2 and fake.active and len(fake.counted("2")) == 2:
            fake._end(fake.active, "Cancelled")

    fake.at_tick = cancel
    with pytest.raises(Stopped, match=r"Run rollout\.yml again to go on, or rollback\.yml"):
        play(fake)
    assert play(fake)
    assert fake.result == ({"2"}, "2", finished())


def test_canaries_that_valet_scales_in_are_replaced_by_others_before_anything_is_judged() -> None:
    fake, scaled = FakeGroup(3), list[float]()

    def scale() -> None:
        if fake.done and fake.done[-1].status == "Cancelled" and not scaled:
            scaled.append(fake.now)
            fake.desired = 2  # the newest instance leaves: the canary

    fake.at_tick = scale
    assert play(fake)
    assert [r.status for r in fake.done] == ["Cancelled", "Cancelled", "Successful"]
    assert fake.result == ({"2"}, "2", finished())


def test_a_new_instance_that_valet_scales_in_while_it_boots_is_no_fault_of_its_version() -> None:
    fake, gone = FakeGroup(3), list[str]()

    def scale_in() -> None:
        for one in fake.counted("2"):
            if one.state == "Pending:Wait" and not gone:
                gone.append(one.id)
                fake.events = [replace(e, status="Cancelled") if e.instance == one.id else e for e in fake.events]
                fake._terminate(one.id, "a difference between desired and actual capacity")

    fake.at_tick = scale_in
    assert play(fake)
    assert gone
    assert fake.result == ({"2"}, "2", finished())


# --- back ---


def test_a_rollback_after_a_rollout_goes_to_the_version_before_and_a_second_one_is_refused() -> None:
    fake = FakeGroup(3)
    play(fake)
    assert play(fake, "", rollback=True)
    assert fake.result == ({"1"}, "1", finished())
    assert [r.status for r in fake.done] == ["Cancelled", "Successful"] * 2
    with pytest.raises(Refused, match="runs version 1 already"):
        play(fake, "", rollback=True)
    assert play(fake), "and forward again"
    assert fake.result == ({"2"}, "2", finished())


def test_there_is_nothing_to_go_back_to_before_the_first_rollout() -> None:
    fake = FakeGroup(3)
    with pytest.raises(Refused, match="no version to go back to"):
        play(fake, "", rollback=True)
    assert fake.writes == []


@pytest.mark.parametrize("refresh", [1, 2])
def test_a_rollback_during_a_rollout_undoes_it_without_going_dark(refresh: int) -> None:
    fake = FakeGroup(4)

    def kill() -> None:
        if len(fake.done) == refresh and fake.counted("2"):
            raise Killed

    fake.at_tick = kill
    with pytest.raises(Killed):
        play(fake)
    fake.at_tick = lambda: lowest.append(len([i for i in fake.counted() if i.state == "InService"]))
    lowest = list[int]()
    assert play(fake, "", rollback=True)
    assert fake.result == ({"1"}, "1", {})
    assert min(lowest) >= 3, "an instance that boots counts when it serves"


def test_a_rollback_of_a_rollout_whose_end_was_not_recorded() -> None:
    fake = FakeGroup(3)

    def kill(name: str, _number: int, when: str) -> None:
        if name == "write_tag" and when == "before" and len(fake.done) == 2:
            raise Killed

    fake.at_call = kill
    with pytest.raises(Killed):
        play(fake)
    fake.at_call = lambda *_: None
    assert fake.pin == "2"
    assert play(fake, "", rollback=True)
    assert fake.result == ({"1"}, "1", finished())


# --- interrupted ---


def last_call(run: Callable[[FakeGroup], object], make_fake: Callable[[], FakeGroup]) -> int:
    fake = make_fake()
    run(fake)
    return fake.calls


def rolled_out(fake: FakeGroup) -> None:
    play(fake)


def rejected(fake: FakeGroup) -> None:
    with pytest.raises(Undone):
        play(fake, bad="2")
    fake.sleep(60)


def rolled_back(fake: FakeGroup) -> None:
    play(fake, "", rollback=True)


def after_rollout() -> FakeGroup:
    fake = FakeGroup(3)
    play(fake)
    fake.calls = 0
    return fake


KILLED: dict[str, tuple[Callable[[FakeGroup], None], Callable[[], FakeGroup], object]] = {
    "rollout": (rolled_out, lambda: FakeGroup(3), ({"2"}, "2", finished())),
    "rollout of one": (rolled_out, lambda: FakeGroup(1), ({"2"}, "2", finished())),
    "bad canary": (rejected, lambda: FakeGroup(3), ({"1"}, "1", {})),
    "rollback": (rolled_back, after_rollout, ({"1"}, "1", finished())),
}


@pytest.mark.parametrize("name", KILLED)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_call_the_next_run_ends_right(name: str, when: str) -> None:
    run, make_fake, expected = KILLED[name]
    for number in range(1, last_call(run, make_fake) + 1):
        fake = make_fake()

        def kill(_name: str, at: int, moment: str, number: int = number) -> None:
            if (at, moment) == (number, when):
                raise Killed

        fake.at_call = kill
        with suppress(Killed):
            run(fake)
        fake.at_call = lambda *_: None
        fake.sleep(7)
        with suppress(Refused):  # a rollback that had ended, all but its answer
            run(fake)
        assert fake.result == expected, f"killed {when} call {number}: {fake.log}"


@pytest.mark.parametrize("name", KILLED)
def test_refused_for_a_while_at_every_call_it_ends_right(name: str) -> None:
    run, make_fake, expected = KILLED[name]
    for number in range(1, last_call(run, make_fake) + 1, 3):
        fake = make_fake()

        def throttle(_name: str, at: int, moment: str, number: int = number) -> None:
            if moment == "before" and number <= at < number + 4:
                raise AwsError("Rate exceeded", "Throttling")

        fake.at_call = throttle
        run(fake)
        assert fake.result == expected, f"throttled from call {number}: {fake.log}"


@pytest.mark.parametrize("name", KILLED)
def test_with_the_answers_to_its_writes_lost_it_ends_right(name: str) -> None:
    run, make_fake, expected = KILLED[name]
    fake, lost = make_fake(), set[int]()

    def lose(_name: str, _number: int, moment: str) -> None:
        if moment == "after" and len(fake.writes) % 2 and len(fake.writes) not in lost:
            lost.add(len(fake.writes))
            raise AwsError("Read timeout")

    fake.at_call = lose
    run(fake)
    assert fake.result == expected, fake.log
    assert len(lost) >= 3


def test_a_version_that_auto_scaling_does_not_see_yet_is_asked_for_again() -> None:
    fake, refused = FakeGroup(3), list[int]()

    def unseen(name: str, number: int, when: str) -> None:
        if name == "start_refresh" and when == "before" and len(refused) < 3:
            refused.append(number)
            raise AwsError(
                "You must use a valid launch template. The launch template does not exist", "ValidationError"
            )

    fake.at_call = unseen
    assert play(fake)
    assert (len(refused), fake.result) == (3, ({"2"}, "2", finished()))


def test_what_aws_never_allows_stops_it_at_once() -> None:
    fake = FakeGroup(3)

    def deny(name: str, _number: int, when: str) -> None:
        if name == "start_refresh" and when == "before":
            raise AwsError("You may not.", "AccessDenied")

    fake.at_call = deny
    with pytest.raises(Refused, match="You may not"):
        play(fake)
    assert (fake.tags, fake.done) == ({}, []), "nobody is told of a rollout that never began"
    fake.at_call = lambda *_: None
    assert play(fake)
    assert fake.result == ({"2"}, "2", finished())


@pytest.mark.parametrize("seed", range(12))
def test_valet_scales_at_every_step(seed: int) -> None:
    fake, chance = FakeGroup(4), random.Random(seed)

    def scale() -> None:
        if chance.random() < 0.02:
            fake.desired = chance.randrange(9)

    fake.at_tick = scale
    assert play(fake), seed
    fake.at_tick = lambda: None
    fake.sleep(120)
    assert fake.result[1:] == ("2", finished()), (seed, fake.log)
    assert {i.template_version for i in fake.counted()} <= {"2"}, (seed, fake.log)


# --- two operators ---


def killed_rollout(instances: int = 3) -> FakeGroup:
    """One that alice began and that nobody goes on with."""
    fake = FakeGroup(instances)

    def kill() -> None:
        if fake.counted("2"):
            raise Killed

    fake.at_tick = kill
    with pytest.raises(Killed):
        play(fake)
    fake.at_tick = lambda: None
    return fake


@pytest.mark.parametrize("rollback", [False, True])
def test_another_operator_is_told_who_rolls_what_since_when_and_how_to_take_over(rollback: bool) -> None:
    fake = killed_rollout()
    before, fake.writes = dict(fake.tags), []
    with pytest.raises(Refused) as refused:
        play(fake, me=OTHER, rollback=rollback)
    for word in (ME, "version 2 (from 1)", "1970-01-12T", "fleet_rollout_takeover=true"):
        assert word in str(refused.value)
    assert (fake.writes, fake.tags) == ([], before)


def test_a_takeover_goes_on_and_the_first_run_ends() -> None:
    fake = FakeGroup(3)
    first = make(fake)
    first.begin("2", False, ME, False)
    first.run(until=rollout_state.BAKE)
    assert play(fake, "9", me=OTHER, takeover=True), "it goes on with the version under way"
    assert fake.result == ({"2"}, "2", finished())
    with pytest.raises(Stopped, match=r"removed the tag"):
        first.bake()


def test_of_two_runs_of_one_operator_the_later_one_goes_on() -> None:
    fake = FakeGroup(3)
    first, second = make(fake), make(fake)
    first.begin("2", False, ME, False)
    second.begin("2", False, ME, False)
    with pytest.raises(Stopped, match="taken this rollout over"):
        first.run()
    second.approved = True
    second.run()
    assert fake.result == ({"2"}, "2", finished())


def test_of_two_that_begin_at_the_same_moment_one_goes_on() -> None:
    fake = FakeGroup(3)
    theirs = Rollout.begin("3", "1", OTHER, "", fake.now)

    def write(name: str, _number: int, when: str) -> None:
        if name == "write_tag" and when == "after":
            fake.at_call = lambda *_: None
            fake.tags[TAG] = theirs.as_tag()

    fake.at_call = write
    with pytest.raises(Refused, match=f"{OTHER} has been rolling out version 3"):
        play(fake)
    assert fake.done == []


# --- refused ---


def test_a_refresh_that_somebody_started_is_named_with_the_way_to_cancel_it() -> None:
    fake = FakeGroup(3)
    fake._start("7", {"SkipMatching": True, "ScaleInProtectedInstances": "Refresh"})
    with pytest.raises(Refused, match=r"refresh-0 to version 7, InProgress, 0 %.*cancel-instance-refresh"):
        play(fake)
    assert fake.writes == []


def test_a_tag_that_no_rollout_wrote_is_refused_with_the_way_to_remove_it() -> None:
    fake = FakeGroup(3)
    fake.tags[TAG] = "mine, says bob"
    with pytest.raises(Refused, match="delete-tags --tags ResourceId=gh-asg"):
        play(fake)


# --- values ---


def test_a_rollout_survives_its_tag() -> None:
    rollout = Rollout.begin("7", "5", "arn:aws:sts::123456789012:assumed-role/a,b/c@d.e", "refresh-1", 0.0)
    assert Rollout.parse(rollout.as_tag()) == rollout
    assert rollout.by == "arn:aws:sts::123456789012:assumed-role/a_b/c@d.e"
    undone = rollout.undone("canary-job")
    assert Rollout.parse(undone.as_tag()) == undone
    assert len(replace(rollout, by="x" * 400).as_tag()) == 256


@pytest.mark.parametrize("value", ["", "version=7", "version=x from=5 run=1", "version=7 from=5 run=1 going=up"])
def test_other_texts_are_no_rollout(value: str) -> None:
    assert Rollout.parse(value) is None


def test_the_last_version_is_that_of_this_template() -> None:
    assert last_version(f"5 {TEMPLATE}", TEMPLATE) == "5"
    assert last_version("5 lt-other", TEMPLATE) == last_version("5", TEMPLATE) == last_version("", TEMPLATE) == ""


def test_the_share_of_the_canaries_is_rounded_down_and_one_percent_at_least() -> None:
    shares = {}
    for size in (2, 3, 7, 150):
        points = rollout_state.canary_preferences(OPTIONS, FakeGroup(size).group()).get("CheckpointPercentages")
        shares[size] = points and points[0]
    assert shares == {2: 50, 3: 33, 7: 14, 150: 1}
    assert "CheckpointPercentages" not in rollout_state.canary_preferences(OPTIONS, FakeGroup(1).group())


def test_alarms_and_warm_up_are_left_out_where_they_are_not_given() -> None:
    plain = rollout_state.preferences(OPTIONS)
    assert not {"AlarmSpecification", "InstanceWarmup"} & plain.keys()
    full = rollout_state.preferences(OPTIONS._replace(alarms=("stuck",), warmup=0, standby="Wait"))
    assert (full["AlarmSpecification"], full["InstanceWarmup"]) == ({"Alarms": ["stuck"]}, 0)
    assert full["StandbyInstances"] == "Wait"


def test_every_status_and_refusal_has_a_meaning() -> None:
    assert STATUSES.keys() > ACTIVE
    assert all(meaning.meaning for meaning in STATUSES.values())
    assert base_code("ActiveInstanceRefreshNotFoundFault") == "ActiveInstanceRefreshNotFound"
