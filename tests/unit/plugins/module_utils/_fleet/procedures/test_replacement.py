# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances without the agent are replaced beside the model of the worker, in virtual time."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, GroupInstance
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures import replacement
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.replacement import (
    Claims,
    HostError,
    HostWorker,
    Replacement,
    Stopped,
)
from model.job_queue import Job, MemoryJobQueue, Mode
from model.verdict import Verdict, judge
from model.worker import CLAIM_SECONDS, RUNNING_SECONDS, Worker, WorkerOptions

COMMAND_SECONDS = 0.2  # of a command on a host
OPTIONS = WorkerOptions(claim_seconds=CLAIM_SECONDS, running_seconds=RUNNING_SECONDS)


class Fleet:
    """A group of instances whose workers share a queue. Time passes only while somebody waits.

    Jobs are submitted at random; the more, the shorter the idle times are.
    """

    name = "gh-asg"

    def __init__(self, mode: Mode, seed: int, instances: int = 3, pause: float = 3.0) -> None:
        self.mode, self.now, self.pause = mode, 1000.0, pause
        self.random = random.Random(seed)
        self.queue = MemoryJobQueue()
        self.workers = dict[str, Worker]()
        self.states = dict[str, str]()
        self.frozen = set[str]()
        self.in_flight = dict[str, float]()
        self.submitted, self.next_job = 0, 1000.0
        self.calls, self.lines = list[str](), list[str]()
        self.host_fails = ""
        self.old = [f"i-old{number}" for number in range(instances)]
        for id in self.old:
            self.boot(id)

    def boot(self, id: str) -> None:
        self.states[id] = "InService"
        self.workers[id] = Worker(id, replace(OPTIONS, mode=self.mode), self.queue, self.now)

    # --- time -------------------------------------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            due = {w: w.next_action_at(self.now) for id, w in self.workers.items() if id not in self.frozen}
            others = [*self.in_flight.values(), self.next_job if self.pause else math.inf, until]
            self.now = max(self.now, min([*due.values(), *others]))
            if self.pause and self.now >= self.next_job:
                self.submitted += 1
                job = Job(f"job-{self.submitted}", self.random.uniform(0.5, 4.0))
                self.queue.submit(job, self.now, "queued")
                self.next_job = self.now + self.random.expovariate(1 / self.pause)
            for id in [id for id, at in self.in_flight.items() if at <= self.now]:
                del self.in_flight[id]  # a statement that was sent before its worker was frozen
                self.workers[id]._take(self.now)
            for worker, at in due.items():
                if at <= self.now:
                    worker.advance(self.now)

    # --- a GroupClient ----------------------------------------------------------------------------------------------

    def read(self) -> Group:
        instances = tuple(
            GroupInstance(id, state, "Healthy", "a", "t3.medium", "1", protected=True)
            for id, state in self.states.items()
        )
        return Group(self.name, "arn:g", 1, 10, len(self.old), instances=instances)

    def enter_standby(self, instance: str) -> None:
        self.calls.append(f"standby {instance}")
        self.states[instance] = "Standby"
        self.sleep(20)
        self.boot(f"i-new{len(self.workers)}")

    def terminate(self, instance: str, decrement: bool) -> None:
        assert not decrement
        self.calls.append(f"terminate {instance}")
        self.states[instance] = "Terminating:Wait"

    def complete_hook(self, instance: str) -> None:
        self.calls.append(f"complete {instance}")
        self.workers[instance].kill(self.now, "its instance ended")
        del self.states[instance]

    # --- a database and hosts ---------------------------------------------------------------------------------------

    def claims(self, instance: str) -> Claims:
        rows = self.queue.rows.values()
        fetched = [e.job for e in self.queue.entries if self.mode == "queue" and e.state == "active"]
        return Claims(
            (instance,),
            tuple(
                r.job.id
                for r in rows
                if r.worker == instance and r.status not in ("completed", "failed", "needs_human")
            ),
            tuple(job for job in fetched if self.queue.rows[job].status in ("pending", "queued")),
            self.queue.length,
        )

    def host(self, instance: str) -> Host:
        return Host(self, instance)

    # --- the replacement ----------------------------------------------------------------------------------------------

    def replace(self, *instances: str, timeout: float = 600, by_host: bool = True) -> None:
        for id in instances or self.old:
            host = self.host(id) if by_host else None
            Replacement(self, id, self.claims, host, lambda: self.now, self.sleep, self.lines.append).run(timeout)

    def verdict(self) -> Verdict:
        """After every job has ended."""
        self.pause = 0
        for _minute in range(30):
            if all(row.status in ("completed", "failed", "needs_human") for row in self.queue.rows.values()):
                break
            self.sleep(10)
        return judge(self.queue, self.now, self.mode)


class Host:
    """The commands on one host."""

    def __init__(self, fleet: Fleet, instance: str) -> None:
        self.fleet, self.instance, self.worker = fleet, instance, fleet.workers[instance]

    def _command(self, name: str) -> None:
        self.fleet.sleep(COMMAND_SECONDS)
        if self.fleet.host_fails == name:
            raise HostError(f"{name} failed")
        self.fleet.calls.append(f"{name} {self.instance}")

    def look(self) -> HostWorker:
        self._command("look")
        return HostWorker(("c1",) if self.worker.exit_code is None else (), self.worker.active_jobs)

    def freeze(self, containers: Sequence[str], seconds: float) -> None:
        assert list(containers) == ["c1"]
        self._command("freeze")
        self.fleet.frozen.add(self.instance)
        if self.worker._take in self.worker._due:  # sent already
            self.fleet.in_flight[self.instance] = self.worker._due.pop(self.worker._take)

    def unfreeze(self, containers: Sequence[str]) -> None:
        self._command("unfreeze")
        self.fleet.frozen.discard(self.instance)

    def kill(self, containers: Sequence[str]) -> None:
        self._command("kill")
        assert self.instance in self.fleet.frozen
        self.worker.kill(self.fleet.now, "killed while frozen")


def test_another_instance_serves_before_one_ends_and_its_hook_is_completed_at_once() -> None:
    fleet = Fleet("queue", 1, instances=2, pause=0)
    fleet.replace("i-old0")
    assert [c for c in fleet.calls if not c.startswith("look")] == [
        "standby i-old0",
        "freeze i-old0",
        "kill i-old0",
        "terminate i-old0",
        "complete i-old0",
    ]
    assert sorted(fleet.states.values()) == ["InService", "InService"]


@pytest.mark.parametrize("mode", ["queue", "legacy"])
@pytest.mark.parametrize("seed", range(5))
def test_no_job_is_lost_or_doubled_under_load(mode: Mode, seed: int) -> None:
    fleet = Fleet(mode, seed, pause=1.5 if mode == "queue" else 4.0)
    fleet.replace(timeout=1200)
    assert not set(fleet.old) & fleet.states.keys()
    verdict = fleet.verdict()
    assert verdict.jobs > 10
    assert (dict(verdict.lost), dict(verdict.cut_off)) == ({}, {})
    # Legacy workers claim jobs of each other, whether or not anything is replaced.
    assert mode == "legacy" or dict(verdict.doubled) == {}


def taken_as_it_is_frozen(fleet: Fleet) -> Host:
    """A host whose worker gets a job from pg-boss between the look that says idle and the freeze."""
    host = fleet.host("i-old0")

    def freeze(containers: Sequence[str], seconds: float) -> None:
        if not fleet.queue.rows:
            fleet.queue.submit(Job("at-once", 3), fleet.now, "queued")
            host.worker._picked = fleet.queue.fetch("i-old0", fleet.now)  # the answer is under way
            host.worker._due[host.worker._answered] = fleet.now + 0.5
        Host.freeze(host, containers, seconds)

    host.freeze = freeze  # type: ignore[method-assign]
    return host


def test_without_a_look_while_it_is_frozen_the_job_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that the procedure is for; else the tests above could not fail."""
    monkeypatch.setattr(replacement, "LOOKS", 0)
    fleet = Fleet("queue", 1, instances=1, pause=0)
    host = taken_as_it_is_frozen(fleet)
    Replacement(fleet, "i-old0", fleet.claims, host, lambda: fleet.now, fleet.sleep, fleet.lines.append).run(60)
    assert set(fleet.verdict().lost) == {"at-once"}


def test_a_job_that_is_taken_at_that_moment_is_finished_first() -> None:
    fleet = Fleet("queue", 1, instances=1, pause=0)
    host = taken_as_it_is_frozen(fleet)
    Replacement(fleet, "i-old0", fleet.claims, host, lambda: fleet.now, fleet.sleep, fleet.lines.append).run(60)
    assert any("is taking job at-once, taken as it was about to be stopped" in line for line in fleet.lines)
    commands = [call.split()[0] for call in fleet.calls if not call.startswith("look")]
    assert commands == ["standby", "freeze", "unfreeze", "freeze", "kill", "terminate", "complete"]
    verdict = fleet.verdict()
    assert (verdict.finished, dict(verdict.lost), dict(verdict.doubled)) == (1, {}, {})


def test_a_job_in_review_is_named_and_the_instance_stays_at_work() -> None:
    fleet = Fleet("queue", 1, instances=1, pause=0)
    fleet.queue.submit(Job("reviewed", 1, review=True), fleet.now, "queued")
    fleet.sleep(10)
    with pytest.raises(Stopped, match="was not idle within 60 s: it has job reviewed") as stopped:
        fleet.replace(timeout=60)
    assert "goes on working, on standby" in str(stopped.value)
    assert "terminate i-old0" not in fleet.calls


def test_under_a_backlog_the_reason_says_what_to_do() -> None:
    fleet = Fleet("queue", 1, instances=1, pause=0)
    for number in range(200):
        fleet.queue.submit(Job(f"b{number}", 3), fleet.now, "queued")
    with pytest.raises(Stopped, match="under a backlog a worker begins the next job within milliseconds"):
        fleet.replace(timeout=60)
    assert "terminate i-old0" not in fleet.calls


@pytest.mark.parametrize("command", ["look", "freeze", "kill"])
def test_a_command_that_fails_on_the_host_ends_nothing(command: str) -> None:
    fleet = Fleet("queue", 1, instances=1, pause=0)
    fleet.host_fails = command
    with pytest.raises(Stopped, match=f"{command} failed"):
        fleet.replace(timeout=30)
    assert "terminate i-old0" not in fleet.calls
    assert fleet.frozen == set()


def test_an_interruption_lets_the_worker_go_on() -> None:
    fleet = Fleet("queue", 1, instances=1, pause=0)
    host = fleet.host("i-old0")

    def interrupted(seconds: float) -> None:
        if "freeze i-old0" in fleet.calls and "unfreeze i-old0" not in fleet.calls and seconds == 1.5:
            raise KeyboardInterrupt
        fleet.sleep(seconds)

    run = Replacement(fleet, "i-old0", fleet.claims, host, lambda: fleet.now, interrupted, fleet.lines.append)
    with pytest.raises(KeyboardInterrupt):
        run.run(60)
    assert fleet.frozen == set()
    assert fleet.states["i-old0"] == "Standby"
    fleet.replace("i-old0")  # and again
    assert "i-old0" not in fleet.states
    assert [call for call in fleet.calls if call.startswith("standby")] == ["standby i-old0"]


def test_an_answer_that_takes_too_long_kills_nobody() -> None:
    fleet = Fleet("queue", 1, instances=1, pause=0)

    def slow(instance: str) -> Claims:
        fleet.sleep(20)
        return fleet.claims(instance)

    run = Replacement(fleet, "i-old0", slow, fleet.host("i-old0"), lambda: fleet.now, fleet.sleep, fleet.lines.append)
    with pytest.raises(Stopped, match="answers too slowly"):
        run.run(200)
    assert "kill i-old0" not in fleet.calls


def test_an_instance_without_a_worker_ends_without_a_freeze() -> None:
    fleet = Fleet("queue", 1, instances=1, pause=0)
    fleet.workers["i-old0"].kill(fleet.now, "crashed")
    fleet.replace("i-old0")
    assert "freeze i-old0" not in fleet.calls
    assert "i-old0" not in fleet.states


def test_without_a_way_to_the_host_the_database_alone_decides() -> None:
    fleet = Fleet("queue", 1, instances=1, pause=0)
    fleet.replace("i-old0", by_host=False)
    assert fleet.calls == ["standby i-old0", "terminate i-old0", "complete i-old0"]


class Stuck(Fleet):
    """A group that launches nothing."""

    def enter_standby(self, instance: str) -> None:
        self.states[instance] = "Standby"


def test_a_replacement_that_does_not_come_ends_nobody() -> None:
    fleet = Stuck("queue", 1, instances=1, pause=0)
    with pytest.raises(Stopped, match="The replacement of i-old0 was not in service within 60 s"):
        fleet.replace("i-old0", timeout=60)
    assert not any(call.startswith("terminate") for call in fleet.calls)
