"""hold, resume, renew and release by the instance's tag: the real agent, real processes, the role's policy enforced."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from ghosthands_agent.wishes import repository
from localcloud.testing import wait_until
from model.job_queue import Job
from model.verdict import judge
from processes import instance as instance_program
from processes.fake_docker import dotenv
from processes.fleet import IMAGE, SECRET, VALUES, Fleet

HOLD_SECONDS = 5.0
DIGESTS = [f"sha256:{letter * 64}" for letter in "abc"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    made = Fleet(tmp_path_factory.mktemp("wishes"), guard=True, conf={"BOOT_TIMEOUT_SECONDS": "60"})
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="module")
def instances(fleet: Fleet) -> list[str]:
    return fleet.launch(3)


def environment(fleet: Fleet, instance: str) -> dict[str, str]:
    return dotenv(fleet.folder / instance / "root/opt/ghosthands/.env")


def takes(fleet: Fleet) -> list[tuple[str, float]]:
    return [(event.worker.partition("/")[0], event.at) for event in fleet.jobs.events() if event.action == "take"]


def all_finished(fleet: Fleet) -> bool:
    """Whether each job so far was finished, by one worker."""
    verdict = judge(fleet.jobs.copy(), time.time(), fleet.dispatch_mode)
    assert not verdict.doubled, verdict
    return verdict.fates == {"finished": verdict.jobs}


def submit(fleet: Fleet, name: str, count: int, seconds: float) -> None:
    for number in range(count):
        fleet.jobs.submit(Job(f"{name}-{number}", seconds), time.time())


def test_a_whole_fleet_is_held_within_five_seconds_and_resumed(fleet: Fleet, instances: list[str]) -> None:
    submit(fleet, "before", 12, 1.0)
    wait_until(lambda: {instance for instance, _at in takes(fleet)} == set(instances), 30)
    calls = len(fleet.calls("CreateTags"))
    fleet.tag("hold@00000001", *instances)
    held_at = time.time()
    for instance in instances:
        fleet.wait_for_answer(instance, "hold@00000001 done")
    assert max(at for _instance, at in takes(fleet)) < held_at + HOLD_SECONDS
    before = len(takes(fleet))
    submit(fleet, "meanwhile", 3, 0.5)
    time.sleep(5)
    assert len(takes(fleet)) == before
    fleet.tag("resume@00000002", *instances)
    for instance in instances:
        fleet.wait_for_answer(instance, "resume@00000002 done")
    wait_until(lambda: all_finished(fleet), 60)
    # the operator's two calls, and at most `begun` and `done` for each of the two
    assert len(fleet.calls("CreateTags")) - calls <= 2 + 4 * len(instances)
    assert fleet.denied_calls() == []


def test_a_renewal_restarts_each_worker_with_the_new_secret_and_loses_none(fleet: Fleet, instances: list[str]) -> None:
    submit(fleet, "renewed", 12, 1.0)
    rotated = json.dumps({**VALUES, "OPENAI_API_KEY": "rotated", "JOB_DISPATCH_MODE": fleet.dispatch_mode})
    fleet.client("secretsmanager").put_secret_value(SecretId=SECRET, SecretString=rotated)
    fleet.tag("renew@00000003", *instances)
    for instance in instances:
        fleet.wait_for_answer(instance, "renew@00000003 done")
        assert environment(fleet, instance)["OPENAI_API_KEY"] == "rotated"
    wait_until(lambda: all_finished(fleet), 60)
    fleet.tag("renew@00000004", instances[0])
    assert fleet.wait_for_answer(instances[0], "renew@00000004 done") == "renew@00000004 done unchanged"


def test_a_release_goes_back_by_itself_where_the_image_does_not_work(fleet: Fleet, instances: list[str]) -> None:
    good, bad, missing = (f"{repository(IMAGE)}@{digest}" for digest in DIGESTS)
    for instance in instances:
        (fleet.folder / instance / "bad_images").write_text(f"{bad}\n")
        (fleet.folder / instance / "missing_images").write_text(f"{missing}\n")
    submit(fleet, "released", 12, 1.0)
    fleet.tag(f"release={DIGESTS[0]}@00000005", *instances)
    for instance in instances:
        fleet.wait_for_answer(instance, "release@00000005 done")
        assert environment(fleet, instance)["ECR_IMAGE"] == good
    fleet.tag(f"release={DIGESTS[1]}@00000006", instances[0])
    fleet.tag(f"release={DIGESTS[2]}@00000007", instances[1])
    said = fleet.wait_for_answer(instances[0], "release@00000006 failed", 120)
    assert "again and again" in said or "exited" in said or "exit 1" in said
    assert "NoSuchImage" in fleet.wait_for_answer(instances[1], "release@00000007 failed")
    assert {environment(fleet, instance)["ECR_IMAGE"] for instance in instances} == {good}
    submit(fleet, "afterwards", 6, 0.5)
    wait_until(lambda: all_finished(fleet), 60)
    assert {instance for instance, _at in takes(fleet)[-6:]} <= set(instances)


def test_an_agent_that_is_killed_all_the_time_fulfils_every_wish(fleet: Fleet, instances: list[str]) -> None:
    over = threading.Event()

    def kill() -> None:
        chance = random.Random(7)
        while not over.wait(chance.uniform(1.0, 6.0)):
            for instance in instances:
                with contextlib.suppress(ProcessLookupError):  # it is being started again
                    fleet.kill_watch(instance)

    killer = threading.Thread(target=kill)
    submit(fleet, "killed", 9, 1.0)
    killer.start()
    try:
        for wish in ("hold@00000011", "resume@00000012", f"release={DIGESTS[2]}@00000013"):
            for instance in instances:
                (fleet.folder / instance / "missing_images").unlink(missing_ok=True)
            fleet.tag(wish, *instances)
            name = wish.partition("=")[0].partition("@")[0] + "@" + wish[-8:]
            for instance in instances:
                fleet.wait_for_answer(instance, f"{name} done", 120)
    finally:
        over.set()
        killer.join()
    wait_until(lambda: all_finished(fleet), 60)


def test_a_person_on_the_host_gives_the_same_commands(fleet: Fleet, instances: list[str]) -> None:
    instance = instances[0]
    own = fleet.folder / instance
    for verb in (["hold"], ["resume"], ["release", f"{repository(IMAGE)}@{DIGESTS[0]}"]):
        done = subprocess.run(
            [*instance_program.agent_command(own), *verb],
            env=instance_program.environment(own),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    wait_until(lambda: re.fullmatch(r"release@(?!00000013)[0-9a-f]{8} done", fleet.answer(instance)), 60)
    wrong = subprocess.run(
        [*instance_program.agent_command(own), "release", "v2"],
        env=instance_program.environment(own),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (wrong.returncode, "has no digest" in wrong.stderr) == (2, True)


def test_a_drain_beats_a_hold_and_the_wish_is_ignored(fleet: Fleet, instances: list[str]) -> None:
    instance = instances[0]
    submit(fleet, "drained", 3, 4.0)
    wait_until(lambda: instance in {each for each, _at in takes(fleet)[-3:]}, 20)
    fleet.terminate(instance)
    fleet.wait_for_log(instance, "event=drain_began")
    fleet.tag("hold@00000021", instance)
    assert fleet.completion(instance).result == "CONTINUE"
    # a drain that is over within seconds ends before the wish is read: the answer is an earlier wish's then
    ended = [line for line in fleet.log(instance).splitlines() if "event=wish_ended wish=hold@00000021" in line]
    assert all("state=ignored" in line for line in ended), ended
    assert re.match(r"hold@00000021 ignored|(?!hold@00000021)", fleet.answer(instance))
    wait_until(lambda: all_finished(fleet), 60)
    assert fleet.denied_calls() == []
