"""Schedules with real processes: agents, workers, sockets and signals, on localcloud's process instances.

One schedule is the life of one instance: it boots, works, meets faults, is terminated by its group, drains. All share
one cloud, one group and one job queue, and each worker has a guard. The worker's times pass `SPEED` times as fast
(`WorkerOptions.sped_up`), the agent's do not.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from localcloud.testing import wait_until
from model.job_queue import Job, Mode
from model.verdict import Verdict, judge
from processes.fleet import HEARTBEAT_TIMEOUT, Fleet

SPEED = 3.0
WAVE = 10  # instances at once: more agents that boot are too many for two cores
LIMIT_SECONDS = 150.0  # from the last event of a wave to the last completion


@dataclass(frozen=True)
class InstanceSchedule:
    """What happens to one instance, in seconds after its wave began.

    Attributes:
        job: how long its job takes.
        terminated: when its group terminates it.
        kills: when its agent is killed.
        crash: when its worker crashes.
        metadata_down: from when and for how long its metadata service does not answer.
    """

    job: float
    terminated: float
    kills: tuple[float, ...]
    crash: float | None
    metadata_down: tuple[float, float] | None


def draw(rng: random.Random) -> InstanceSchedule:
    """A schedule: a job of 3 to 20 s, a termination at any time, and some of the faults."""
    terminated = rng.uniform(2, 20)
    return InstanceSchedule(
        job=rng.uniform(3, 20),
        terminated=terminated,
        kills=tuple(sorted(terminated + rng.uniform(-2, 8) for _ in range(rng.choice((0, 0, 1, 2, 4))))),
        crash=rng.uniform(1, 25) if rng.random() < 0.15 else None,
        metadata_down=(rng.uniform(0, 20), rng.uniform(1, 12)) if rng.random() < 0.25 else None,
    )


class Wave:
    """Schedules that run at the same time.

    Attributes:
        terminated: when the group was asked to terminate an instance.
        gone: when it was gone.
    """

    def __init__(
        self, fleet: Fleet, number: int, schedules: list[InstanceSchedule], rng: random.Random, faults: Counter[str]
    ) -> None:
        self.fleet = fleet
        self.number = number
        self.schedules = schedules
        self.rng = rng
        self.faults = faults
        self.terminated: dict[str, float] = {}
        self.gone: dict[str, float] = {}

    def run(self) -> None:
        """Run them until every instance is gone."""
        ids = self.fleet.launch(len(self.schedules))
        actions: list[tuple[float, Callable[[], object]]] = []
        for number, (id, schedule) in enumerate(zip(ids, self.schedules, strict=True)):
            actions.append((self.rng.uniform(0, schedule.terminated), partial(self._submit, number, schedule.job)))
            actions.append((schedule.terminated, partial(self._terminate, id)))
            actions += [(max(at, 0.0), partial(self._kill_agent, id)) for at in schedule.kills]
            if schedule.crash is not None:
                actions.append((schedule.crash, partial(self._crash_worker, id)))
            if schedule.metadata_down is not None:
                at, seconds = schedule.metadata_down
                actions.append((at, partial(self._set_metadata, down=True)))
                actions.append((at + seconds, partial(self._set_metadata, down=False)))
        actions += [(at, partial(self._set_api_faults, faults)) for at, faults in self._api_faults()]
        began = time.monotonic()
        for at, action in sorted(actions, key=lambda pair: pair[0]):
            time.sleep(max(0.0, began + at - time.monotonic()))
            action()
        self._set_api_faults([])
        self._set_metadata(down=False)
        wait_until(partial(self._all_gone, ids), LIMIT_SECONDS)

    def _all_gone(self, ids: list[str]) -> bool:
        instances, now = self.fleet.instances(), time.time()
        self.gone |= {id: now for id in ids if id not in instances and id not in self.gone}
        return self.gone.keys() >= set(ids)

    def _api_faults(self) -> list[tuple[float, list[Mapping[str, Any]]]]:
        """The API's faults in this wave: throttled, down, answers lost, one after the other."""
        kinds = [{"kind": "throttle", "rate": 0.4}, {"kind": "error", "rate": 1.0}, {"kind": "lost", "rate": 0.3}]
        begins = self.rng.uniform(1, 8)
        actions = ("RecordLifecycleActionHeartbeat", "CompleteLifecycleAction", "SetInstanceProtection")
        return [
            (begins + 6 * n, [{"operation": f"autoscaling:{name}", **kind} for name in actions])
            for n, kind in enumerate(kinds)
        ]

    def _submit(self, number: int, seconds: float) -> None:
        self.fleet.jobs.submit(Job(f"job-{self.number}-{number}", seconds), time.time())

    def _terminate(self, id: str) -> None:
        self.fleet.terminate(id)
        self.terminated[id] = time.time()

    def _kill_agent(self, id: str) -> None:
        if id not in self.fleet.instances():
            return
        try:
            self.fleet.kill_watch(id)
        except ProcessLookupError:
            return  # between two processes
        self.faults["agent killed in its drain" if id in self.terminated else "agent killed"] += 1

    def _crash_worker(self, id: str) -> None:
        for process in {event.worker for event in self.fleet.jobs.events() if event.worker.startswith(f"{id}/")}:
            if self.fleet.jobs.registered().get(id) == "offline":
                continue
            try:
                os.kill(int(process.partition("/")[2]), signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.faults["worker crashed"] += 1
            self.fleet.jobs.record_death(process, "worker crashed", time.time())

    def _set_metadata(self, *, down: bool) -> None:
        if down:
            self.faults["metadata down"] += 1
        fault = {"path": "*target-lifecycle-state*", "kind": "error", "status": 503}
        self.fleet.cloud.control("imds", faults=[fault] if down else [])

    def _set_api_faults(self, faults: list[Mapping[str, Any]]) -> None:
        if faults:
            self.faults[f"API: {faults[0]['kind']}"] += 1
        self.fleet.cloud.set_faults(*faults)


@dataclass(frozen=True)
class Result:
    """What became of the schedules.

    Attributes:
        drains: seconds from the termination of an instance to the completion of its hook.
        completions: how often the hook of each instance was completed.
        results: results of completions.
        faults: how often what really happened.
    """

    verdict: Verdict
    drains: dict[str, float]
    completions: dict[str, int]
    results: tuple[str, ...]
    faults: Counter[str]


def run(folder: Path, mode: Mode, schedules: int, seed: int) -> Result:
    """Run so many schedules in waves on a cloud of their own."""
    rng, faults = random.Random(f"{seed}/{mode}"), Counter[str]()
    fleet = Fleet(folder, mode=mode, speed=SPEED, guard=True)
    fleet.up()
    waves: list[Wave] = []
    try:
        for number in range(0, schedules, WAVE):
            drawn = [draw(rng) for _ in range(min(WAVE, schedules - number))]
            waves.append(Wave(fleet, number, drawn, rng, faults))
            waves[-1].run()
            print(f"{mode}: {number + len(drawn)} of {schedules} schedules", flush=True)
        made = {id: fleet.completions(id) for wave in waves for id in wave.terminated}
        completions = {
            id: len(made[id]) or int(_completed_without_answer(fleet, id, wave.gone[id]))
            for wave in waves
            for id in wave.terminated
        }
    finally:
        fleet.down()
    return Result(
        judge(fleet.jobs.copy(), time.time(), mode),
        {id: made[id][0].at - at for wave in waves for id, at in wave.terminated.items() if made[id]},
        completions,
        tuple(completion.result for each in made.values() for completion in each),
        faults,
    )


def _completed_without_answer(fleet: Fleet, id: str, gone: float) -> bool:
    """Whether a completion took effect whose answer was lost: the instance went before its hook could time out.

    Such a call is not in the trace as a successful one.
    """
    calls = fleet.calls("RecordLifecycleActionHeartbeat")
    heartbeats = [call for call in calls if call["parameters"].get("InstanceId") == id]
    last = max((datetime.fromisoformat(call["at"]).timestamp() for call in heartbeats), default=0.0)
    return gone < last + HEARTBEAT_TIMEOUT
