"""`python -m bench.shared_bucket`: a fleet's agents on the one bucket that all Auto Scaling calls of an account share.

In virtual time, with a seed. The agents are the real ones (monitor, scale_in_protection, drain.complete_hook); workers,
hooks and the bucket's callers are modelled. The baseline is the agent of commit 22a51d0: a call at both ends of each
job, every failed call repeated after a second. Jobs take 30 s. The next one follows after about a second, or, three
times in a hundred, after a minute. Every five minutes a tenth of the fleet is replaced at once; one job in ten that is
under way then waits 400 s for a person. The first two minutes, in which every agent starts at once, do not count.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

from ghosthands_agent.drain import NO_ACTION_SECONDS, POLL_SECONDS, complete_hook
from ghosthands_agent.monitor import CHECK_SECONDS, Monitor
from ghosthands_agent.ports import (
    IN_SERVICE,
    NO_ACTIVE_ACTION,
    TERMINATED,
    Control,
    Flag,
    PortError,
    Ports,
    Procedure,
    Refused,
    Unavailable,
    WorkerStatus,
)
from ghosthands_agent.settings import Settings
from localcloud.throttling import Bucket, Limit

from bench.measure import verdict

WORKERS, RATES = (10, 100, 1000), (5, 10, 20)
JOB_SECONDS, SHORT_GAP, LONG_GAP, LONG_SHARE = 30.0, 1.0, 60.0, 0.03
REPLACE_SECONDS, REPLACE_SHARE, REPLACED_AFTER = 300.0, 0.1, 60.0
WAITS_SHARE, WAITS_SECONDS = 0.1, 400.0
WARM_UP = 120.0
HEARTBEAT_TIMEOUT = 300
LATE_SECONDS = 10.0  # a heartbeat that comes so much later than a third of the timeout after the last one
BURST_SECONDS = 5  # the bucket holds what it gets in so many seconds; localcloud's default has the same ratio
#: So long at most, steps are left out in which nothing has changed and no call is due.
CALM_SECONDS = 2.0

SETTINGS = Settings(
    region="us-east-1",
    group="g",
    termination_hook="h",
    secret_id="s",
    image="i:1",
    launch_hook=None,
    endpoint_url=None,
    image_fallback="never",
    drain_policy="wait_idle",
    drain_limit_seconds=2100,
    spot_limit_seconds=110,
    heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
    stop_grace_seconds=60,
    boot_timeout_seconds=900,
    required_keys=(),
    worker_completes_hook=False,
    log_group=None,
    worker_guard="preferred",
    protection_linger_seconds=60,
    launch_hook_timeout_seconds=900,
    retained_max=3,
    worker_memory=None,
    api_memory=None,
    deploy_memory=None,
)
IDLE = WorkerStatus("i", "i", 0, is_running=True, is_draining=False, dispatch_mode="queue")
BUSY = WorkerStatus("i", "i", 1, is_running=True, is_draining=False, dispatch_mode="queue")


class BaselineProtection:
    """scale_in_protection.py of commit 22a51d0: exactly while a job runs, set again every 300 s, fixed pauses."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._protected: bool | None = None
        self._repeat_at = self._retry_at = 0.0

    def update(self, target: str | None, busy: bool | None) -> None:
        now = self._ports.clock.monotonic()
        if target != IN_SERVICE:
            self._protected = None
            return
        if busy is None or now < self._retry_at or (busy == self._protected and now < self._repeat_at):
            return
        try:
            self._ports.group.protect(busy)
        except PortError:
            self._protected, self._retry_at = None, now + 1.0
            return
        self._protected, self._repeat_at = busy, now + 300.0


class FixedPause:
    """In place of passing_errors.BackOff: the same pause after every failure."""

    def pause(self) -> float:
        return 1.0

    def reset(self) -> None: ...


def baseline_monitor(ports: Ports, settings: Settings) -> Monitor:
    """A monitor as in commit 22a51d0."""
    monitor: Any = Monitor(ports, settings)
    monitor._protection, monitor._heartbeat_back_off = BaselineProtection(ports), FixedPause()
    return monitor  # type: ignore[no-any-return]


def baseline_completion(monitor: Monitor) -> Procedure[None]:
    """drain.complete_hook of commit 22a51d0."""
    began, pause = monitor.now, 1.0
    while monitor.now < began + HEARTBEAT_TIMEOUT:
        try:
            return monitor.ports.group.complete("h", "CONTINUE")
        except Refused:
            if monitor.hook_seen or monitor.now >= began + NO_ACTION_SECONDS:
                return
        except Unavailable:
            pass
        yield from monitor.pause(pause)
        pause = min(pause * 1.5, 5.0)


def completion(monitor: Monitor) -> Procedure[None]:
    """Today's, which does not say whether it worked."""
    yield from complete_hook(monitor, "CONTINUE")


@dataclass(frozen=True)
class Agent:
    """One of the two agents that are compared."""

    monitor: Callable[[Ports, Settings], Monitor]
    completion: Callable[[Monitor], Procedure[None]]


BASELINE, TODAY = Agent(baseline_monitor, baseline_completion), Agent(Monitor, completion)


@dataclass
class Result:
    """What a fleet did after the warm-up."""

    workers: int
    rate: float
    jobs: int = 0
    calls: int = 0
    throttled: int = 0
    busy: float = 0.0
    unprotected: float = 0.0
    heartbeats: int = 0
    late: int = 0
    hooks: int = 0
    timed_out: int = 0

    @property
    def unprotected_share(self) -> float:
        return self.unprotected / self.busy if self.busy else 0.0

    def cells(self) -> list[str]:
        """The result as texts, one per column."""
        return [
            f"{self.calls / max(1, self.jobs):.2f}",
            f"{self.throttled / max(1, self.calls):.1%}",
            f"{self.unprotected_share:.2%}",
            f"{self.late} of {self.heartbeats}",
            f"{self.timed_out} of {self.hooks}",
        ]


@dataclass
class Fleet:
    """The instances on one bucket; `now` is the virtual time."""

    agent: Agent
    settings: Settings
    result: Result
    random: random.Random
    bucket: Bucket
    now: float = 0.0
    queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)
    instances: list[Instance] = field(default_factory=list)

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Schedule something."""
        heapq.heappush(self.queue, (moment, next(self.numbers), action))

    def launch(self) -> None:
        """A new instance with a worker and an agent."""
        instance = Instance(self)
        self.instances.append(instance)
        self.at(self.now + self.random.random() * CHECK_SECONDS, instance.step)

    def replace(self) -> None:
        """Terminate a tenth of the fleet, busy or not, as an instance refresh does, and launch as many."""
        serving = [each for each in self.instances if each.target == IN_SERVICE]
        self.random.shuffle(serving)
        for instance in serving[: max(1, int(len(serving) * REPLACE_SHARE))]:
            instance.terminate()
            self.at(self.now + REPLACED_AFTER, self.launch)
        self.at(self.now + REPLACE_SECONDS, self.replace)

    def run(self, seconds: float) -> Result:
        """The result of so many seconds."""
        for _ in range(self.result.workers):
            self.launch()
        self.at(WARM_UP + 60.0, self.replace)
        while self.queue and self.queue[0][0] < seconds:
            self.now, _number, action = heapq.heappop(self.queue)
            action()
        self.now = seconds
        for instance in self.instances:
            instance.account()
        return self.result


class Instance:
    """An instance: its worker's jobs, its hook, its protection as AWS has it, and its agent."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.target = IN_SERVICE
        self.protected = False
        self.busy = False
        self.changes_at = fleet.now + fleet.random.random() * JOB_SECONDS
        self.hook_deadline: float | None = None
        self.last_heartbeat = 0.0
        self.failed = False  # its last call
        self.seen: tuple[object, ...] = ()
        self._flags: dict[Flag, float] = {}
        self._accounted = fleet.now
        ports: Any = SimpleNamespace(
            clock=SimpleNamespace(monotonic=lambda: fleet.now),
            metadata=SimpleNamespace(
                target_state=self._target,
                spot_action=lambda: None,
                instance=lambda: SimpleNamespace(id="i"),
                wish=lambda: None,
            ),
            group=SimpleNamespace(protect=self._protect, heartbeat=self._heartbeat, complete=self._complete),
            worker=SimpleNamespace(status=self._status),
            records=SimpleNamespace(
                flags=self._read_flags,
                set_flag=self._flags.setdefault,
                boot=lambda: None,
                control=Control,
                wish=lambda: None,
            ),
            journal=SimpleNamespace(step=lambda *_, **__: None),
            supervisor=SimpleNamespace(alive=lambda: None, status=lambda _: None),
            random=fleet.random.random,
        )
        self._procedure = self._life(fleet.agent.monitor(ports, fleet.settings))

    # --- the agent ---

    def _life(self, monitor: Monitor) -> Procedure[None]:
        """As `watch`, and as `drain` of a worker that has a guard."""
        monitor.check()
        while not monitor.causes():
            monitor.worker()
            yield from monitor.pause(CHECK_SECONDS)
        while self.busy:
            monitor.worker()
            yield from monitor.pause(POLL_SECONDS)
        yield from self.fleet.agent.completion(monitor)

    def step(self) -> None:
        """The agent's next step; the one after that comes later if nothing has changed."""
        self.account()
        pause = next(self._procedure, None)
        if pause is None:
            self.account()
            self.fleet.instances.remove(self)
            return
        due, state = self.fleet.now + pause, (self.target, self.busy, self.protected)
        if state == self.seen and not self.failed and self.target == IN_SERVICE:
            calm = min(self.changes_at, self.fleet.now + CALM_SECONDS)
            due += max(0, int((calm - due) / pause) + 1) * pause
        self.seen = state
        self.fleet.at(due, self.step)

    # --- the worker ---

    def account(self) -> None:
        """Bring the worker and the figures up to now."""
        now = self.fleet.now
        while self.changes_at <= now:
            self._add(self.changes_at)
            self.busy = not self.busy and self.target == IN_SERVICE
            if self.busy:
                self.fleet.result.jobs += self.changes_at > WARM_UP
                self.changes_at += JOB_SECONDS
            elif self.target == IN_SERVICE:
                long = self.fleet.random.random() < LONG_SHARE
                self.changes_at += (LONG_GAP if long else SHORT_GAP) * (0.5 + self.fleet.random.random())
            else:
                self.changes_at = float("inf")
        self._add(now)
        if self.hook_deadline is not None and now >= self.hook_deadline:
            self.hook_deadline = None
            self.fleet.result.timed_out += 1

    def _add(self, until: float) -> None:
        seconds = until - max(self._accounted, WARM_UP)
        if seconds > 0 and self.busy and self.target == IN_SERVICE:
            self.fleet.result.busy += seconds
            self.fleet.result.unprotected += 0 if self.protected else seconds
        self._accounted = until

    def terminate(self) -> None:
        """Scale-in chose it: its hook begins to wait. It takes no further job, as with a guard."""
        self.account()
        self.target = TERMINATED
        self.hook_deadline = self.fleet.now + HEARTBEAT_TIMEOUT
        self.last_heartbeat = self.fleet.now - HEARTBEAT_TIMEOUT / 3
        self.fleet.result.hooks += 1
        if not self.busy:
            self.changes_at = float("inf")
        elif self.fleet.random.random() < WAITS_SHARE:
            self.changes_at += WAITS_SECONDS

    # --- ports ---

    def _target(self) -> str:
        return self.target

    def _status(self) -> WorkerStatus:
        return BUSY if self.busy else IDLE

    def _read_flags(self) -> Mapping[Flag, float]:
        return self._flags

    def _call(self) -> None:
        counted = self.fleet.now > WARM_UP
        self.fleet.result.calls += counted
        self.failed = not self.fleet.bucket.take(self.fleet.now)
        if self.failed:
            self.fleet.result.throttled += counted
            raise Unavailable("autoscaling", "Throttling")

    def _protect(self, protected: bool) -> None:
        self._call()
        self.protected = protected

    def _heartbeat(self, hook: str) -> None:
        self._call()
        self._check_hook()
        result = self.fleet.result
        result.heartbeats += 1
        result.late += self.fleet.now > self.last_heartbeat + HEARTBEAT_TIMEOUT / 3 + LATE_SECONDS
        self.last_heartbeat = self.fleet.now
        self.hook_deadline = self.fleet.now + HEARTBEAT_TIMEOUT

    def _complete(self, hook: str, result: str) -> None:
        self._call()
        self._check_hook()
        self.hook_deadline = None

    def _check_hook(self) -> None:
        self.account()
        if self.hook_deadline is None:
            raise Refused("autoscaling", NO_ACTIVE_ACTION)


def measured(agent: Agent, workers: int, rate: float, seconds: float, seed: int, linger: int = 60) -> Result:
    """What so many workers do in so many seconds with so many calls a second."""
    settings = Settings(**{**vars(SETTINGS), "protection_linger_seconds": linger})
    limit = Limit(max(1.0, rate * BURST_SECONDS), rate)
    return Fleet(agent, settings, Result(workers, rate), random.Random(seed), Bucket(limit)).run(seconds)


def meets_aim(result: Result) -> bool:
    """The aims: with 100 workers and 10 calls a second no busy time unprotected (to a tenth of a percent, as a job is
    noticed up to half a second after it began) and no hook timed out; no hook with 1,000 workers and 20.
    """
    if (result.workers, result.rate) == (100, 10):
        return result.unprotected_share < 0.001 and result.timed_out == 0
    return (result.workers, result.rate) != (1000, 20) or result.timed_out == 0


COLUMNS = {  # and their widths
    "workers": 7,
    "calls/s": 7,
    "agent": 7,
    "calls per job": 13,
    "throttled": 9,
    "busy unprotected": 16,
    "heartbeats late": 15,
    "hooks timed out": 15,
    "aim": 6,
}
AIMS = ((100, 10), (1000, 20))


def rows(workers: Iterable[int], rates: Iterable[float], seconds: float, seed: int) -> Iterator[list[str]]:
    """A row of cells for each measurement; the baseline first."""
    for number in workers:
        for rate in rates:
            for name, agent in (("22a51d0", BASELINE), ("today", TODAY)):
                result = measured(agent, number, rate, seconds, seed)
                aim = verdict(meets_aim(result)) if agent is TODAY and (number, rate) in AIMS else ""
                yield [str(number), f"{rate:g}", name, *result.cells(), aim]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.shared_bucket", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS))
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES), help="calls a second")
    parser.add_argument("--minutes", type=float, default=20.0, help="virtual time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}, {given.minutes:g} minutes; jobs of {JOB_SECONDS:g} s", flush=True)
    print("  ".join(f"{title:>{width}}" for title, width in COLUMNS.items()))
    for cells in rows(given.workers, given.rates, given.minutes * 60, given.seed):
        print("  ".join(f"{cell:>{width}}" for cell, width in zip(cells, COLUMNS.values(), strict=True)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
