"""From a started host to a registered worker: what boot promises, in virtual time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ghosthands_agent.boot import back_off, boot
from ghosthands_agent.ports import BootRecord, Refused, Service, Unavailable
from ghosthands_agent.settings import Settings
from unit.world import BAKED, INSTANCE, SETTINGS, WANTED, World

DOWN = Unavailable("somewhere", "Timeout")
DENIED = Refused("secretsmanager:GetSecretValue", "AccessDenied")


def booted(world: World, settings: Settings = SETTINGS) -> int:
    return world.run(boot(world.ports(), settings, world.paths), 10_000)


def record(world: World) -> BootRecord:
    assert world.boot_record is not None
    return world.boot_record


def test_a_boot_ends_with_a_registered_worker_and_its_record() -> None:
    world = World()
    assert booted(world) == 0
    assert (world.worker.state, record(world).state, record(world).image, record(world).failures) == (
        "running",
        "completed",
        WANTED,
        0,
    )
    assert set(record(world).seconds) == {"facts", "secret", "files", "image", "start", "registration", "launch_hook"}


def test_every_phase_is_a_line_with_its_time() -> None:
    world = World()
    booted(world)
    assert {str(step["phase"]): step["seconds"] for step in world.steps("boot_phase")} == dict(record(world).seconds)


def test_beyond_compose_the_agent_adds_less_than_a_second_and_a_half() -> None:
    world = World()
    began = world.time
    booted(world)
    assert world.time - began < world.up_seconds + 1.5


def test_secret_and_login_are_under_way_while_the_metadata_service_answers() -> None:
    world = World()
    booted(world)
    assert world.called.index("secret") < world.called.index("instance")
    assert world.called.index("login") < world.called.index("instance")


def test_the_worker_is_told_who_and_where_it_is() -> None:
    world = World()
    booted(world)
    lines = world.files["environment"].splitlines()
    assert lines[-7:] == [
        f"EC2_INSTANCE_ID='{INSTANCE.id}'",
        f"EC2_IP='{INSTANCE.public_ip}'",
        "AWS_ASG_NAME='gh-worker-asg'",
        f"AWS_LIFECYCLE_HOOK_NAME='{SETTINGS.worker_hook}'",
        "AWS_REGION='us-east-1'",
        f"ECR_IMAGE='{WANTED}'",
        f"GH_WORKER_ID='{INSTANCE.id}'",
    ]


def test_nothing_is_started_on_an_instance_that_is_to_end() -> None:
    world = World(target="Terminated")
    assert booted(world) == 0
    assert (world.starts, world.files, record(world).state) == (0, {}, "withdrawn")
    assert "secret" not in world.called


@pytest.mark.parametrize("mark", ["terminated", "spot", "requested"])
def test_nothing_is_started_once_a_drain_was_begun(mark: str) -> None:
    world = World(mark_file={mark: 1.0})  # type: ignore[dict-item]
    assert booted(world) == 0
    assert (world.starts, record(world).state) == (0, "withdrawn")
    assert "secret" not in world.called


def test_a_target_state_that_cannot_be_read_starts_nothing() -> None:
    world = World(faults={"target_state": [DOWN] * 10_000})
    assert booted(world) == 1
    assert (world.starts, record(world).state, record(world).reason) == (0, "failed", "somewhere: Timeout")


@pytest.mark.parametrize("after", [0.2, 1.0, 2.0, 3.0])
def test_a_boot_gives_way_when_the_instance_is_to_end_meanwhile(after: float) -> None:
    world = World()
    world.after(after, world.terminate)
    assert booted(world) == 0
    assert record(world).state == "withdrawn"
    world.advance(100)
    assert world.starts == 0


@pytest.mark.parametrize(
    "call",
    [
        "target_state",
        "marks",
        "instance",
        "boot_record",
        "write_boot",
        "write environment",
        "write override",
        "present",
        "clear_flag",
    ],
)
def test_what_is_unavailable_is_asked_again(call: str) -> None:
    world = World(faults={call: [DOWN, DOWN, DOWN]})
    assert booted(world) == 0
    assert world.starts == 1


@pytest.mark.parametrize("task", ["secret", "up"])
def test_what_ends_badly_for_now_is_begun_again(task: str) -> None:
    world = World(faults={task: [DOWN, DOWN]})
    assert booted(world) == 0
    assert world.starts == 1


def test_a_denied_secret_fails_the_boot_at_once_and_says_why() -> None:
    world = World(faults={"secret": [DENIED]})
    began = world.time
    assert booted(world) == 1
    assert (record(world).state, record(world).phase, record(world).reason) == ("failed", "secret", str(DENIED))
    assert (world.starts, world.files, world.unhealthy) == (0, {}, 1)
    assert back_off(1) <= world.time - began < back_off(1) + 10


def test_an_incomplete_secret_fails_the_boot_by_name_and_leaves_no_file() -> None:
    world = World(secret=json.dumps({"DATABASE_URL": "canary"}))
    assert booted(world) == 1
    assert "GH_SERVICE_SECRET is missing" in record(world).reason
    assert world.files == {}
    assert "canary" not in repr(world.log) + repr(record(world))


def test_the_back_off_grows_with_each_failure_in_a_row_and_ends_with_a_success() -> None:
    world = World(faults={"secret": [DENIED, DENIED, DENIED]})
    waits = []
    for _ in range(3):
        began = world.time
        assert booted(world) == 1
        waits.append(world.time - began)
    assert (record(world).failures, world.unhealthy) == (3, 3)
    assert waits == sorted(waits)
    assert waits[2] > 3 * waits[0]
    assert booted(world) == 0
    assert record(world).failures == 3
    world.faults["secret"] = [DENIED]
    assert booted(world) == 1
    assert record(world).failures == 1


def test_the_back_off_has_a_ceiling() -> None:
    assert back_off(50) == 900


def test_a_failed_boot_reports_nothing_of_an_instance_that_is_to_end_meanwhile() -> None:
    world = World(faults={"secret": [DENIED]})
    world.after(30, world.terminate)
    assert booted(world) == 0
    assert (world.unhealthy, record(world).state) == (0, "withdrawn")


def test_a_boot_that_takes_too_long_fails() -> None:
    world = World(up_seconds=5000)
    assert booted(world) == 1
    assert (record(world).phase, record(world).reason) == ("start", "start: not done in 900 s")
    world.advance(10_000)
    assert world.starts == 0  # what was under way was cancelled


def test_a_worker_that_never_answers_is_not_registered() -> None:
    world = World()
    world.faults["status"] = [Unavailable("worker:status", "ConnectionRefused")] * 100_000
    assert booted(world) == 1
    assert (record(world).phase, record(world).reason) == ("registration", "worker status: ConnectionRefused")


def test_a_report_is_repeated_until_it_is_heard() -> None:
    world = World(faults={"secret": [DENIED], "report_unhealthy": [DOWN] * 5})
    assert booted(world) == 1
    assert world.unhealthy == 1


# --- image --------------------------------------------------------------------------------------------------------------------


def test_an_image_that_is_there_by_digest_is_not_pulled() -> None:
    world = World()
    booted(world)
    assert "pull" not in world.called


def test_an_image_by_tag_is_pulled_for_the_tag_may_have_moved() -> None:
    world = World(images={"registry/ghosthands:v1"})
    assert booted(world, replace(SETTINGS, image="registry/ghosthands:v1")) == 0
    assert world.called.count("pull") == 1


def test_the_registry_login_is_there_before_the_pull() -> None:
    world = World(images=set())
    world.run(boot(world.ports(), SETTINGS, world.paths))
    assert record(world).seconds["image"] >= 20


def test_a_failed_login_is_said_and_the_pull_decides() -> None:
    world = World(images=set(), faults={"login": [Refused("ecr:GetAuthorizationToken", "AccessDenied")]})
    assert booted(world) == 0
    assert world.steps("registry_login_failed")


def test_a_refused_pull_fails_the_boot() -> None:
    world = World(images={BAKED}, pullable=False)
    assert booted(world) == 1
    assert (world.starts, record(world).reason) == (0, "docker pull: denied")


def test_a_refused_pull_falls_back_to_the_baked_image_where_that_is_allowed_and_says_so() -> None:
    world = World(images={BAKED}, pullable=False)
    assert booted(world, replace(SETTINGS, image_fallback="baked")) == 0
    assert record(world).image == BAKED
    assert f"ECR_IMAGE='{BAKED}'" in world.files["environment"]
    (said,) = world.steps("image_fallback")
    assert (said["desired"], said["image"], said["code"]) == (WANTED, BAKED, "denied")


def test_without_a_baked_image_there_is_nothing_to_fall_back_to() -> None:
    world = World(images=set(), baked=None, pullable=False)
    assert booted(world, replace(SETTINGS, image_fallback="baked")) == 1


def test_a_registry_that_is_down_for_a_moment_causes_no_fallback() -> None:
    world = World(images={BAKED}, faults={"pull": [DOWN, DOWN]})
    assert booted(world, replace(SETTINGS, image_fallback="baked")) == 0
    assert record(world).image == WANTED


# --- launch hook --------------------------------------------------------------------------------------------------------------

WITH_LAUNCH_HOOK = replace(SETTINGS, launch_hook="gh-worker-launch")


def test_the_launch_hook_is_completed_when_the_worker_is_registered() -> None:
    world = World(hooks={"gh-worker-launch": 1e9})
    assert booted(world, WITH_LAUNCH_HOOK) == 0
    assert world.completions == [("gh-worker-launch", "CONTINUE")]
    assert world.called.index("complete") > world.called.index("status")


def test_an_instance_that_came_before_its_launch_hook_boots_all_the_same() -> None:
    world = World()
    assert booted(world, WITH_LAUNCH_HOOK) == 0


def test_a_completion_whose_answer_was_lost_counts() -> None:
    world = World(hooks={"gh-worker-launch": 1e9}, lost_answers={"complete": 1})
    assert booted(world, WITH_LAUNCH_HOOK) == 0
    assert world.completions == [("gh-worker-launch", "CONTINUE")]


def test_a_failed_boot_abandons_its_launch_hook() -> None:
    world = World(hooks={"gh-worker-launch": 1e9}, faults={"secret": [DENIED]})
    assert booted(world, WITH_LAUNCH_HOOK) == 1
    assert (world.completions, world.unhealthy) == ([("gh-worker-launch", "ABANDON")], 0)


def test_a_failed_boot_after_its_launch_hook_reports_the_instance_unhealthy() -> None:
    world = World(faults={"secret": [DENIED]})
    assert booted(world, WITH_LAUNCH_HOOK) == 1
    assert world.unhealthy == 1


# --- again --------------------------------------------------------------------------------------------------------------------


def test_a_second_boot_changes_nothing_about_a_running_worker() -> None:
    world = World()
    booted(world)
    world.take_job(100)
    files = dict(world.files)
    assert booted(world) == 0
    assert (world.starts, world.files, world.worker.state) == (1, files, "running")


def test_a_boot_that_was_killed_anywhere_and_begun_again_comes_to_the_same_end() -> None:
    whole = World(hooks={"gh-worker-launch": 1e9})
    booted(whole, WITH_LAUNCH_HOOK)
    for call in range(1, whole.calls + 1):
        for moment in ("before", "after"):
            world = World(hooks={"gh-worker-launch": 1e9})
            world.kill(boot(world.ports(), WITH_LAUNCH_HOOK, world.paths), call, moment)
            assert booted(world, WITH_LAUNCH_HOOK) == 0
            assert (world.starts, world.files, world.completions) == (1, whole.files, whole.completions), (call, moment)
            assert record(world).state == "completed"


def test_a_service_between_two_lives_neither_runs_nor_is_down() -> None:
    assert (Service("restarting").runs, Service("restarting").down) == (False, False)
    assert (Service("running").runs, Service("exited").down) == (True, True)
