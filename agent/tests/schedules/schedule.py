"""Schedules: what people, jobs, zones and faults do to a fleet, drawn from a seed.

Frozen values; the same seed and number are the same schedule.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Literal, get_args

from model.job_queue import Job, Mode
from model.worker import CLAIM_SECONDS

Policy = Literal["wait_idle", "http", "sigterm"]
#: What happens to a fleet in ordinary operation.
Operation = Literal[
    "scale", "terminate", "terminate and shrink", "refresh", "standby", "zone lost", "spot", "operator drains", "deploy"
]
Fault = Literal[
    "agent killed at a call",
    "agent killed in drains",
    "agent killed",
    "metadata down",
    "API down",
    "API throttled",
    "answers lost",
    "docker restarted",
    "worker crashed",
    "worker hangs",
    "database down",
    "clock jumped",
    "rebooted",
    "disk full",
    "secret denied",
    "secret missing",
    "late jobs",
]
#: What operators want of one instance, or of all that there are and come.
Wish = Literal["hold", "resume", "renew", "release", "bad release"]
Kind = Operation | Fault | Wish
OPERATIONS: tuple[Kind, ...] = get_args(Operation)
FAULTS: tuple[Kind, ...] = get_args(Fault)
WISHES: tuple[Kind, ...] = get_args(Wish)
#: How long an event lasts, in seconds, at least and at most; the others are moments.
DURATIONS: dict[Kind, tuple[float, float]] = {
    "metadata down": (2, 240),
    "API down": (5, 400),
    "API throttled": (5, 300),
    "answers lost": (30, 600),
    "worker hangs": (3, 60),
    "database down": (1, 60),
    "disk full": (5, 200),
    "secret denied": (30, 400),
    "secret missing": (300, 9000),
    "late jobs": (900, 2400),
    "agent killed in drains": (900, 2400),
    "standby": (30, 400),
}


@dataclass(frozen=True)
class Event:
    """Something that happens.

    Attributes:
        at: seconds after the start.
        seconds: how long it lasts; 0 for a moment.
        number: which instance, call or size: taken modulo the number that there are.
    """

    at: float
    kind: Kind
    seconds: float = 0.0
    number: int = 0


@dataclass(frozen=True)
class Schedule:
    """One schedule. Times are seconds.

    Attributes:
        scaler_interval: how often VALET's scaler looks at the queue; it counts waiting jobs only.
        mode: the worker's dispatch mode.
        policy: the agent's drain policy. The plain worker is only ever run with `wait_idle`.
        claim_seconds: how long taking a job lasts at most; in every tenth schedule the database is slow.
        submitted: the status with which rows are inserted: by GhostHands' own API, or by VALET.
        retains: whether the group retains an instance whose termination hook ends with ABANDON.
        jobs: when which job is submitted.
        ends: when the last event is over; from then on the fleet has to come to rest.
    """

    seed: int
    number: int
    mode: Mode
    policy: Policy
    claim_seconds: float
    submitted: Literal["pending", "queued"]
    max_size: int
    scaler_interval: float
    heartbeat_timeout: int
    drain_limit: int
    launch_hook: bool
    retains: bool
    jobs: tuple[tuple[float, Job], ...]
    events: tuple[Event, ...]
    ends: float

    def random(self, purpose: str) -> random.Random:
        """The schedule's own random numbers, for latencies and the like."""
        return random.Random(f"{self.seed}/{self.number}/{purpose}")


def draw(seed: int, number: int) -> Schedule:
    """Return a schedule of a seed."""
    rng = random.Random(f"{seed}/{number}")
    policy: Policy = rng.choices(("wait_idle", "http", "sigterm"), (8, 1, 1))[0]
    ends = rng.uniform(900, 2400)
    share = rng.choice((0, 0, 1, 2, 3, 5, 9))  # faults by schedule; two of seven schedules have none
    weights = (5, 3, 2, 2, 1, 1, 1, 1, 1)
    events = [_event(rng, rng.choices(OPERATIONS, weights)[0], ends) for _ in range(rng.randint(1, 5))]
    events += [_event(rng, rng.choice(FAULTS), ends) for _ in range(share)]
    heartbeat_timeout = rng.choice((30, 60, 120, 300, 300))
    mode: Mode = rng.choice(("legacy", "queue"))
    jobs = [_job(rng, i, ends) for i in range(rng.randint(1, 8))]
    wishes = random.Random(f"{seed}/{number}/wishes")  # so that all else is as in schedules without any
    many = wishes.choice((0, 0, 1, 2, 3, 5))
    events += [_event(wishes, wishes.choices(WISHES, (3, 3, 2, 3, 1))[0], ends) for _ in range(many)]
    if many:  # the last one lets the fleet come to rest
        events.append(Event(ends, "resume", 0.0, 1))
    if rng.random() < 0.25:  # a backlog: some jobs at once
        jobs = [(at * 0.1, job) for at, job in jobs]
    return Schedule(
        seed=seed,
        number=number,
        mode=mode,
        policy=policy,
        claim_seconds=2.0 if rng.random() < 0.1 else CLAIM_SECONDS,
        submitted="queued" if mode == "queue" or rng.random() < 0.2 else "pending",
        max_size=rng.randint(1, 4),
        scaler_interval=rng.choice((30.0, 60.0, 120.0)),
        heartbeat_timeout=heartbeat_timeout,
        drain_limit=rng.choice((2100, 2100, 2100, 600)),
        launch_hook=rng.random() < 0.3,
        retains=rng.random() < 0.7,
        jobs=tuple(sorted(jobs, key=lambda job: job[0])),
        events=tuple(sorted(events, key=lambda event: event.at)),
        ends=ends,
    )


def _job(rng: random.Random, number: int, ends: float) -> tuple[float, Job]:
    """30 to 1800 s of work, short ones more often.

    In every fifth a person takes up to 300 s to answer, and one in 25 ends in `awaiting_review`.
    """
    seconds = work = math.exp(rng.uniform(math.log(30), math.log(1800)))
    paused = None
    if rng.random() < 0.2:
        at, seconds = rng.uniform(0.1, 0.9) * work, work + rng.uniform(5, 300)
        paused = (round(at, 1), round(at + seconds - work, 1))
    job = Job(f"job-{number + 1}", round(seconds, 1), paused, review=rng.random() < 0.04, first_step=rng.uniform(5, 60))
    return rng.uniform(0, ends * 0.9), job


def _event(rng: random.Random, kind: Kind, ends: float) -> Event:
    least, most = DURATIONS.get(kind, (0, 0))
    return Event(round(rng.uniform(60, ends), 2), kind, round(rng.uniform(least, most), 1), rng.randrange(1_000_000))
