"""Schedules with real processes: agents, workers, sockets and signals, side by side on localcloud's process instances.

One schedule is one instance's life: it boots, works, is struck, is ended by its group, drains. All share one cloud, one group and one
queue. The worker's own times pass ``PACE`` times as fast (`worker.Habits.faster`), the agent's do not.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from localcloud.testing import wait_until
from processes.fleet import Fleet

from schedules.ledger import DOUBLED_BOUND_SECONDS, Job, Verdict, judge
from schedules.run import Tally, table
from schedules.world import Outcome

PACE = 3.0
WAVE = 10  # instances at once: two cores bear no more agents that boot
HOOK_SECONDS = 30.0  # Fleet's hook
LIMIT_SECONDS = 150.0  # from the last happening of a wave to the last completion


@dataclass(frozen=True)
class Life:
    """What happens to one instance, in seconds after its wave began. ``kills``: of its agent; ``crash``: of its worker."""

    job: float
    ends: float
    kills: tuple[float, ...]
    crash: float | None
    metadata_down: tuple[float, float] | None


@dataclass
class Strikes:
    """How often what really struck."""

    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def draw(dice: random.Random) -> Life:
    """A life: a job of 3 to 20 s, an end at any moment of it, and some of the faults."""
    ends = dice.uniform(2, 20)
    return Life(
        job=dice.uniform(3, 20),
        ends=ends,
        kills=tuple(sorted(ends + dice.uniform(-2, 8) for _ in range(dice.choice((0, 0, 1, 2, 4))))),
        crash=dice.uniform(1, 25) if dice.random() < 0.15 else None,
        metadata_down=(dice.uniform(0, 20), dice.uniform(1, 12)) if dice.random() < 0.25 else None,
    )


class Wave:
    """Some lives, side by side."""

    def __init__(self, fleet: Fleet, number: int, lives: list[Life], dice: random.Random, strikes: Strikes) -> None:
        self.fleet = fleet
        self.number = number
        self.lives = lives
        self.dice = dice
        self.strikes = strikes
        self.ended: dict[str, float] = {}  # when the group was told to end it
        self.gone: dict[str, float] = {}

    def run(self) -> None:
        """Live it, until every instance is gone."""
        ids = self.fleet.launch(len(self.lives))
        acts: list[tuple[float, Callable[[], None]]] = []
        for number, (id, life) in enumerate(zip(ids, self.lives, strict=True)):
            acts.append((self.dice.uniform(0, life.ends), partial(self._submit, number, life.job)))
            acts.append((life.ends, partial(self._end, id)))
            acts += [(max(at, 0.0), partial(self._kill_agent, id)) for at in life.kills]
            if life.crash is not None:
                acts.append((life.crash, partial(self._crash_worker, id)))
            if life.metadata_down is not None:
                at, lasts = life.metadata_down
                acts += [(at, partial(self._metadata, down=True)), (at + lasts, partial(self._metadata, down=False))]
        acts += [(at, partial(self._api, faults)) for at, faults in self._weather()]
        began = time.monotonic()
        for at, act in sorted(acts, key=lambda pair: pair[0]):
            time.sleep(max(0.0, began + at - time.monotonic()))
            act()
        self._api([])
        self._metadata(down=False)
        wait_until(partial(self._all_gone, ids), LIMIT_SECONDS)

    def _all_gone(self, ids: list[str]) -> bool:
        members, now = self.fleet.instances(), time.time()
        self.gone |= {id: now for id in ids if id not in members and id not in self.gone}
        return self.gone.keys() >= set(ids)

    def _weather(self) -> list[tuple[float, list[dict[str, Any]]]]:
        """The API's faults in this wave: throttled, down, answers lost, in turn."""
        kinds = [{"kind": "throttle", "rate": 0.4}, {"kind": "error", "rate": 1.0}, {"kind": "lost", "rate": 0.3}]
        begins = self.dice.uniform(1, 8)
        agents = ("RecordLifecycleActionHeartbeat", "CompleteLifecycleAction", "SetInstanceProtection")
        return [
            (begins + 6 * n, [{"operation": f"autoscaling:{name}", **kind} for name in agents])
            for n, kind in enumerate(kinds)
        ]

    def _submit(self, number: int, seconds: float) -> None:
        self.fleet.ledger.put(Job(f"job-{self.number}-{number}", seconds), time.time())

    def _end(self, id: str) -> None:
        self.fleet.terminate(id)
        self.ended[id] = time.time()

    def _kill_agent(self, id: str) -> None:
        if id not in self.fleet.instances():
            return
        try:
            self.fleet.kill_watch(id)
        except ProcessLookupError:
            return  # between two lives
        self.strikes.count("agent killed in its drain" if id in self.ended else "agent killed")

    def _crash_worker(self, id: str) -> None:
        for process in {entry.worker for entry in self.fleet.ledger.entries() if entry.worker.startswith(f"{id}/")}:
            if self.fleet.ledger.registered().get(process) == "offline":
                continue
            try:
                os.kill(int(process.partition("/")[2]), signal.SIGKILL)
            except ProcessLookupError:
                continue
            self.strikes.count("worker crashed")
            self.fleet.ledger.bury(process, "worker crashed", time.time())

    def _metadata(self, *, down: bool) -> None:
        if down:
            self.strikes.count("metadata down")
        faults = [{"path": "*target-lifecycle-state*", "kind": "error", "status": 503}]
        self.fleet.control("imds", faults=faults if down else [])

    def _api(self, faults: list[dict[str, Any]]) -> None:
        if faults:
            self.strikes.count(f"API: {faults[0]['kind']}")
        self.fleet.set_faults(*faults)


@dataclass(frozen=True)
class Real:
    """What the schedules came to."""

    verdict: Verdict
    drains: dict[str, float]
    completions: dict[str, int]
    results: tuple[str, ...]
    strikes: dict[str, int]

    def tally(self) -> Tally:
        tally = Tally()
        completed = sum(count == 1 for count in self.completions.values())
        tally.add(Outcome(self.verdict, drains=tuple(self.drains.values()), completed=completed, befell=self.strikes))
        tally.schedules = len(self.completions)
        return tally


def play(folder: Path, mode: str, schedules: int, seed: int) -> Real:
    """So many schedules in waves; the cloud is gone afterwards."""
    dice, strikes = random.Random(f"{seed}/{mode}"), Strikes()
    fleet = Fleet(folder, mode=mode, pace=PACE)
    fleet.up()
    waves: list[Wave] = []
    try:
        for number in range(0, schedules, WAVE):
            lives = [draw(dice) for _ in range(min(WAVE, schedules - number))]
            waves.append(Wave(fleet, number, lives, dice, strikes))
            waves[-1].run()
            print(f"{mode}: {number + len(lives)} of {schedules} schedules", flush=True)
        made = {id: fleet.completions(id) for wave in waves for id in wave.ended}
        completions = {
            id: len(made[id]) or int(_completed_unheard(fleet, id, wave.gone[id]))
            for wave in waves
            for id in wave.ended
        }
    finally:
        fleet.down()
    return Real(
        judge(fleet.ledger.entries(), time.time(), bound=DOUBLED_BOUND_SECONDS),
        {id: made[id][0].at - at for wave in waves for id, at in wave.ended.items() if made[id]},
        completions,
        tuple(completion.result for each in made.values() for completion in each),
        strikes.counts,
    )


def _completed_unheard(fleet: Fleet, id: str, gone: float) -> bool:
    """Whether a completion took effect whose answer was lost (such a call leaves no trace): the instance went before its hook could time out."""
    beats = [
        call
        for call in fleet.successful_calls("RecordLifecycleActionHeartbeat")
        if call["parameters"].get("InstanceId") == id
    ]
    last = max((datetime.fromisoformat(beat["at"]).timestamp() for beat in beats), default=0.0)
    return gone < last + HOOK_SECONDS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m schedules.real", description=__doc__)
    parser.add_argument(
        "--schedules", type=int, default=30, metavar="N", help="how many, half of them by dispatch mode (default 30)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(1_000_000),
        help="what happens when (default: random)",
    )
    options = parser.parse_args(arguments)
    print(f"{options.schedules} schedules with real processes, seed {options.seed}", flush=True)
    ways: dict[str, Tally] = {}
    for mode in ("legacy", "queue"):
        with tempfile.TemporaryDirectory() as folder:
            real = play(Path(folder), mode, options.schedules // 2, options.seed)
            ways[f"real: wait_idle, {mode}"] = real.tally()
    print("\n".join(table(ways)))
    return int(any(tally.lost or tally.doubled or tally.completed < tally.schedules for tally in ways.values()))


if __name__ == "__main__":
    sys.exit(main())
