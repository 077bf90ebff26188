"""Scenarios of a fleet beside the real worker: jobs, and instances that go while they run."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from localcloud.testing import wait_until
from processes.fleet import GROUP

from tools.real_worker import measures
from tools.real_worker.fleet import RealFleet, WorkerFacts, durations

WIDTH = 5  # instances that go at once
SURVIVORS = 2
JOB_SECONDS = (4.0, 9.0)
LONG_JOB_SECONDS = (20.0, 40.0)  # around the limit of a spot drain
KILLS = 3  # of each agent
OCCUPY_SECONDS = 60.0
DRAIN_SECONDS = 150.0
SPOT_SECONDS = 120.0  # from the notice until EC2 takes the instance
REFRESH_SECONDS = 240.0
DEPLOY_SECONDS = 90.0
#: Nothing happens any more: the longest of legacy's poll (5 s), pg-boss's (2 s) and the delay of a job put back (5 s).
QUIET_SECONDS = 16.0
SETTLE_SECONDS = 180.0


@dataclass
class Trial:
    """One run of a scenario: what was done so far.

    Attributes:
        ordered: when each instance that goes was told to, in seconds since 1970.
        notes: what only this scenario counts.
    """

    fleet: RealFleet
    rng: random.Random
    count: int
    jobs: list[str] = field(default_factory=list)
    reviews: list[str] = field(default_factory=list)
    ordered: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    workers: dict[str, WorkerFacts] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def submit(self, count: int, seconds: tuple[float, float] = JOB_SECONDS) -> None:
        """Submit jobs of between so many seconds."""
        self.jobs += self.fleet.queue.submit(durations(self.rng, count, *seconds))

    def unfinished(self) -> dict[str, str]:
        """The jobs that are not completed, with their status."""
        found = measures.statuses(self.fleet.database, self.jobs)
        return {job: status for job, status in found.items() if status != "completed"}

    def waiting(self) -> int:
        """The number of jobs that no worker has taken."""
        return sum(status in ("pending", "queued") for status in self.unfinished().values())

    def wait_for_jobs(self) -> None:
        """Wait until all jobs are completed, or nothing has happened for `QUIET_SECONDS`."""
        deadline = time.monotonic() + SETTLE_SECONDS
        before, since = None, time.monotonic()
        while left := self.unfinished():
            now = (left, measures.inside(self.fleet.database))
            if now != before or now[1]:
                before, since = now, time.monotonic()
            if time.monotonic() > min(deadline, since + QUIET_SECONDS):
                return
            time.sleep(0.5)

    # --- instances ----------------------------------------------------------------------------------------------------

    def ensure(self, count: int) -> list[str]:
        """Have so many workers, and note what each says of its guard; all of them."""
        self.fleet.gone |= self.ordered.keys()
        ready = self.fleet.ensure(count)
        for instance in ready:
            if instance not in self.workers:
                with suppress(OSError):
                    self.workers[instance] = self.fleet.worker_facts(instance)
        return ready

    def waves(self, survivors: int = SURVIVORS) -> Iterator[list[str]]:
        """Up to `WIDTH` instances that are to go, until `count` of them have gone."""
        left = self.count
        while left:
            width = min(WIDTH, left)
            ready = self.ensure(width + survivors)
            yield self.rng.sample(ready, width)
            left -= width

    def inside_a_job(
        self, instances: Collection[str], seconds: tuple[float, float] = JOB_SECONDS, more: int = 4
    ) -> Iterator[str]:
        """Submit jobs, some more than there are workers; yields each of these instances once it is inside one."""
        left, deadline = set(instances), time.monotonic() + OCCUPY_SECONDS
        self.submit(len(self.fleet.in_service()) + more, seconds)
        while left and time.monotonic() < deadline:
            for instance in left & measures.inside(self.fleet.database).keys():
                left.remove(instance)
                yield instance
            if left and not self.waiting():
                self.submit(len(left), seconds)
            time.sleep(0.2)
        if left:
            self.notes["never_busy"] = self.notes.get("never_busy", 0) + len(left)

    def terminate(self, instance: str) -> None:
        """Scale in by this instance."""
        self.fleet.terminate(instance)
        self.ordered[instance] = time.time()

    def start_deployment(self, instance: str) -> Thread:
        """Let deploy-server replace its worker, which takes up to 30 s."""
        thread = Thread(target=self.fleet.deploy, args=(instance,), daemon=True)
        thread.start()
        return thread

    def deploy(self, instances: Collection[str]) -> None:
        """Let deploy-server replace the workers of these instances, and wait until the new ones answer."""
        for thread in list(map(self.start_deployment, instances)):
            thread.join(DEPLOY_SECONDS)
        wait_until(lambda: all(map(self.fleet.worker_answers, instances)), DEPLOY_SECONDS, 0.3)

    def completions(self) -> dict[str, tuple[str, float]]:
        """Result and time of the completed hooks, by instance."""
        calls = self.fleet.calls("CompleteLifecycleAction")
        found = {call["parameters"].get("InstanceId", ""): call for call in calls}
        return {
            instance: (call["parameters"]["LifecycleActionResult"], measures.seconds(call["at"]))
            for instance, call in found.items()
            if instance in self.ordered
        }

    def wait_for_exits(self, instances: Collection[str]) -> None:
        """Wait until the workers of these instances have exited."""
        wait_until(lambda: all(map(self.fleet.worker_has_exited, instances)), DRAIN_SECONDS, 0.3)

    def wait_for_drains(self) -> None:
        """Wait until the hooks of all instances that go are completed."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while len(done := self.completions()) < len(self.ordered) and time.monotonic() < deadline:
            time.sleep(0.5)
        self.ended |= {instance: at for instance, (_, at) in done.items()}


def steady(trial: Trial) -> None:
    """Nothing is scaled: what the workers do to each other by themselves."""
    trial.ensure(WIDTH)
    for _ in range(3):
        trial.submit(10)
        trial.wait_for_jobs()
        time.sleep(trial.rng.uniform(1, 5))


def idle(trial: Trial) -> None:
    """Workers that have finished all jobs go."""
    for victims in trial.waves():
        trial.submit(10)
        trial.wait_for_jobs()
        for instance in victims:
            trial.terminate(instance)
    trial.wait_for_drains()


def busy(trial: Trial) -> None:
    """Workers go in the middle of a job, with a short queue behind them."""
    for victims in trial.waves():
        for instance in trial.inside_a_job(victims):
            trial.terminate(instance)
    trial.wait_for_drains()


def backlog(trial: Trial) -> None:
    """Workers go under a queue of more jobs than there are workers: two waves, the second while the first drains."""
    victims = trial.rng.sample(trial.ensure(trial.count + SURVIVORS), trial.count)
    trial.submit(4 * trial.count)
    while victims:
        time.sleep(trial.rng.uniform(2, 5))
        for instance in victims[:WIDTH]:
            trial.terminate(instance)
        del victims[:WIDTH]
    trial.wait_for_drains()


def refresh(trial: Trial) -> None:
    """An instance refresh of the group under a queue, and a second one."""
    fleet, group = trial.fleet, trial.fleet.client("autoscaling")
    while len(trial.ordered) < trial.count:
        old = set(trial.ensure(WIDTH))
        trial.submit(4 * len(old))
        preferences = {"MinHealthyPercentage": 50, "InstanceWarmup": 2}
        group.start_instance_refresh(AutoScalingGroupName=GROUP, Preferences=preferences)
        deadline = time.monotonic() + REFRESH_SECONDS
        while (now := fleet.instances()).keys() & old and time.monotonic() < deadline:
            for instance in old & now.keys() - trial.ordered.keys():
                if now[instance]["LifecycleState"].startswith("Terminating"):
                    trial.ordered[instance] = time.time()
            time.sleep(0.2)
        wait_until(lambda: _refreshes(trial)[0] not in ("Pending", "InProgress"), REFRESH_SECONDS, 0.5)
    trial.notes["refreshes"] = _refreshes(trial)
    trial.wait_for_drains()


def _refreshes(trial: Trial) -> list[str]:
    """The statuses of the group's refreshes, the latest first."""
    group = trial.fleet.client("autoscaling")
    found = group.describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"]
    return [one["Status"] for one in found]


def kill9(trial: Trial) -> None:
    """Busy workers go, and their agents are killed again and again while they drain."""
    killed = 0
    for victims in trial.waves():
        for instance in trial.inside_a_job(victims):
            trial.terminate(instance)
        for _ in range(KILLS):
            time.sleep(trial.rng.uniform(0.3, 1.5))
            killed += sum(map(trial.fleet.kill_watch_if_it_runs, victims))
    trial.notes["agents_killed"] = killed
    trial.wait_for_drains()


def spot(trial: Trial) -> None:
    """EC2 takes busy instances, two minutes after a notice. The agent gives the jobs 30 s of them."""
    for victims in trial.waves():
        for instance in trial.inside_a_job(victims, LONG_JOB_SECONDS, more=0):
            trial.fleet.send_spot_notice(instance)
            trial.ordered[instance] = time.time()
        taken = {instance: trial.ordered[instance] + SPOT_SECONDS for instance in victims if instance in trial.ordered}
        while taken:
            for instance, at in list(taken.items()):
                if trial.fleet.steps(instance, "drain_ended") or time.time() > at:
                    trial.ended[instance] = min(trial.fleet.worker_exit_time(instance), time.time())
                    trial.fleet.client("ec2").terminate_instances(InstanceIds=[instance])
                    del taken[instance]
            time.sleep(0.2)


def shutdown(trial: Trial) -> None:
    """The operating systems of busy instances shut down: systemd runs the agent's `stop`."""
    for victims in trial.waves():
        for instance in trial.inside_a_job(victims):
            trial.fleet.shut_down(instance)
            trial.ordered[instance] = time.time()
        gone = [instance for instance in victims if instance in trial.ordered]
        trial.wait_for_exits(gone)
        trial.ended |= {instance: trial.fleet.worker_exit_time(instance) for instance in gone}


def deploy(trial: Trial) -> None:
    """deploy-server has replaced the workers of the first instances that go, and replaces those of the others while
    they drain. Its workers have no guard.
    """
    trial.notes |= {"deployed": 0, "deployed_in_drain": 0}
    for number, victims in enumerate(trial.waves()):
        if number == 0:
            trial.deploy(victims)
            trial.notes["deployed"] += len(victims)
        for instance in trial.inside_a_job(victims):
            trial.terminate(instance)
            if number:
                time.sleep(trial.rng.uniform(0.2, 1.0))
                trial.start_deployment(instance)
                trial.notes["deployed_in_drain"] += 1
    trial.wait_for_drains()


def review(trial: Trial) -> None:
    """Workers whose job waits for a person go; nobody comes within the limit."""
    trial.fleet.set_conf(DRAIN_LIMIT_SECONDS="60")
    victims = trial.ensure(trial.count)
    trial.reviews += trial.fleet.queue.submit(durations(trial.rng, len(victims), 1, 2), review=True)

    def all_wait() -> bool:
        found = measures.statuses(trial.fleet.database, trial.reviews)
        return all(status == "awaiting_review" for status in found.values())

    with suppress(TimeoutError):
        wait_until(all_wait, OCCUPY_SECONDS, 0.5)
    for instance in victims:
        trial.terminate(instance)
    trial.wait_for_drains()
    trial.notes["review"] = dict(Counter(measures.statuses(trial.fleet.database, trial.reviews).values()))


def in_place(trial: Trial) -> None:
    """Busy workers are renewed with a rotated secret or released to another image, in turn; every fourth one goes
    before that is over.
    """
    answers = Counter[str]()
    for victims in trial.waves():
        trial.fleet.rotate_secret(f"{trial.rng.getrandbits(32):08x}")
        wishes = dict[str, str]()
        for instance in trial.inside_a_job(victims):
            number = len(wishes)
            image = f"=sha256:{trial.rng.getrandbits(256):064x}" if number % 2 else ""
            verb, id = "release" if image else "renew", f"{trial.rng.getrandbits(32):08x}"
            trial.fleet.tag(f"{verb}{image}@{id}", instance)
            wishes[instance] = f"{verb}@{id}"
            if number % 4 == 3:
                trial.terminate(instance)
        for instance, wish in wishes.items():
            if instance not in trial.ordered:
                answer = trial.fleet.wait_for_answer(instance, (f"{wish} done", f"{wish} failed"), DRAIN_SECONDS)
                answers[f"{wish.partition('@')[0]} {answer.split()[1]}"] += 1
    trial.notes["answers"] = dict(answers)
    trial.wait_for_drains()


SCENARIOS: dict[str, Callable[[Trial], None]] = {
    one.__name__: one for one in (steady, idle, busy, backlog, refresh, kill9, spot, shutdown, deploy, review, in_place)
}


def run(fleet: RealFleet, scenario: str, count: int, seed: int) -> dict[str, Any]:
    """Run a scenario and return its row of the table."""
    began, load = time.monotonic(), os.getloadavg()[0]
    trial = Trial(fleet, random.Random(f"{seed}/{scenario}"), count)
    SCENARIOS[scenario](trial)
    fleet.gone |= trial.ordered.keys()
    if trial.jobs:
        trial.ensure(1)
        trial.wait_for_jobs()
    row = {
        "mode": fleet.mode,
        "guard": fleet.worker_guard,
        "scenario": scenario,
        "seed": seed,
        "seconds": round(time.monotonic() - began),
        "load": round(max(load, os.getloadavg()[0]), 1),
        **_result(trial),
    }
    fleet.database.query(
        "UPDATE gh_automation_jobs SET status = 'cancelled' WHERE status NOT IN ('completed', 'cancelled')"
    )
    return row


def _result(trial: Trial) -> dict[str, Any]:
    fleet, database = trial.fleet, trial.fleet.database
    outcome, results = measures.outcome(database, trial.jobs), trial.completions()
    clean = {instance for instance, (result, _) in results.items() if result == "CONTINUE"}
    clean |= {i for i in trial.ordered.keys() - results.keys() if fleet.drained_cleanly(i)}
    idle = measures.seconds_after_idle(database, trial.ordered, trial.ended)
    steps = {
        event: [step for instance in trial.ordered for step in fleet.steps(instance, event)]
        for event in ("worker_stop", "worker_stopped", "job_lost", "job_left_for_review")
    }
    return {
        "ended": len(trial.ordered),
        "unfinished_drains": len(trial.ordered.keys() - trial.ended.keys()),
        "jobs": outcome.jobs,
        "lost": len(outcome.lost),
        "lost_jobs": dict(outcome.lost),
        "lost_but_clean": sum(outcome.holders.get(job) in clean for job in outcome.lost),
        "doubled": outcome.doubled,
        "claimed_at_once": outcome.claimed_at_once,
        "finished_twice": outcome.finished_twice,
        "put_back": outcome.put_back,
        "finished_elsewhere": outcome.finished_elsewhere,
        "results": _counts(result for result, _ in results.values()),
        "clean": len(clean),
        "job_lost": len(steps["job_lost"]),
        "left_for_review": len(steps["job_left_for_review"]),
        "stops": _counts(step.get("reason", "") for step in steps["worker_stop"]),
        "exit_codes": _counts(step.get("exit_code", "") for step in steps["worker_stopped"]),
        "seconds_after_idle": _sorted({} if trial.reviews else idle),
        "drain_seconds": _sorted({i: at - trial.ordered[i] for i, at in trial.ended.items()}),
        "workers": len(trial.workers),
        "attached": sum(facts.attached for facts in trial.workers.values()),
        "boot_guard": _counts(facts.boot for facts in trial.workers.values()),
        **trial.notes,
    }


def _counts(values: Iterator[str] | Any) -> dict[str, int]:
    return dict(Counter(values))


def _sorted(values: Mapping[str, float]) -> list[float]:
    return sorted(round(value, 2) for value in values.values())
