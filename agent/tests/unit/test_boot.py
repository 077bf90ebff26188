"""The procedure `boot`: from a started host to a registered worker, in virtual time."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from ghosthands_agent.boot import RETRY_SECONDS, boot
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import BootRecord, Refused, Service, Unavailable
from ghosthands_agent.settings import Settings
from model.agent_conf import BAKED_IMAGE, IMAGE, LAUNCH_HOOK, SETTINGS
from unit.simulated_instance import INSTANCE_ID, PUBLIC_IP, SimulatedInstance

DOWN = Unavailable("somewhere", "Timeout")
MISSING = Refused("secretsmanager:GetSecretValue", "ResourceNotFoundException")
DENIED = Refused("secretsmanager:GetSecretValue", "AccessDeniedException")


def booted(instance: SimulatedInstance, settings: Settings = SETTINGS) -> int:
    return instance.run(boot(instance.ports(), settings, Paths()), 10_000)


def record(instance: SimulatedInstance) -> BootRecord:
    assert instance.host.boot_record is not None
    return instance.host.boot_record


def test_a_boot_ends_with_a_registered_worker_and_its_record() -> None:
    instance = SimulatedInstance()
    assert booted(instance) == 0
    assert (instance.container.state, record(instance).state, record(instance).image, record(instance).failures) == (
        "running",
        "completed",
        IMAGE,
        0,
    )
    assert set(record(instance).seconds) == {
        "facts",
        "secret",
        "files",
        "image",
        "start",
        "registration",
        "launch_hook",
    }


def test_every_phase_is_logged_with_its_time() -> None:
    instance = SimulatedInstance()
    booted(instance)
    assert {str(step["phase"]): step["seconds"] for step in instance.steps("boot_phase")} == dict(
        record(instance).seconds
    )


def test_beyond_compose_the_agent_adds_less_than_a_second_and_a_half() -> None:
    instance = SimulatedInstance()
    began = instance.now
    booted(instance)
    assert instance.now - began < instance.up_seconds + 1.5


def test_secret_and_login_are_fetched_while_the_metadata_service_answers() -> None:
    instance = SimulatedInstance()
    booted(instance)
    assert instance.called.index("secret") < instance.called.index("instance")
    assert instance.called.index("login") < instance.called.index("instance")


def test_the_env_holds_the_instances_values() -> None:
    instance = SimulatedInstance()
    booted(instance)
    lines = instance.host.files["environment"].splitlines()
    assert lines[-7:] == [
        f"EC2_INSTANCE_ID='{INSTANCE_ID}'",
        f"EC2_IP='{PUBLIC_IP}'",
        "AWS_ASG_NAME='gh-worker-asg'",
        f"AWS_LIFECYCLE_HOOK_NAME='{SETTINGS.worker_hook}'",
        "AWS_REGION='us-east-1'",
        f"ECR_IMAGE='{IMAGE}'",
        f"GH_WORKER_ID='{INSTANCE_ID}'",
    ]


def test_nothing_is_started_on_an_instance_that_terminates() -> None:
    instance = SimulatedInstance(target="Terminated")
    assert booted(instance) == 0
    assert (instance.container.starts, instance.host.files, record(instance).state) == (0, {}, "withdrawn")
    assert "secret" not in instance.called


@pytest.mark.parametrize("mark", ["terminated", "spot", "requested"])
def test_nothing_is_started_once_a_drain_has_begun(mark: str) -> None:
    instance = SimulatedInstance(flags={mark: 1.0})  # type: ignore[dict-item]
    assert booted(instance) == 0
    assert (instance.container.starts, record(instance).state) == (0, "withdrawn")
    assert "secret" not in instance.called


def test_nothing_is_started_while_the_target_state_is_unknown() -> None:
    instance = SimulatedInstance(faults={"target_state": [DOWN] * 10_000})
    assert booted(instance) == 1
    assert (instance.container.starts, record(instance).state) == (0, "failed")
    assert record(instance).reason.startswith("somewhere: Timeout (")


@pytest.mark.parametrize("after", [0.2, 1.0, 2.0, 3.0])
def test_a_boot_withdraws_when_the_instance_terminates_meanwhile(after: float) -> None:
    instance = SimulatedInstance()
    instance.after(after, instance.terminate)
    assert booted(instance) == 0
    assert record(instance).state == "withdrawn"
    instance.advance(100)
    assert instance.container.starts == 0


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
def test_a_call_that_fails_is_repeated(call: str) -> None:
    instance = SimulatedInstance(faults={call: [DOWN, DOWN, DOWN]})
    assert booted(instance) == 0
    assert instance.container.starts == 1


@pytest.mark.parametrize("task", ["secret", "up"])
def test_a_task_that_fails_is_begun_again(task: str) -> None:
    instance = SimulatedInstance(faults={task: [DOWN, DOWN]})
    assert booted(instance) == 0
    assert instance.container.starts == 1


def test_a_missing_secret_fails_the_boot_at_once_and_says_why() -> None:
    instance = SimulatedInstance(faults={"secret": [MISSING]})
    began = instance.now
    assert booted(instance) == 1
    assert (record(instance).state, record(instance).phase, record(instance).reason) == (
        "failed",
        "secret",
        str(MISSING),
    )
    assert (instance.container.starts, instance.host.files, instance.unhealthy) == (0, {}, 0)
    assert RETRY_SECONDS <= instance.now - began < RETRY_SECONDS + 10


@pytest.mark.parametrize(
    "code", ["AccessDenied", "AccessDeniedException", "InvalidSignatureException", "SignatureDoesNotMatch"]
)
def test_an_error_of_the_first_two_minutes_is_retried_and_logged(code: str) -> None:
    error = Refused("secretsmanager:GetSecretValue", code)
    instance = SimulatedInstance(faults={"secret": [error] * 5, "login": [error] * 3})
    assert booted(instance) == 0
    (waits,) = [step for step in instance.steps("boot_waits") if step["phase"] == "secret"]
    assert (waits["call"], waits["code"]) == ("secretsmanager:GetSecretValue", code)
    (waited,) = instance.steps("boot_waited")
    assert (waited["code"], waited["times"]) == (code, 5)
    assert (record(instance).state, record(instance).reason) == ("completed", "")


def test_a_denied_secret_fails_the_boot_after_two_minutes_and_says_how_often_it_was_tried() -> None:
    instance = SimulatedInstance(faults={"secret": [DENIED] * 1000})
    began = instance.now
    assert booted(instance) == 1
    assert 120 <= instance.now - began - RETRY_SECONDS < 120 + 45
    assert re.fullmatch(re.escape(str(DENIED)) + r" \(\d+ times in 1\d\d s\)", record(instance).reason)
    assert len(instance.steps("boot_waits")) == 1


def test_after_a_failed_boot_a_denial_is_final() -> None:
    instance = SimulatedInstance(faults={"secret": [MISSING]})
    assert booted(instance) == 1
    instance.faults["secret"] = [DENIED] * 1000
    assert booted(instance) == 1
    assert (record(instance).reason, record(instance).failures) == (str(DENIED), 2)


def test_while_a_login_is_denied_each_try_of_the_pull_gets_another_one() -> None:
    denied = Refused("ecr:GetAuthorizationToken", "AccessDeniedException")
    no_login = Refused("docker pull", "AccessDenied")
    instance = SimulatedInstance(images=set(), faults={"login": [denied] * 4, "pull": [no_login] * 4})
    assert booted(instance) == 0
    assert instance.called.count("login") == 5
    assert len(instance.steps("registry_login_failed")) == 1


# --- a failed boot names its cause ------------------------------------------------------------------------------------

SAID = "Error response from daemon: failed to create task: unable to apply cgroup configuration: cpu.max: invalid"
BROKEN = Unavailable("docker compose up", "exit 1", SAID)


def test_a_command_that_fails_again_and_again_is_retried_less_often_logged_once_and_quoted() -> None:
    instance = SimulatedInstance(faults={"up": [BROKEN] * 10_000})
    assert booted(instance) == 1
    assert instance.called.count("up") < 100, "900 s of tries, 30 s apart at most"
    (waits,) = instance.steps("boot_waits")
    assert (waits["call"], waits["code"], waits["output"]) == ("docker compose up", "exit 1", SAID)
    (failed,) = instance.steps("boot_failed")
    assert (failed["output"], record(instance).output) == (SAID, SAID)
    assert re.search(r"docker compose up: exit 1 \(\d+ times in \d+ s\)$", record(instance).reason)


def test_repeats_that_differ_in_numbers_and_ids_only_are_counted() -> None:
    said = [f"took {n}.{n} s: request 4c5f{n}a2e-77aa-4b1c: no runtime for {n:064x}" for n in range(5)]
    instance = SimulatedInstance(faults={"up": [Unavailable("docker compose up", "exit 1", text) for text in said]})
    assert booted(instance) == 0
    assert [step["output"] for step in instance.steps("boot_waits")] == said[:1]
    assert [step["times"] for step in instance.steps("boot_waited")] == [5]


def test_another_cause_is_logged_as_well() -> None:
    other = Unavailable("docker compose up", "exit 1", "another cause")
    instance = SimulatedInstance(faults={"up": [BROKEN, BROKEN, other, BROKEN]})
    assert booted(instance) == 0
    assert [step["output"] for step in instance.steps("boot_waits")] == [SAID, "another cause", SAID]
    assert [step["times"] for step in instance.steps("boot_waited")] == [2]


def test_the_record_of_a_running_boot_shows_what_it_retries() -> None:
    instance = SimulatedInstance(faults={"up": [BROKEN] * 10_000})
    with pytest.raises(TimeoutError):
        instance.run(boot(instance.ports(), SETTINGS, Paths()), 60)
    assert (record(instance).state, record(instance).phase) == ("running", "start")
    assert (record(instance).reason, record(instance).output) == (str(BROKEN), SAID)


def test_a_boot_that_succeeds_after_all_shows_no_cause() -> None:
    instance = SimulatedInstance(faults={"up": [BROKEN]})
    assert booted(instance) == 0
    assert (record(instance).reason, record(instance).output) == ("", "")


def test_a_task_that_hangs_after_failures_names_them() -> None:
    instance = SimulatedInstance(faults={"up": [BROKEN] * 3})
    instance.after(4, lambda: setattr(instance, "up_seconds", 5000.0))
    assert booted(instance) == 1
    assert re.match(r"start: not done in 900 s, and before that docker compose up: exit 1 \(", record(instance).reason)
    assert record(instance).output == SAID


def test_an_instance_that_terminates_during_a_long_pause_is_left_alone() -> None:
    instance = SimulatedInstance(faults={"up": [BROKEN] * 10_000})
    instance.after(300, instance.terminate)
    began = instance.now
    assert booted(instance) == 0
    assert record(instance).state == "withdrawn"
    assert instance.now - began < 303


# --- the target state -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["InService", "Standby", None])
def test_a_worker_is_started_in_service_in_standby_and_outside_a_group(target: str | None) -> None:
    instance = SimulatedInstance(target=target)
    assert booted(instance) == 0
    assert instance.container.starts == 1


@pytest.mark.parametrize(
    "target",
    ["Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated", "ReplacingRootVolume", "RootVolumeReplaced", "Detached"],
)
def test_in_any_other_state_boot_waits_for_service_however_long_that_takes(target: str) -> None:
    instance = SimulatedInstance(target=target)
    procedure = boot(instance.ports(), SETTINGS, Paths())
    with pytest.raises(TimeoutError):
        instance.run(procedure, 5000)
    assert (instance.container.starts, instance.host.files, record(instance).phase) == (0, {}, "service")
    assert "secret" not in instance.called
    instance.host.target = "InService"
    assert instance.run(procedure, 100) == 0
    assert (instance.container.starts, record(instance).state) == (1, "completed")


@pytest.mark.parametrize("target", ["Terminated", "Warmed:Terminated"])
def test_an_instance_that_terminates_out_of_a_warm_pool_is_left_alone(target: str) -> None:
    instance = SimulatedInstance(target="Warmed:Running")
    instance.after(60, lambda: setattr(instance.host, "target", target))
    assert booted(instance) == 0
    assert (instance.container.starts, record(instance).state) == (0, "withdrawn")


def test_an_instance_enters_a_warm_pool_although_there_is_a_launch_hook() -> None:
    """The action may begin a moment after the state is seen."""
    instance = SimulatedInstance(target="Warmed:Stopped", settings=WITH_LAUNCH_HOOK)
    instance.after(5, lambda: instance.hooks.update({LAUNCH_HOOK: float("inf")}))
    with pytest.raises(TimeoutError):
        instance.run(boot(instance.ports(), WITH_LAUNCH_HOOK, Paths()), 100)
    assert instance.completions == [(LAUNCH_HOOK, "CONTINUE")]


def test_an_incomplete_secret_fails_the_boot_by_name_and_leaves_no_file() -> None:
    instance = SimulatedInstance(secret=json.dumps({"DATABASE_URL": "canary"}))
    assert booted(instance) == 1
    assert "GH_SERVICE_SECRET is missing" in record(instance).reason
    assert instance.host.files == {}
    assert "canary" not in repr(instance.journal) + repr(record(instance))


def test_failures_in_a_row_are_counted_with_the_first_ones_time_until_a_boot_succeeds() -> None:
    instance = SimulatedInstance(faults={"secret": [MISSING, MISSING, MISSING]})
    for _ in range(3):
        assert booted(instance) == 1
    assert (record(instance).failures, record(instance).failure) == (3, f"secret: {MISSING}")
    assert instance.now - record(instance).failing_since >= 3 * RETRY_SECONDS - 1
    assert booted(instance) == 0
    instance.faults["secret"] = [MISSING]
    assert booted(instance) == 1
    assert record(instance).failures == 1


def test_a_command_s_output_is_logged_once_however_often_it_fails_in_the_same_way() -> None:
    refused = Refused("docker compose up", "CannotStart", "exec: no such program")
    instance = SimulatedInstance(faults={"up": [refused] * 3})
    for _ in range(3):
        assert booted(instance) == 1
    assert [step.get("output") for step in instance.steps("boot_failed")] == ["exec: no such program", None, None]
    assert record(instance).output == "exec: no such program"


def test_a_retry_is_counted_in_the_record_of_the_running_boot() -> None:
    instance = SimulatedInstance(faults={"secret": [DOWN] * 100})
    instance.follow(boot(instance.ports(), SETTINGS, Paths()), 60)
    assert (record(instance).state, record(instance).reason) == ("running", str(DOWN))
    assert record(instance).tries > 2
    assert record(instance).phase_began <= instance.wall() - 55


def test_a_failed_boot_does_not_wait_for_another_try_on_an_instance_that_terminates() -> None:
    instance = SimulatedInstance(faults={"secret": [MISSING]})
    instance.after(10, instance.terminate)
    assert booted(instance) == 0
    assert record(instance).state == "withdrawn"


def test_a_boot_that_takes_too_long_fails() -> None:
    instance = SimulatedInstance(up_seconds=5000)
    assert booted(instance) == 1
    assert (record(instance).phase, record(instance).reason) == ("start", "start: not done in 900 s")
    instance.advance(10_000)
    assert instance.container.starts == 0  # what was under way was cancelled


def test_a_worker_that_never_answers_is_not_registered() -> None:
    instance = SimulatedInstance()
    instance.faults["status"] = [Unavailable("worker:status", "ConnectionRefused")] * 100_000
    assert booted(instance) == 1
    assert (record(instance).phase, record(instance).reason) == ("registration", "worker status: ConnectionRefused")


@pytest.mark.parametrize("pause", [3.0, 0.4], ids=["runs for a while", "is being started again"])
def test_a_worker_that_crashes_in_a_loop_fails_the_boot_long_before_its_deadline(pause: float) -> None:
    instance = SimulatedInstance()
    instance.faults["status"] = [Unavailable("worker:status", "ConnectionRefused")] * 100_000
    for number in range(300):
        instance.after(10 + number * pause, instance.host.crash_worker)
    assert booted(instance) == 1
    assert record(instance).reason.startswith("the worker crashes in a loop: docker has started it again ")
    assert sum(record(instance).seconds.values()) < 60


def test_crashes_of_an_earlier_try_do_not_fail_a_worker_that_starts_now() -> None:
    instance = SimulatedInstance()
    assert booted(instance) == 0
    instance.container.restarts = 7
    instance.faults["status"] = [Unavailable("worker:status", "ConnectionRefused")] * 200  # 20 s
    assert booted(instance) == 0


# --- image ------------------------------------------------------------------------------------------------------------


def test_an_image_that_is_present_by_digest_is_not_pulled() -> None:
    instance = SimulatedInstance()
    booted(instance)
    assert "pull" not in instance.called


def test_an_image_by_tag_is_pulled_for_the_tag_may_have_moved() -> None:
    instance = SimulatedInstance(images={"registry/ghosthands:v1"})
    assert booted(instance, replace(SETTINGS, image="registry/ghosthands:v1")) == 0
    assert instance.called.count("pull") == 1


def test_the_pull_waits_for_the_registry_login() -> None:
    instance = SimulatedInstance(images=set())
    instance.run(boot(instance.ports(), SETTINGS, Paths()))
    assert record(instance).seconds["image"] >= 20


def test_a_failed_login_is_logged_and_the_pull_is_tried() -> None:
    instance = SimulatedInstance(images=set(), faults={"login": [Refused("ecr:GetAuthorizationToken", "AccessDenied")]})
    assert booted(instance) == 0
    assert instance.steps("registry_login_failed")


@pytest.mark.parametrize(
    ("error", "failures", "logins"),
    [
        (Unavailable("ecr:GetAuthorizationToken", "NoCredentials"), 3, 4),
        (Refused("ecr:GetAuthorizationToken", "AccessDeniedException"), 3, 4),
        (Refused("ecr:GetAuthorizationToken", "ValidationException"), 1, 1),  # it does not pass
    ],
)
def test_a_login_that_the_image_did_not_need_is_repeated_after_the_boot(
    error: Refused | Unavailable, failures: int, logins: int
) -> None:
    instance = SimulatedInstance(faults={"login": [error] * failures})
    assert booted(instance) == 0
    assert (instance.called.count("login"), record(instance).state) == (logins, "completed")


def test_a_login_that_never_works_ends_with_the_time_of_the_boot_and_does_not_fail_it() -> None:
    instance = SimulatedInstance()
    instance.faults["login"] = [Unavailable("ecr:GetAuthorizationToken", "NoCredentials")] * 100_000
    began = instance.now
    assert booted(instance) == 0
    assert instance.now - began <= SETTINGS.boot_timeout_seconds + 60
    assert record(instance).state == "completed"


def test_a_refused_pull_fails_the_boot() -> None:
    instance = SimulatedInstance(images={BAKED_IMAGE}, pullable=False)
    assert booted(instance) == 1
    assert (instance.container.starts, record(instance).reason) == (0, "docker pull: denied")


def test_a_refused_pull_falls_back_to_the_baked_image_if_allowed_and_logs_it() -> None:
    instance = SimulatedInstance(images={BAKED_IMAGE}, pullable=False)
    assert booted(instance, replace(SETTINGS, image_fallback="baked")) == 0
    assert record(instance).image == BAKED_IMAGE
    assert f"ECR_IMAGE='{BAKED_IMAGE}'" in instance.host.files["environment"]
    (step,) = instance.steps("image_fallback")
    assert (step["desired"], step["image"], step["code"]) == (IMAGE, BAKED_IMAGE, "denied")


def test_without_a_baked_image_there_is_no_fallback() -> None:
    instance = SimulatedInstance(images=set(), baked_image=None, pullable=False)
    assert booted(instance, replace(SETTINGS, image_fallback="baked")) == 1


def test_a_registry_that_is_down_for_a_moment_causes_no_fallback() -> None:
    instance = SimulatedInstance(images={BAKED_IMAGE}, faults={"pull": [DOWN, DOWN]})
    assert booted(instance, replace(SETTINGS, image_fallback="baked")) == 0
    assert record(instance).image == IMAGE


# --- launch hook ------------------------------------------------------------------------------------------------------

WITH_LAUNCH_HOOK = replace(SETTINGS, launch_hook=LAUNCH_HOOK)


def test_the_launch_hook_is_completed_when_the_worker_is_registered() -> None:
    instance = SimulatedInstance(hooks=(LAUNCH_HOOK,))
    assert booted(instance, WITH_LAUNCH_HOOK) == 0
    assert instance.completions == [(LAUNCH_HOOK, "CONTINUE")]
    assert instance.called.index("complete") > instance.called.index("status")


def test_an_instance_launched_before_its_launch_hook_existed_boots() -> None:
    instance = SimulatedInstance()
    assert booted(instance, WITH_LAUNCH_HOOK) == 0


def test_a_completion_whose_answer_was_lost_counts() -> None:
    instance = SimulatedInstance(hooks=(LAUNCH_HOOK,), lost_answers={"complete": 1})
    assert booted(instance, WITH_LAUNCH_HOOK) == 0
    assert instance.completions == [(LAUNCH_HOOK, "CONTINUE")]


def test_a_failed_boot_leaves_its_launch_hook_and_its_replacement_to_watch() -> None:
    instance = SimulatedInstance(hooks=(LAUNCH_HOOK,), faults={"secret": [MISSING]})
    assert booted(instance, WITH_LAUNCH_HOOK) == 1
    assert (instance.completions, instance.unhealthy) == ([], 0)


# --- again ------------------------------------------------------------------------------------------------------------


def test_a_second_boot_changes_nothing_about_a_running_worker() -> None:
    instance = SimulatedInstance()
    booted(instance)
    instance.submit_job(100)
    files = dict(instance.host.files)
    assert booted(instance) == 0
    assert (instance.container.starts, instance.host.files, instance.container.state) == (1, files, "running")


def test_a_boot_killed_at_any_call_and_restarted_has_the_same_result() -> None:
    whole = SimulatedInstance(hooks=(LAUNCH_HOOK,))
    booted(whole, WITH_LAUNCH_HOOK)
    for call in range(1, whole.call_count + 1):
        for moment in ("before", "after"):
            instance = SimulatedInstance(hooks=(LAUNCH_HOOK,))
            instance.kill(boot(instance.ports(), WITH_LAUNCH_HOOK, Paths()), call, moment)
            assert booted(instance, WITH_LAUNCH_HOOK) == 0
            assert (instance.container.starts, instance.host.files, instance.completions) == (
                1,
                whole.host.files,
                whole.completions,
            ), (call, moment)
            assert record(instance).state == "completed"


def test_a_restarting_service_neither_runs_nor_is_down() -> None:
    assert (Service("restarting").runs, Service("restarting").down) == (False, False)
    assert (Service("running").runs, Service("exited").down) == (True, True)
