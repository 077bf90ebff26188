"""Things that go wrong on container instances, each under load, with the seed of its jobs printed.

No scenario may run a job twice. None may lose one, but for those in which a process or a machine is gone at once
(`CRASHES`): there the job that was inside is lost by nature, which the test counts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.e2e.first_day import GROUP, WORKER_CONTAINER, FirstDay, until
from tests.seeds import new_seed

pytestmark = pytest.mark.slow

AWAY_SECONDS = 60
#: What deploy-server does (worker's source, scripts/deploy-server.ts and lib/container-configs.ts): it gives the new
#: container its own environment, in which Compose has read `.env`'s quotes. Here that is what the stand-in reads, and
#: EC2_*, for which the real worker asks the metadata service. The stand-in's entrypoint, /bin/false, is cleared.
DEPLOYMENT = f"""
set -e
worker=$({WORKER_CONTAINER})
image=$(docker inspect --format '{{{{.Config.Image}}}}' $worker)
server=$(docker ps --quiet --filter label=com.docker.compose.service=deploy-server)
docker inspect --format '{{{{range .Config.Env}}}}{{{{println .}}}}{{{{end}}}}' $server |
    grep -E '^(DATABASE|EC2|GH|AWS|JOB_DISPATCH)_' >/run/deployment.env
docker stop --time 30 $worker
docker rm $worker
docker run --detach --name ghosthands-worker --label gh.service=worker --label gh.managed=true --network host \
    --restart unless-stopped --env-file /run/deployment.env --env GH_WORKER_PORT=3101 --entrypoint "" "$image" \
    bun packages/ghosthands/src/workers/workerLauncher.ts
rm /run/deployment.env
"""


class Load:
    """Jobs of a scenario, and what became of them."""

    def __init__(self, day: FirstDay, name: str) -> None:
        self.day, self.name = day, name
        self.seed = new_seed()
        self._random = random.Random(self.seed)
        self.jobs: list[str] = []

    def submit(self, count: int, shortest: float, longest: float) -> None:
        """So many more jobs, of a length in seconds between these."""
        lengths = [1000 * self._random.uniform(shortest, longest) for _ in range(count)]
        self.jobs += self.day.database.enqueue(self.day.mode, *[f"sleep {length:.0f}" for length in lengths])

    def busy(self, instances: int) -> dict[str, str]:
        """Wait until so many workers are inside a job: the job by worker."""
        busy: dict[str, str] = until(
            lambda: found if len(found := self.day.database.busy()) >= instances else None,
            60,
            f"{instances} workers are busy",
        )
        return busy

    def settle(self, seconds: float = 120, *, lost_by_nature: int = 0) -> None:
        """All jobs are done, once; at most so many are lost, because what ran them was gone."""
        day = self.day
        until(lambda: len(day.database.unfinished(self.jobs)) <= lost_by_nature, seconds, "the jobs are done")
        until(lambda: not set(self.jobs) & set(day.database.busy().values()), 30, "no worker is inside one of them")
        outcome = day.database.outcome(self.jobs)
        print(
            f"{self.name}: seed {self.seed}, {outcome.jobs} jobs, {len(outcome.lost)} lost, {outcome.doubled} doubled, "
            f"{outcome.put_back} put back, {outcome.finished_elsewhere} of them finished elsewhere, "
            f"{len(day.retained())} instances retained"
        )
        assert outcome.doubled == 0
        assert outcome.finished_twice == 0
        assert len(outcome.lost) <= lost_by_nature, outcome.lost


def prepared(day: FirstDay, name: str) -> Load:
    """Two workers that wait for jobs, and nothing wrong."""
    day.cloud.set_faults()
    day.cloud.control("imds", faults=[])
    day.database.own.query("DELETE FROM gh_automation_jobs WHERE status <> 'completed'; DELETE FROM pgboss_job")
    day.put_secret({})
    day.release_retained()
    day.scale(2)
    until(lambda: len(day.states()) == 2, 240, "two instances")
    day.wait_for_workers(2, 240)
    return Load(day, name)


@pytest.fixture
def load(site: FirstDay, request: pytest.FixtureRequest) -> Load:
    """Of one scenario."""
    return prepared(site, request.node.name)


def leave(day: FirstDay, count: int) -> list[str]:
    """Scale in to so many, and wait until instances go: which."""
    day.scale(count)
    going: list[str] = until(
        lambda: [instance for instance, state in day.states().items() if state.startswith("Terminating")],
        90,
        "an instance is going",
    )
    return going


def gone(day: FirstDay, count: int, seconds: float = 150) -> None:
    until(lambda: len(day.states()) == count, seconds, f"{count} instances are left: {day.states()}")


def test_an_agent_that_is_killed_during_a_drain_loses_no_job(load: Load) -> None:
    load.submit(6, 8, 12)
    load.busy(2)
    (going,) = leave(load.day, 1)
    for _ in range(3):
        load.day.run(going, "systemctl kill --signal=KILL ghosthands-watch", check=False)
        time.sleep(1.5)
    load.settle()
    gone(load.day, 1)
    assert load.day.completions()[going][0] == "CONTINUE"


def test_a_restart_of_docker_during_a_job_ends_with_a_worker_that_works(load: Load) -> None:
    load.submit(4, 5, 8)
    busy = load.busy(2)
    instance = load.day.instance_of(next(iter(busy)))
    load.day.run(instance, "systemctl restart docker")
    load.submit(4, 1, 2)
    load.settle(lost_by_nature=1)
    load.day.wait_for_workers(2)


def test_metadata_that_is_away_for_a_minute_loses_no_job(load: Load) -> None:
    load.submit(8, 4, 8)
    load.busy(2)
    load.day.cloud.control("imds", faults=[{"kind": "error", "status": 503}])
    load.day.scale(1)
    time.sleep(AWAY_SECONDS)
    load.day.cloud.control("imds", faults=[])
    load.settle()
    gone(load.day, 1)


def test_a_throttled_api_during_a_scale_in_loses_no_job(load: Load) -> None:
    load.submit(8, 4, 8)
    load.busy(2)
    load.day.cloud.set_faults({"operation": "autoscaling:*", "kind": "throttle", "rate": 0.6}, seed=load.seed)
    until(lambda: _accepted(lambda: load.day.scale(1)), 30, "the scaler is heard")
    load.settle()
    gone(load.day, 1, 200)


def test_an_image_registry_that_is_away_at_boot_delays_the_worker_and_nothing_else(load: Load) -> None:
    load.day.cloud.set_faults({"operation": "ecr:*"})
    load.day.scale(3)
    until(lambda: len(load.day.states()) == 3, 60, "a third instance is launched")
    load.submit(6, 2, 4)
    time.sleep(AWAY_SECONDS / 2)
    assert len(load.day.registered() & set(load.day.states())) == 2
    load.day.cloud.set_faults()
    load.day.wait_for_workers(3, 120)
    load.settle()


def test_a_database_that_is_away_for_a_minute_loses_only_what_ran(load: Load) -> None:
    load.submit(6, 5, 8)
    running = load.busy(2)
    load.day.database.stop()
    time.sleep(AWAY_SECONDS)
    load.day.database.start()
    load.submit(2, 1, 2)
    load.settle(180, lost_by_nature=len(running))
    load.day.wait_for_workers(2)


def test_an_instance_that_is_pulled_loses_only_its_job_and_is_replaced(load: Load) -> None:
    load.submit(6, 5, 8)
    victim = load.day.instance_of(next(iter(load.busy(2))))
    load.day.pull(victim)
    load.settle(lost_by_nature=1)
    assert victim not in load.day.wait_for_workers(2, 180)
    load.day.cloud.client("autoscaling").complete_lifecycle_action(  # nobody is left on it to do so; 300 s else
        AutoScalingGroupName=GROUP,
        LifecycleHookName="gh-worker-termination",
        InstanceId=victim,
        LifecycleActionResult="CONTINUE",
    )


def test_a_disk_that_is_full_stops_no_worker_and_no_drain(load: Load) -> None:
    load.submit(6, 4, 8)
    instance = load.day.instance_of(next(iter(load.busy(2))))
    load.day.run(instance, "cat /dev/zero >/var/lib/docker/filler", check=False)
    assert int(load.day.run(instance, "df --output=avail /var/lib/docker | tail -1")) < 1024, "KiB"
    load.settle()
    load.day.scale(1)
    gone(load.day, 1)


def test_a_job_that_never_ends_is_put_back_at_the_limit_and_the_instance_goes(load: Load) -> None:
    (endless,) = load.day.database.enqueue(load.day.mode, "until")
    other = until(lambda: next(iter(load.day.database.busy()), None), 30, "it is taken")
    load.submit(2, 1, 2)
    load.settle()
    serving = load.day.in_service()
    kept = [
        worker for worker, instance in load.day.database.workers().items() if worker != other and instance in serving
    ]
    for worker in kept:  # so that the other one goes
        load.day.cloud.client("autoscaling").set_instance_protection(
            AutoScalingGroupName=GROUP, InstanceIds=[load.day.instance_of(worker)], ProtectedFromScaleIn=True
        )
    load.day.terminate(load.day.instance_of(other))
    until(lambda: load.day.database.busy().get(kept[0]) == endless, 120, "another worker has it")
    until(lambda: load.day.instance_of(other) not in load.day.states(), 60, "the instance is gone")
    assert load.day.database.outcome([endless]).doubled == 0
    load.day.database.own.query("DELETE FROM gh_automation_jobs WHERE id = %s::uuid", endless)
    # nothing else ends it; after `docker kill` docker would not start its container again
    load.day.run(load.day.instance_of(kept[0]), f"docker restart --time 0 $({WORKER_CONTAINER})")


@pytest.mark.parametrize(
    ("broken", "said"),
    [({"STAND_IN_CRASHES": "true"}, "worker"), ({"DATABASE_URL": None}, "DATABASE_URL")],
    ids=["a worker that crashes in a loop", "a secret without a required key"],
)
def test_what_cannot_boot_says_why_harms_nobody_and_recovers(
    load: Load, broken: dict[str, str | None], said: str
) -> None:
    day = load.day
    before, known = set(day.in_service()), {event["instance_id"] for event in day.cloud.events()}
    day.put_secret(broken)
    day.scale(3)

    def named() -> bool:
        """Whether an instance that does not boot says why."""
        others = set(day.states()) - before
        return any(said in day.run(each, "cat /run/ghosthands/boot.json", check=False) for each in others)

    until(named, 180, f"boot names {said}")
    load.submit(6, 1, 3)
    load.settle()
    assert day.registered() & set(day.states()) <= before, "none of the others works"
    launched = {event["instance_id"] for event in day.cloud.events() if event["after"] == "Pending"} - known
    print(f"{len(launched)} launches until {said} was named and the jobs were done")
    day.put_secret({})
    day.wait_for_workers(3, 300)


def test_a_raw_container_of_a_deployment_is_drained_as_the_worker_that_it_is(load: Load) -> None:
    instance = sorted(load.day.in_service())[0]
    load.day.run(instance, DEPLOYMENT)
    load.day.wait_for_workers(2)
    load.submit(6, 3, 6)
    load.busy(2)
    load.day.terminate(instance)
    load.settle(lost_by_nature=1)  # without a guard, which deploy-server does not give it
    until(lambda: instance not in load.day.states(), 150, "the instance is gone")


def _accepted(call: Callable[[], object]) -> bool:
    try:
        return call() is not False
    except Exception as refusal:
        if "Throttling" in str(refusal) or "Rate exceeded" in str(refusal):
            return False
        raise


def test_the_timeline_of_all_that_is_drawn(site: FirstDay) -> None:
    page = site.page()
    assert GROUP in page
    assert all(instance in page for instance in site.states())
