"""hold, resume, renew and release, by the tag and on the host, on one simulated instance."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from ghosthands_agent.boot import boot
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import Control, Procedure, Refused, Unavailable
from ghosthands_agent.request import request
from ghosthands_agent.settings import Settings
from ghosthands_agent.watch import watch
from ghosthands_agent.wishes import WISH_TAG, Wish
from model.agent_conf import IMAGE, SECRET, SETTINGS
from model.worker import Guard, WorkerOptions
from unit.simulated_instance import Moment, SimulatedInstance

DONE = [(SETTINGS.termination_hook, "CONTINUE")]
DIGEST = f"sha256:{'c' * 64}"
RELEASED = f"registry/ghosthands@{DIGEST}"
HOLD, RESUME, RENEW = "hold@00000001", "resume@00000002", "renew@00000003"
RELEASE = f"release={DIGEST}@00000004"
ROTATED = json.dumps({**json.loads(SECRET), "OPENAI_API_KEY": "rotated"})


def booted(settings: Settings = SETTINGS, *, guard: bool = True, secret: str = SECRET) -> SimulatedInstance:
    """An instance whose worker runs."""
    instance = SimulatedInstance(settings, secret=secret)
    instance.worker_options = WorkerOptions("queue", Guard() if guard else None)
    assert instance.run(boot(instance.ports(), settings, Paths())) == 0
    return instance


def watching(instance: SimulatedInstance) -> Procedure[int]:
    return watch(instance.ports(), instance.settings)


def wishes(instance: SimulatedInstance, text: str) -> None:
    """An operator tags the instance."""
    instance.host.tags[WISH_TAG] = text


def last_answer(instance: SimulatedInstance) -> str:
    return instance.host.answers[-1] if instance.host.answers else ""


def runs(instance: SimulatedInstance) -> str:
    """The image of the worker that takes jobs."""
    worker = instance.worker
    assert worker.exit_code is None
    assert not worker.is_draining
    return instance.container.image


# --- hold and resume --------------------------------------------------------------------------------------------------


def test_a_held_worker_finishes_its_job_takes_no_other_and_stays() -> None:
    instance = booted()
    watch_ = watching(instance)
    instance.submit_job(100)
    instance.follow(watch_, 10)
    wishes(instance, HOLD)
    began = instance.now
    instance.follow(watch_, 5)
    assert instance.worker.is_draining
    assert instance.steps("worker_drain")
    instance.follow(watch_, 3)
    assert last_answer(instance) == f"{HOLD} begun"
    instance.submit_job(10)
    instance.follow(watch_, 300)
    assert instance.job_results == ["finished"]
    assert last_answer(instance) == f"{HOLD} done"
    assert (instance.container.state, instance.container.starts, instance.protected) == ("running", 1, False)
    assert instance.now - began > 300
    assert instance.unhealthy == 0
    assert instance.host.answers == [f"{HOLD} begun", f"{HOLD} done"]


def test_a_resumed_worker_is_another_one_and_takes_jobs() -> None:
    instance = booted()
    watch_ = watching(instance)
    wishes(instance, HOLD)
    instance.follow(watch_, 10)
    instance.submit_job(20)
    wishes(instance, RESUME)
    instance.follow(watch_, 60)
    assert (last_answer(instance), instance.job_results) == (f"{RESUME} done", ["finished"])
    assert (runs(instance), instance.container.starts) == (IMAGE, 2)
    assert instance.host.control == replace(
        Control(), instance=instance.host.id, answer=f"{RESUME} done", handled=("00000001", "00000002")
    )
    assert instance.host.others_run


def test_a_resume_during_the_job_of_a_held_worker_waits_for_its_end() -> None:
    instance = booted()
    watch_ = watching(instance)
    instance.submit_job(60)
    wishes(instance, HOLD)
    instance.follow(watch_, 10)
    wishes(instance, RESUME)
    instance.follow(watch_, 10)
    assert last_answer(instance) == f"{RESUME} begun"
    instance.follow(watch_, 90)
    assert (last_answer(instance), instance.job_results) == (f"{RESUME} done", ["finished"])
    assert runs(instance) == IMAGE


def test_a_resume_where_nothing_is_held_changes_nothing() -> None:
    instance = booted()
    wishes(instance, RESUME)
    instance.follow(watching(instance), 10)
    assert (last_answer(instance), instance.container.starts) == (f"{RESUME} done", 1)


def test_a_wish_is_begun_once() -> None:
    instance = booted()
    for _life in range(3):
        wishes(instance, RENEW)
        instance.follow(watching(instance), 30)
    assert len(instance.steps("wish_begun")) == 1


def test_without_a_guard_a_held_worker_is_stopped_when_it_is_idle() -> None:
    instance = booted(guard=False)
    watch_ = watching(instance)
    instance.submit_job(50)
    wishes(instance, HOLD)
    instance.follow(watch_, 100)
    assert (last_answer(instance), instance.job_results) == (f"{HOLD} done", ["finished"])
    assert (instance.container.state, instance.container.signals, instance.host.others_run) == ("exited", 1, True)
    instance.follow(watch_, 1000)
    assert instance.unhealthy == 0  # that no worker runs is no reason to replace it
    wishes(instance, RESUME)
    instance.follow(watch_, 30)
    assert last_answer(instance) == f"{RESUME} done"
    assert runs(instance) == IMAGE


def test_a_worker_that_somebody_else_starts_on_a_held_instance_is_held_too() -> None:
    instance = booted(guard=False)
    watch_ = watching(instance)
    wishes(instance, HOLD)
    instance.follow(watch_, 20)
    instance.host._start_raw()
    instance.follow(watch_, 20)
    assert instance.host.raw is not None
    assert instance.host.raw.state == "exited"
    assert instance.steps("held_worker_takes_jobs")


def test_a_reboot_starts_no_worker_on_a_held_instance_and_boot_completes() -> None:
    instance = booted()
    watch_ = watching(instance)
    wishes(instance, HOLD)
    instance.follow(watch_, 10)
    instance.host.reboot()
    instance.advance(60)
    again = watching(instance)
    instance.run_together(60, boot(instance.ports(), SETTINGS, Paths()), again)
    assert instance.host.boot_record is not None
    assert instance.host.boot_record.state == "completed"
    assert (instance.host.workers, instance.host.others_run) == ([], True)
    wishes(instance, RESUME)
    instance.follow(again, 30)
    assert last_answer(instance) == f"{RESUME} done"
    assert runs(instance) == IMAGE


def test_an_instance_launched_during_a_pause_boots_held() -> None:
    instance = SimulatedInstance()
    instance.worker_options = WorkerOptions("queue", Guard())
    wishes(instance, HOLD)
    instance.submit_job(10)
    instance.run_together(60, watching(instance), boot(instance.ports(), SETTINGS, Paths()))
    assert (instance.host.workers, instance.job_results, last_answer(instance)) == ([], [], f"{HOLD} done")


def test_a_hundred_agents_hold_within_five_seconds_and_answer_twice_at_most() -> None:
    slowest = 0.0
    for number in range(100):
        instance = booted()
        watch_ = watching(instance)
        instance.submit_job(30)
        instance.follow(watch_, 3 + number * 0.037)
        wishes(instance, HOLD)
        tagged_at = instance.now
        while not instance.worker.is_draining:
            instance.follow(watch_, 0.1)
        slowest = max(slowest, instance.now - tagged_at)
        instance.follow(watch_, 60)
        assert (last_answer(instance), instance.called.count("answer") <= 2) == (f"{HOLD} done", True)
    assert slowest < 5


# --- renew ------------------------------------------------------------------------------------------------------------


def test_a_renewal_restarts_the_worker_with_the_new_secret_when_it_is_idle() -> None:
    instance = booted()
    watch_ = watching(instance)
    instance.submit_job(40)
    instance.secret = ROTATED
    wishes(instance, RENEW)
    instance.follow(watch_, 20)
    assert "rotated" not in instance.host.files["environment"]
    instance.follow(watch_, 60)
    assert (last_answer(instance), instance.job_results) == (f"{RENEW} done", ["finished"])
    assert "rotated" in instance.host.files["environment"]
    assert "login" in instance.called
    assert instance.host.files.keys() & {"next_environment", "previous_environment"} == set()
    assert (runs(instance), instance.container.starts) == (IMAGE, 2)


def test_a_renewal_with_the_same_secret_restarts_nothing() -> None:
    instance = booted()
    wishes(instance, RENEW)
    instance.follow(watching(instance), 20)
    assert (last_answer(instance), instance.container.starts) == (f"{RENEW} done unchanged", 1)


def test_a_secret_without_a_required_key_fails_before_anything_is_changed() -> None:
    instance = booted()
    before = dict(instance.host.files)
    instance.secret = json.dumps({key: value for key, value in json.loads(SECRET).items() if key != "DATABASE_URL"})
    wishes(instance, RENEW)
    instance.follow(watching(instance), 20)
    assert last_answer(instance) == f"{RENEW} failed The secret cannot be used. DATABASE_URL is missing or empty."
    assert (instance.host.files, instance.container.starts, runs(instance)) == (before, 1, IMAGE)


def test_a_secret_that_is_denied_fails_after_the_time_that_iam_needs() -> None:
    instance = booted()
    instance.faults["secret"] = [Refused("secretsmanager:get_secret_value", "AccessDeniedException")] * 1000
    wishes(instance, RENEW)
    watch_ = watching(instance)
    instance.follow(watch_, 100)
    assert last_answer(instance) == f"{RENEW} begun"
    instance.follow(watch_, 100)
    assert last_answer(instance) == f"{RENEW} failed secretsmanager:get_secret_value: AccessDeniedException"
    assert runs(instance) == IMAGE


def test_a_worker_that_does_not_start_with_the_new_secret_gets_the_old_one_back() -> None:
    instance = booted()
    before = instance.host.files["environment"]
    instance.secret = ROTATED
    real = instance.host._start_worker

    def start(container, life):  # type: ignore[no-untyped-def]
        if "rotated" not in instance.host.files["environment"]:
            real(container, life)

    instance.host._start_worker = start  # type: ignore[method-assign]
    wishes(instance, RENEW)
    instance.follow(watching(instance), 1100)
    assert last_answer(instance).startswith(f"{RENEW} failed the worker is not registered after 900 s: ")
    assert instance.host.files["environment"] == before
    assert runs(instance) == IMAGE
    assert instance.job_results == []


# --- release ----------------------------------------------------------------------------------------------------------


def test_a_release_pulls_beside_the_worker_and_switches_when_it_is_idle() -> None:
    instance = booted()
    watch_ = watching(instance)
    instance.submit_job(60)
    wishes(instance, RELEASE)
    instance.follow(watch_, 15)
    assert not instance.worker.is_draining  # the pull takes 20 s
    instance.follow(watch_, 15)
    assert instance.worker.is_draining
    instance.submit_job(5)
    instance.follow(watch_, 60)
    assert last_answer(instance) == "release@00000004 done"
    assert instance.job_results == ["finished", "finished"]
    assert (runs(instance), instance.host.control.image) == (RELEASED, RELEASED)


def test_a_release_of_what_runs_changes_nothing() -> None:
    instance = booted()
    wishes(instance, f"release=sha256:{'a' * 64}@00000009")
    instance.follow(watching(instance), 20)
    assert (last_answer(instance), instance.container.starts) == ("release@00000009 done unchanged", 1)


@pytest.mark.parametrize(
    ("bad", "reason"), [("crashes", "the worker ends again and again"), ("silent", "the worker is not registered")]
)
def test_a_released_image_that_does_not_work_is_taken_back(bad: str, reason: str) -> None:
    instance = booted()
    instance.host.bad_images[RELEASED] = bad  # type: ignore[assignment]
    wishes(instance, RELEASE)
    instance.follow(watching(instance), 1200)
    assert last_answer(instance).startswith(f"release@00000004 failed {reason}")
    assert (runs(instance), instance.host.control.image) == (IMAGE, "")
    assert (instance.unhealthy, instance.host.control.restart) == (0, False)


def test_an_image_that_is_not_there_fails_before_the_worker_is_drained() -> None:
    instance = booted()
    instance.pullable = False
    wishes(instance, RELEASE)
    instance.follow(watching(instance), 60)
    assert last_answer(instance) == "release@00000004 failed docker pull: denied"
    assert (runs(instance), instance.container.starts) == (IMAGE, 1)


def test_a_reboot_keeps_the_released_image_until_the_template_says_otherwise() -> None:
    instance = booted()
    wishes(instance, RELEASE)
    instance.follow(watching(instance), 60)
    for settings, image in (
        (SETTINGS, RELEASED),
        (replace(SETTINGS, image="registry/ghosthands:2"), "registry/ghosthands:2"),
    ):
        instance.host.reboot()
        instance.advance(60)
        assert instance.run(boot(instance.ports(), settings, Paths())) == 0
        assert runs(instance) == image


def test_what_is_released_or_renewed_on_a_held_instance_starts_with_its_resume() -> None:
    instance = booted()
    watch_ = watching(instance)
    for text in (HOLD, RELEASE):
        wishes(instance, text)
        instance.follow(watch_, 60)
    assert last_answer(instance) == "release@00000004 done held: its worker starts with the next resume"
    assert (instance.host.workers, instance.host.others_run) == ([], True)
    wishes(instance, RESUME)
    instance.follow(watch_, 30)
    assert (last_answer(instance), runs(instance)) == (f"{RESUME} done", RELEASED)


def test_a_resume_goes_back_from_a_release_that_does_not_work() -> None:
    instance = booted()
    watch_ = watching(instance)
    instance.host.bad_images[RELEASED] = "crashes"
    for text in (HOLD, RELEASE, RESUME):
        wishes(instance, text)
        instance.follow(watch_, 300)
    assert last_answer(instance).startswith(f"{RESUME} failed the worker ends again and again")
    assert (runs(instance), instance.host.control.image) == (IMAGE, "")


# --- several, and a drain ---------------------------------------------------------------------------------------------


def test_a_newer_wish_takes_the_place_of_one_that_waits() -> None:
    instance = booted()
    watch_ = watching(instance)
    instance.submit_job(100)
    wishes(instance, RELEASE)
    instance.follow(watch_, 40)
    wishes(instance, RESUME)
    instance.follow(watch_, 120)
    assert (last_answer(instance), runs(instance)) == (f"{RESUME} done", IMAGE)
    assert instance.steps("wish_superseded") == [{"wish": "release@00000004", "by": RESUME}]
    assert "next_environment" not in instance.host.files


def test_a_hold_takes_effect_while_a_released_worker_starts() -> None:
    instance = booted()
    instance.up_seconds = 30.0
    watch_ = watching(instance)
    wishes(instance, RELEASE)
    instance.follow(watch_, 40)
    assert instance.host.control.phase == "start"
    wishes(instance, HOLD)
    instance.submit_job(10)
    instance.follow(watch_, 60)
    assert (last_answer(instance), instance.job_results) == (f"{HOLD} done", [])
    wishes(instance, RESUME)
    instance.follow(watch_, 90)
    assert (last_answer(instance), runs(instance), instance.job_results) == (f"{RESUME} done", RELEASED, ["finished"])


def test_of_two_wishes_at_once_the_tags_is_the_last() -> None:
    instance = booted()
    wishes(instance, RESUME)
    instance.host.wish = HOLD
    instance.follow(watching(instance), 60)
    assert last_answer(instance) == f"{RESUME} done"
    assert not instance.host.control.held
    assert runs(instance) == IMAGE


@pytest.mark.parametrize("text", [HOLD, RESUME, RENEW, RELEASE])
def test_a_wish_to_an_instance_that_drains_is_ignored(text: str) -> None:
    instance = booted()
    watch_ = watching(instance)
    instance.submit_job(60)
    instance.terminate()
    instance.follow(watch_, 10)
    wishes(instance, text)
    instance.follow(watch_, 12)
    name = text if text != RELEASE else "release@00000004"
    assert last_answer(instance) == f"{name} ignored the instance drains"
    instance.follow(watch_, 60)
    assert (instance.completions, instance.job_results) == (DONE, ["finished"])


@pytest.mark.parametrize("text", [HOLD, RENEW, RELEASE])
def test_a_drain_beats_a_wish_at_any_moment(text: str) -> None:
    for tenths in range(0, 400, 7):
        instance = booted()
        watch_ = watching(instance)
        instance.secret = ROTATED
        wishes(instance, text)
        instance.after(tenths / 10 + 0.03, instance.terminate)
        instance.follow(watch_, 120)
        assert (instance.completions, instance.timed_out) == (DONE, []), tenths
        assert instance.container.state in ("created", "exited"), tenths


def test_what_is_no_wish_is_answered_once_and_changes_nothing() -> None:
    instance = booted()
    wishes(instance, "reboot@0a0a0a0a")
    instance.follow(watching(instance), 20)
    assert instance.host.answers == ["reboot@0a0a0a0a ignored this is no wish that the agent knows"]
    assert runs(instance) == IMAGE


def test_a_wish_that_needs_the_worker_fails_where_boot_never_completes() -> None:
    instance = booted()
    assert instance.host.boot_record is not None
    instance.host.boot_record = replace(instance.host.boot_record, state="failed", failures=1)
    wishes(instance, RENEW)
    instance.follow(watching(instance), 2 * SETTINGS.boot_timeout_seconds + 20)
    assert last_answer(instance) == f"{RENEW} failed boot has not completed"


def test_an_answer_is_sent_again_until_it_is_taken_and_nothing_waits_for_it() -> None:
    instance = booted()
    instance.faults["answer"] = [Unavailable("ec2:create_tags", "RequestLimitExceeded")] * 5
    instance.submit_job(20)
    wishes(instance, HOLD)
    watch_ = watching(instance)
    instance.follow(watch_, 5)
    assert instance.worker.is_draining
    instance.follow(watch_, 120)
    assert instance.host.answers[-1] == f"{HOLD} done"
    assert instance.called.count("answer") == 6 + (len(instance.host.answers) - 1)


def test_a_record_of_another_instance_is_void() -> None:
    instance = booted()
    instance.host.control = Control(instance="i-0ffffffffffffffff", held=True, image=RELEASED, template_image=IMAGE)
    instance.follow(watching(instance), 10)
    assert runs(instance) == IMAGE
    instance.host.reboot()
    instance.advance(60)
    assert instance.run(boot(instance.ports(), SETTINGS, Paths())) == 0
    assert runs(instance) == IMAGE


def test_a_hold_is_obeyed_with_a_full_disk() -> None:
    instance = booted()
    watch_ = watching(instance)
    instance.host.disk_full_until = instance.now + 100
    wishes(instance, HOLD)
    instance.follow(watch_, 5)
    assert instance.worker.is_draining
    instance.follow(watch_, 200)
    assert instance.host.control.held


# --- killed at each call ----------------------------------------------------------------------------------------------


def ends(instance: SimulatedInstance, image: str) -> None:
    assert runs(instance) == image
    assert not instance.host.control.restart
    assert not instance.host.control.unverified
    assert instance.job_results == ["finished"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("text", "bad", "image", "answer"),
    [
        (RENEW, False, IMAGE, f"{RENEW} done"),
        (RELEASE, False, RELEASED, "release@00000004 done"),
        (RELEASE, True, IMAGE, "release@00000004 failed"),
    ],
    ids=["renew", "release", "bad release"],
)
def test_an_agent_killed_at_any_call_of_a_wish_is_followed_by_one_that_fulfils_it(
    text: str, bad: bool, image: str, answer: str, moment: Moment
) -> None:
    def made() -> SimulatedInstance:
        instance = booted()
        if bad:
            instance.host.bad_images[RELEASED] = "crashes"
        instance.secret = ROTATED
        instance.submit_job(5)
        wishes(instance, text)
        return instance

    whole = made()
    whole.call_count = 0
    whole.follow(watching(whole), 90)
    assert last_answer(whole).startswith(answer)
    count = whole.call_count
    calls = range(1, count, max(1, count // 150))
    for call in calls:
        instance = made()
        instance.kill(watching(instance), call, moment)
        instance.follow(watching(instance), 120)
        assert last_answer(instance).startswith(answer), call
        ends(instance, image)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_agent_killed_at_any_call_of_hold_and_resume(moment: Moment) -> None:
    for call in range(1, 260):
        instance = booted()
        instance.submit_job(5)
        wishes(instance, HOLD)
        instance.after(12, wishes, instance, RESUME)
        instance.kill(watching(instance), call, moment)
        instance.follow(watching(instance), 60)
        assert last_answer(instance) == f"{RESUME} done", call
        ends(instance, IMAGE)


def test_a_reboot_while_a_released_worker_starts_goes_on_with_that_image_and_a_fresh_secret() -> None:
    instance = booted()
    instance.up_seconds = 30.0
    wishes(instance, RELEASE)
    instance.follow(watching(instance), 40)
    assert instance.host.control.phase == "start"
    instance.secret = ROTATED
    instance.host.reboot()
    instance.advance(60)
    instance.run_together(100, boot(instance.ports(), SETTINGS, Paths()), watching(instance))
    assert last_answer(instance) == "release@00000004 done"
    assert (runs(instance), "rotated" in instance.host.files["environment"]) == (RELEASED, True)


# --- by a person on the host ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "change", "code"),
    [
        (Wish("hold", "0000000a"), lambda _: None, 0),
        (Wish("resume", "0000000b"), lambda _: None, 0),
        (Wish("renew", "0000000c"), lambda instance: setattr(instance, "secret", ROTATED), 0),
        (Wish("release", "0000000d", DIGEST), lambda _: None, 0),
        (Wish("release", "0000000e", DIGEST), lambda instance: setattr(instance, "pullable", False), 1),
        (Wish("hold", "0000000f"), lambda instance: instance.terminate(), 1),
    ],
    ids=lambda value: value.name if isinstance(value, Wish) else "",
)
def test_a_verb_on_the_host_waits_for_its_end(
    wish: Wish, change: Callable[[SimulatedInstance], None], code: int
) -> None:
    instance = booted()
    change(instance)
    procedure, ended = request(instance.ports(), SETTINGS, wish), []

    def step() -> None:
        try:
            instance.after(next(procedure), step)
        except StopIteration as end:
            ended.append(end.value)

    step()
    instance.follow(watching(instance), 100)
    assert ended == [code]


def test_a_verb_on_the_host_says_that_no_agent_takes_its_wish() -> None:
    instance = booted()
    assert instance.run(request(instance.ports(), SETTINGS, Wish("hold", "0000000a")), 60) == 1
    assert instance.steps("wish_not_taken")


def test_a_verb_on_the_host_ends_where_another_wish_takes_its_place() -> None:
    instance = booted()
    instance.submit_job(50)
    instance.after(10, wishes, instance, RESUME)
    procedure = request(instance.ports(), SETTINGS, Wish("hold", "0000000a"))
    instance.run_together(1, watching(instance))
    assert instance.run(procedure, 200) == 1
    (step,) = instance.steps("wish_ended")[:1]
    assert step["state"] == "superseded"
