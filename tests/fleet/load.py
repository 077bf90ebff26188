"""Load for a fleet of processes: a backlog of jobs, VALET's scaling at random, and a watch over the group."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from localcloud.testing import repeatedly
from model.job_queue import Job, MemoryJobQueue
from model.verdict import Verdict, judge

from tests.fleet.fleet import GROUP
from tests.fleet.process_fleet import ProcessFleet

#: VALET's desired capacity is at least and at most this.
SMALLEST, LARGEST = 2, 5
#: A group is given so long to launch what VALET asked for, before an instance that is missing counts as one.
LAUNCH_SECONDS = 30.0


@dataclass(frozen=True)
class Sample:
    """The group at one moment; `serving`: instances in service whose worker is registered and takes jobs."""

    at: float
    desired: int
    in_service: int
    serving: int


@dataclass(frozen=True)
class Numbers:
    """What a span of time under load came to.

    Attributes:
        seconds: its length.
        longest_job: seconds of the longest job that ran in it.
        below: seconds for which fewer instances were in service than the lowest desired capacity of the last
            `LAUNCH_SECONDS`: how long the group was below a healthy share of 100 %.
        dark: seconds for which no worker took jobs.
        missing: the largest number of instances that were missing at once.
    """

    seconds: float
    longest_job: float
    below: float
    dark: float
    missing: int


def lacking(samples: Sequence[Sample], begin: float, end: float) -> tuple[float, float, int]:
    """`below`, `dark` and `missing` of `Numbers`; a sample stands for the time since the one before it."""
    below = dark = 0.0
    missing = 0
    for n, sample in enumerate(samples):
        if not n or not begin <= sample.at <= end:
            continue
        seconds = sample.at - samples[n - 1].at
        floor = min(s.desired for s in samples[: n + 1] if s.at >= sample.at - LAUNCH_SECONDS)
        below += seconds * (sample.in_service < floor)
        dark += seconds * (sample.serving == 0)
        missing = max(missing, floor - sample.in_service)
    return below, dark, missing


class Load:
    """Keeps every worker of a fleet busy while a block runs, and watches.

    Args:
        seed: of job lengths, of VALET's capacities and of the times at which it sets them.
        scaling: mean seconds between two changes of the desired capacity; 0: VALET does nothing.
        usual, long: bounds of a job's seconds; one in ten is long.
    """

    def __init__(
        self,
        fleet: ProcessFleet,
        seed: int,
        *,
        scaling: float = 8.0,
        usual: tuple[float, float] = (0.5, 4.0),
        long: tuple[float, float] = (8.0, 15.0),
    ) -> None:
        self.fleet, self.seed, self._scaling, self._usual, self._long = fleet, seed, scaling, usual, long
        self._jobs, self._valet = random.Random(f"jobs {seed}"), random.Random(f"VALET {seed}")
        self._next = 0.0
        self._stack = ExitStack()
        self._done: list[MemoryJobQueue] = []
        self._lock = threading.Lock()
        self.samples: list[Sample] = []
        self.resized = 0

    def __enter__(self) -> Self:
        print(f"seed {self.seed}", flush=True)
        self._submit()
        for action, every in (
            (self._submit, 0.2),
            (self._watch, 0.25),
            (self.fleet.mirror, 0.5),
            (self._scale, 0.5),
            (self._bury, 1.0),
        ):
            self._stack.enter_context(repeatedly(action, every))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # --- what happens meanwhile -------------------------------------------------------------------------------------

    def _submit(self) -> None:
        """Let two jobs wait for each instance that VALET may ask for."""
        for _job in range(2 * LARGEST - self.fleet.jobs.copy().length):
            seconds = self._jobs.uniform(*(self._long if self._jobs.random() < 0.1 else self._usual))
            job = Job(str(uuid.UUID(int=self._jobs.getrandbits(128))), seconds)
            self.fleet.jobs.submit(job, time.time(), "queued")

    def _scale(self) -> None:
        now = time.monotonic()
        if not self._scaling or now < self._next:
            return
        if self._next:
            desired = self._valet.randint(SMALLEST, LARGEST)
            client = self.fleet.cloud.client("autoscaling")
            client.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=desired, HonorCooldown=False)
            self.resized += 1
        self._next = now + self._valet.expovariate(1 / self._scaling)

    def _watch(self) -> None:
        group = self.fleet.cloud.group(GROUP)
        running = {i["InstanceId"] for i in group["Instances"] if i["LifecycleState"] == "InService"}
        queue = self.fleet.jobs.copy()
        active = {worker for worker, (status, _since) in queue.registry.items() if status == "active"}
        self.samples.append(Sample(time.time(), group["DesiredCapacity"], len(running), len(running & active)))

    def _bury(self) -> None:
        """Record the death of workers that were killed with their instances, which they cannot do themselves."""
        inside = {process for row in self.fleet.jobs.copy().rows.values() for process in row.inside}
        for process in inside:
            if not Path(f"/proc/{process.rpartition('/')[2]}").exists():
                self.fleet.jobs.record_death(process, "killed with its instance", time.time())

    # --- what it came to ----------------------------------------------------------------------------------------------

    def longest_running(self) -> float:
        """Seconds of the longest job that runs now."""
        return max((row.job.seconds for row in self.fleet.jobs.copy().rows.values() if row.inside), default=0.0)

    def numbers(self, begin: float, end: float) -> Numbers:
        """What the time between two moments came to."""
        return Numbers(end - begin, self._longest(begin, end), *lacking(self.samples, begin, end))

    def _longest(self, begin: float, end: float) -> float:
        queue = self._everything()
        taken = {event.job: event.at for event in queue.events if event.action == "take"}
        left = {event.job: event.at for event in queue.events if event.action in ("finish", "leave", "fail")}
        ran = (job for job, at in taken.items() if at <= end and left.get(job, end) >= begin)
        return max((queue.rows[job].job.seconds for job in ran), default=0.0)

    def forget_finished(self) -> None:
        """Move the jobs that are done out of the shared file, whose size costs every call."""
        with self._lock:
            self._done.append(self.fleet.jobs.take_finished())

    def _everything(self) -> MemoryJobQueue:
        with self._lock:
            queue = self.fleet.jobs.copy()
            for part in self._done:
                queue.rows |= part.rows
                queue.events += part.events
        queue.events.sort(key=lambda event: event.at)
        return queue

    def verdict(self, timeout: float = 120) -> Verdict:
        """After the block: judge all jobs, once none waits or runs that a worker could finish, or after `timeout`."""
        deadline = time.monotonic() + timeout
        while True:
            self._bury()
            found = judge(self._everything(), time.time(), "queue" if self.fleet.mode == "queue" else "legacy")
            if not found.fates.get("waits") or time.monotonic() > deadline:
                return found
            time.sleep(1)


def report(verdict: Verdict) -> dict[str, Any]:
    """The counts of a verdict that matter here."""
    return {
        "jobs": verdict.jobs,
        "lost": dict(verdict.lost),
        "doubled": dict(verdict.doubled),
        "crashed": dict(verdict.gaps),
        "failed": verdict.fates.get("failed", 0),
    }
