"""An instance that cannot serve: it goes on trying, and is replaced within three launches of its group an hour."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ghosthands_agent.boot import boot
from ghosthands_agent.fitness import FAILING_SECONDS, LASTING_SECONDS, NO_BOOT_SECONDS, RESTARTS
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import GroupState, Member, Procedure, Refused, Unavailable
from ghosthands_agent.replacement import LAUNCHES, SLOT_SECONDS, WINDOW_SECONDS, coming, slot_wait, verdict
from ghosthands_agent.settings import Settings
from ghosthands_agent.watch import watch
from model.agent_conf import LAUNCH_HOOK, SETTINGS
from unit.simulated_instance import INSTANCE_ID, SimulatedInstance

MISSING = Refused("secretsmanager:GetSecretValue", "ResourceNotFoundException")
DOWN = Unavailable("autoscaling", "Throttling")
RESTART_SECONDS = 5.0  # RestartSec of the boot unit
HOOKED = replace(SETTINGS, launch_hook=LAUNCH_HOOK)
MINUTE, HOUR = 60.0, 3600.0


def under_systemd(instance: SimulatedInstance, settings: Settings) -> Procedure[None]:
    """`boot` as its unit runs it: again after each failure."""
    while (yield from boot(instance.ports(), settings, Paths())):
        yield RESTART_SECONDS


def live(instance: SimulatedInstance, seconds: float, settings: Settings = SETTINGS, unfit: str = "") -> None:
    """Run the units of an instance for some time; without boot where agent.conf is not valid."""
    boots = () if unfit else (under_systemd(instance, settings),)
    instance.run_together(seconds, *boots, watch(instance.ports(), settings, unfit))


def failing(launches: int = 1, **options: object) -> SimulatedInstance:
    """An instance whose secret is missing, in a group that has begun so many launches."""
    instance = SimulatedInstance(faults={"secret": [MISSING] * 10_000}, **options)  # type: ignore[arg-type]
    instance.began_launches = [instance.wall() - 10 * number for number in range(launches)]
    return instance


def status(instance: SimulatedInstance) -> str:
    assert instance.host.replacement is not None
    return instance.host.replacement.status


# --- the limit --------------------------------------------------------------------------------------------------------


def test_a_failing_instance_is_replaced_while_the_group_has_launched_less_than_three_in_the_hour() -> None:
    instance = failing(LAUNCHES - 1)
    live(instance, FAILING_SECONDS + MINUTE)
    assert instance.unhealthy == 1
    (step,) = instance.steps("replacement_requested")
    assert step["reason"] == f"boot fails in secret: {MISSING}"
    assert step["status"] == "asked for it (2 of 3 launches in the last hour)"


def test_at_the_limit_it_stays_says_why_and_asks_when_the_oldest_launch_is_an_hour_ago() -> None:
    instance = failing(LAUNCHES)
    live(instance, HOUR - 5 * MINUTE)
    assert instance.unhealthy == 0
    assert status(instance).startswith("3 of 3 launches in the last hour; next replacement at ")
    assert instance.host.replacement is not None
    assert instance.host.replacement.until == min(instance.began_launches) + WINDOW_SECONDS
    instance.advance(7 * MINUTE)
    assert instance.unhealthy == 1


def test_a_cause_that_is_gone_needs_no_replacement_and_the_worker_runs_within_a_minute() -> None:
    instance = failing(LAUNCHES)
    units = [under_systemd(instance, SETTINGS), watch(instance.ports(), SETTINGS)]
    instance.run_together(20 * MINUTE, *units)
    assert instance.host.boot_record is not None
    assert instance.host.boot_record.failures > 20
    instance.faults.clear()
    instance.advance(MINUTE)
    assert instance.host.boot_record.state == "completed"
    assert (instance.unhealthy, instance.host.replacement) == (0, None)


@pytest.mark.parametrize("call", ["group_state", "launches", "instance"])
def test_a_group_that_cannot_be_read_is_asked_for_nothing(call: str) -> None:
    instance = failing()
    instance.faults["secret"] = [MISSING] * 10_000
    live(instance, 10)
    instance.faults[call] = [DOWN] * 10_000
    instance.run_together(20 * MINUTE, watch(instance.ports(), SETTINGS))
    assert instance.unhealthy == 0
    assert "cannot be read" in status(instance)


def test_a_request_that_had_no_effect_is_repeated_and_not_more_often_than_every_ten_minutes() -> None:
    instance = failing(LAUNCHES - 2)
    instance.desired = 1
    live(instance, 26 * MINUTE)
    assert 2 <= instance.unhealthy <= 3


def test_only_launches_of_the_last_hour_count_and_those_that_the_group_is_about_to_begin() -> None:
    now = 10_000.0
    assert verdict([now - HOUR - 1, now - 10, now - 20], 0, now).may_ask
    assert not verdict([now - HOUR + 1, now - 10, now - 20], 0, now).may_ask
    assert not verdict([now - 10, now - 20], 1, now).may_ask
    assert verdict([], 2, now).may_ask


def test_capacity_that_is_missing_is_about_to_be_launched() -> None:
    def group(*members: Member) -> GroupState:
        return GroupState(2, "lt:1", members)

    serving, bad = Member("i-1", "InService", True, "lt:1"), Member("i-2", "InService", False, "lt:1")
    ending, kept = replace(serving, state="Terminating:Wait"), replace(serving, state="Terminating:Retained")
    pending = replace(serving, state="Pending:Wait")
    found = [coming(group(*members)) for members in ((serving, pending), (serving, bad), (ending, kept), (serving,))]
    assert found == [0, 1, 2, 1]


# --- one after the other ----------------------------------------------------------------------------------------------


def test_no_two_instances_have_the_same_share_of_time() -> None:
    for number in (1, 2, 10):
        for tenth in range(2000):
            turns = [place for place in range(number) if slot_wait(place, number, 1e9 + tenth / 10) == 0]
            assert len(turns) <= 1, (number, tenth)
    assert {slot_wait(0, 1, second) == 0 for second in range(int(SLOT_SECONDS))} == {True, False}


def test_ten_instances_that_fail_at_once_ask_for_no_more_than_the_limit() -> None:
    """Each sees what the others have asked for, as AWS shows it: unhealthy at once, the launch a minute later."""
    fleet = [failing(1) for _ in range(10)]
    ids = [f"i-{number:017x}" for number in range(10)]
    began = [fleet[0].wall() - HOUR + 5 * MINUTE] * LAUNCHES  # the limit is reached for five minutes more
    asked: dict[str, float] = {}

    def group(host: object) -> GroupState:
        now = fleet[0].wall()
        replaced = [id for id in ids if now >= asked.get(id, now) + MINUTE]
        members = [Member(id, "InService", id not in asked, "lt:1") for id in ids if id not in replaced]
        return GroupState(10, "lt:1", [*members, *(Member(f"j{id}", "InService", True, "lt:1") for id in replaced)])

    def launches(since: float) -> list[float]:
        launched = [when + MINUTE for when in asked.values() if when + MINUTE <= fleet[0].wall()]
        return [each for each in [*began, *launched] if each >= since]

    for id, instance in zip(ids, fleet, strict=True):
        instance.host.id = id
        instance.group_state, instance.launches = group, launches  # type: ignore[method-assign]
        instance.run_together(0, under_systemd(instance, SETTINGS), watch(instance.ports(), SETTINGS))
    for _second in range(int(60 * MINUTE)):
        for id, instance in zip(ids, fleet, strict=True):
            instance.advance(1)
            if instance.unhealthy:
                asked.setdefault(id, instance.wall())
    assert len(asked) == LAUNCHES


# --- another launch template ------------------------------------------------------------------------------------------


def test_where_the_group_launches_another_template_one_instance_is_replaced_at_the_limit_too() -> None:
    instance = failing(LAUNCHES + 2)
    instance.template = "lt:2"
    live(instance, FAILING_SECONDS + MINUTE)
    assert instance.unhealthy == 1
    assert instance.steps("replacement_requested")[0]["status"] == (
        "asked for it (the group launches another template version by now)"
    )


@pytest.mark.parametrize(("state", "replaced"), [("Pending:Wait", 0), ("InService", 1)])
def test_the_others_follow_once_a_new_one_is_in_service_which_a_launch_hook_proves(state: str, replaced: int) -> None:
    instance = failing(LAUNCHES + 2)
    instance.template, instance.desired = "lt:2", 2
    instance.others = [Member("i-00000000000000002", state, True, "lt:2")]
    live(instance, FAILING_SECONDS + 2 * MINUTE, HOOKED)
    assert instance.unhealthy == replaced


def test_without_a_launch_hook_nothing_proves_the_new_template_and_the_limit_holds() -> None:
    instance = failing(LAUNCHES)
    instance.template, instance.desired = "lt:2", 2
    instance.others = [Member("i-00000000000000002", "InService", True, "lt:2")]
    live(instance, 20 * MINUTE)
    assert instance.unhealthy == 0


# --- the launch hook --------------------------------------------------------------------------------------------------


def pending(launches: int) -> SimulatedInstance:
    instance = failing(launches, settings=HOOKED)
    instance.state = "Pending:Wait"
    instance.settings = replace(HOOKED, heartbeat_timeout_seconds=HOOKED.launch_hook_timeout_seconds)
    instance._begin_wait(LAUNCH_HOOK)
    return instance


def test_the_launch_hook_is_held_open_while_the_boot_fails() -> None:
    instance = pending(LAUNCHES)
    live(instance, 50 * MINUTE, HOOKED)
    assert (instance.timed_out, instance.completions) == ([], [])
    assert 8 <= len(instance.heartbeats) <= 12


def test_an_instance_that_waits_in_the_launch_hook_is_replaced_by_abandoning_it() -> None:
    instance = pending(1)
    live(instance, 3 * MINUTE, HOOKED)
    assert (instance.completions, instance.unhealthy) == ([(LAUNCH_HOOK, "ABANDON")], 0)


def test_an_ordinary_boot_sends_no_heartbeat() -> None:
    instance = SimulatedInstance(settings=HOOKED, hooks=(LAUNCH_HOOK,))
    live(instance, 5 * MINUTE, HOOKED)
    assert (instance.heartbeats, instance.completions) == ([], [(LAUNCH_HOOK, "CONTINUE")])
    assert "group_state" not in instance.called


# --- what else is unfit -----------------------------------------------------------------------------------------------


def test_an_instance_without_a_valid_agent_conf_is_replaced() -> None:
    instance = SimulatedInstance()
    live(instance, 2 * MINUTE, unfit="IMAGE is missing.")
    assert instance.unhealthy == 1
    assert instance.steps("replacement_requested")[0]["reason"] == "IMAGE is missing."


def test_an_instance_whose_boot_never_ran_is_replaced_and_cloud_inits_errors_are_named() -> None:
    instance = SimulatedInstance()
    instance.host.setup_errors = ["write_files failed"]
    instance.run_together(NO_BOOT_SECONDS + MINUTE, watch(instance.ports(), SETTINGS))
    assert instance.unhealthy == 1
    reason = instance.steps("replacement_requested")[0]["reason"]
    assert reason == "boot has not run; cloud-init: write_files failed"


def serving() -> SimulatedInstance:
    instance = SimulatedInstance()
    instance.start_worker()
    return instance


def test_a_full_disk_that_nothing_frees_has_the_instance_replaced_and_a_short_one_has_not() -> None:
    instance = serving()
    instance.host.disk_full_until = instance.now + LASTING_SECONDS - MINUTE
    instance.run_together(LASTING_SECONDS, watch(instance.ports(), SETTINGS))
    assert instance.unhealthy == 0
    instance.host.disk_full_until = float("inf")
    instance.advance(LASTING_SECONDS + 3 * MINUTE)
    assert instance.unhealthy >= 1
    assert instance.steps("replacement_requested")[0]["reason"] == "the disk of /opt/ghosthands is full"


def crash_again_and_again(instance: SimulatedInstance, times: int, pause: float = 45.0) -> None:
    for number in range(times):
        instance.after(20 + number * pause, instance.host.crash_worker)


def test_a_worker_that_crashes_in_a_loop_has_the_instance_replaced() -> None:
    instance = serving()
    crash_again_and_again(instance, 12)
    instance.run_together(12 * MINUTE, watch(instance.ports(), SETTINGS))
    assert instance.unhealthy >= 1
    assert "crashes in a loop" in str(instance.steps("replacement_requested")[0]["reason"])


def test_a_few_crashes_have_not() -> None:
    instance = serving()
    crash_again_and_again(instance, RESTARTS - 1)
    instance.run_together(20 * MINUTE, watch(instance.ports(), SETTINGS))
    assert instance.unhealthy == 0


def test_a_worker_that_ended_for_good_has_the_instance_replaced() -> None:
    instance = serving()
    instance.host.stop_container("stopped by hand", 10)
    instance.run_together(LASTING_SECONDS + 2 * MINUTE, watch(instance.ports(), SETTINGS))
    assert instance.unhealthy >= 1
    assert instance.steps("replacement_requested")[0]["reason"] == "no worker runs"


def test_an_instance_with_a_job_is_not_replaced_whatever_is_wrong_with_it() -> None:
    instance = serving()
    instance.submit_job(HOUR)
    instance.host.disk_full_until = float("inf")
    units = watch(instance.ports(), SETTINGS)
    instance.run_together(HOUR - MINUTE, units)
    assert instance.unhealthy == 0
    instance.advance(4 * MINUTE)
    assert instance.unhealthy == 1


@pytest.mark.parametrize("target", ["Standby", "Terminated", "Warmed:Stopped", None])
def test_an_instance_that_is_not_to_serve_is_not_replaced(target: str | None) -> None:
    instance = serving()
    instance.host.target = target
    instance.host.disk_full_until = float("inf")
    instance.run_together(HOUR, watch(instance.ports(), SETTINGS))
    assert instance.unhealthy == 0


def test_an_instance_outside_the_group_asks_for_nothing() -> None:
    instance = failing()
    instance.host.id = "i-0fffffffffffffff0"
    live(instance, 10 * MINUTE)
    assert instance.unhealthy == 0
    assert instance.host.id != INSTANCE_ID
    assert status(instance) == "its state in the group is none"
