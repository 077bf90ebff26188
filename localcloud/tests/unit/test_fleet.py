"""The rules of an Auto Scaling group, with a clock in hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from unit.world import BOOT, DRAIN, START, SUBNETS, World, refused

from localcloud import fleet

# --- size -------------------------------------------------------------------------------------------------------------


def test_a_new_group_launches_what_it_desires_in_its_zones_in_turn() -> None:
    world = World(desired=4)
    assert Counter(i.subnet.zone for i in world.group.instances.values()) == {"zone-a": 2, "zone-b": 2}
    assert set(world.states().values()) == {"InService"}


def test_two_subnets_of_one_zone_share_that_zones_part() -> None:
    world = World()
    world.change(subnets=(*SUBNETS, fleet.Subnet("subnet-a2", "zone-a")))
    world.desire(4)
    assert Counter(i.subnet.id for i in world.group.instances.values()) == {
        "subnet-b": 2,
        "subnet-a": 1,
        "subnet-a2": 1,
    }


def test_raising_min_above_desired_raises_desired() -> None:
    world = World(desired=1)
    world.resize(min_size=3)
    assert (world.group.settings.desired, len(world.group.instances)) == (3, 3)


def test_lowering_max_below_desired_lowers_desired() -> None:
    world = World(desired=4)
    world.resize(max_size=2)
    assert (world.group.settings.desired, len(world.group.instances)) == (2, 2)


def test_bounds_that_still_hold_leave_desired_alone() -> None:
    world = World(desired=3)
    world.resize(min_size=1, max_size=5)
    assert world.group.settings.desired == 3


@pytest.mark.parametrize("desired", [0, 6])
def test_an_explicit_desired_capacity_outside_the_bounds_is_refused_and_changes_nothing(desired: int) -> None:
    world = World(min_size=1, max_size=5, desired=2)
    with refused(match=f"Desired capacity:{desired} must be between the specified min size:1 and max size:5"):
        world.resize(desired=desired)
    assert world.group.settings.desired == 2


def test_max_below_min_is_refused() -> None:
    with refused(match="Max bound, 1, must be greater than or equal to min bound, 2"):
        World().resize(min_size=2, max_size=1)


def test_set_desired_capacity_is_refused_outside_the_bounds_with_its_own_words() -> None:
    world = World(min_size=1, max_size=2, desired=1)
    with refused(match="New SetDesiredCapacity value 3 is above max value 2"):
        world.desire(3)
    with refused(match="New SetDesiredCapacity value 0 is below min value 1"):
        world.desire(0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_instance_lifetime": 3600},
        {"default_instance_warmup": -2},
        {"deletion_protection": "some"},
        {"terminate_hook_abandon": "keep"},
        {"termination_policies": ("Oldest",)},
        {"min_healthy_percentage": 90},
        {"min_healthy_percentage": 0, "max_healthy_percentage": 150},
        {"min_healthy_percentage": 90, "max_healthy_percentage": 201},
        {"min_size": -1},
    ],
    ids=str,
)
def test_settings_that_aws_refuses_are_refused(wrong: dict[str, Any]) -> None:
    with refused():
        World().change(**wrong)


# --- scale-in ---------------------------------------------------------------------------------------------------------


def test_scale_in_keeps_the_zones_in_balance() -> None:
    world = World(desired=6)
    world.desire(2)
    assert Counter(i.subnet.zone for i in world.group.instances.values()) == {"zone-a": 1, "zone-b": 1}


def test_scale_in_spares_the_protected_and_waits_for_them() -> None:
    world = World(desired=2)
    world.do(world.group.protect(["i-1", "i-2"], True, world.now))
    world.desire(0)
    assert world.states() == {"i-1": "InService", "i-2": "InService"}
    world.do(world.group.protect(["i-1"], False, world.now))
    assert world.states() == {"i-2": "InService"}


def test_new_instances_are_protected_where_the_group_says_so() -> None:
    world = World(desired=1, new_instances_protected=True)
    world.desire(0)
    assert world.states() == {"i-1": "InService"}


def test_protection_is_refused_outside_in_service_and_changes_no_other_instance() -> None:
    world = World(desired=1)
    world.group.put_hook(BOOT)
    world.desire(2)
    with refused(match="i-2 is not in InService or EnteringStandby or Standby"):
        world.group.protect(["i-1", "i-2"], True, world.now)
    assert not world.group.instances["i-1"].protected


def test_the_default_policy_ends_the_oldest_template_version_first() -> None:
    world = World(desired=2)
    world.change(template=fleet.Template("lt-1", "workers", "2"))
    world.sleep(10)
    world.desire(4)
    world.desire(2)
    assert set(world.states()) == {"i-3", "i-4"}


@pytest.mark.parametrize(("policy", "left"), [("OldestInstance", "i-3"), ("NewestInstance", "i-1")])
def test_a_policy_by_age_ends_instances_by_age(policy: str, left: str) -> None:
    world = World(termination_policies=(policy,))
    world.change(subnets=SUBNETS[:1])
    for desired in (1, 2, 3):
        world.desire(desired)
        world.sleep(60)
    world.desire(1)
    assert list(world.states()) == [left]


def test_suspended_processes_hold_launches_and_terminations_until_they_resume() -> None:
    world = World(desired=2)
    world.group.suspend(["Launch", "Terminate"], world.now)
    world.desire(4)
    assert len(world.states()) == 2
    world.do(world.group.resume(["Launch"], world.now))
    assert len(world.states()) == 4
    world.desire(0)
    assert len(world.states()) == 4
    world.do(world.group.resume([], world.now))
    assert world.states() == {}


def test_an_unknown_process_is_refused() -> None:
    with refused(match="Rebalance"):
        World().group.suspend(["Rebalance"], START)


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_a_termination_waits_for_its_hook_and_does_not_count_meanwhile() -> None:
    world = World(desired=1)
    world.group.put_hook(DRAIN)
    world.desire(0)
    assert world.states() == {"i-1": "Terminating:Wait"}
    assert world.newest().status == "MidLifecycleAction"
    world.desire(1)
    assert world.states() == {"i-1": "Terminating:Wait", "i-2": "InService"}
    world.complete("drain", "CONTINUE", "i-1")
    assert world.states() == {"i-2": "InService"}


def test_an_action_cannot_be_completed_twice() -> None:
    world = World(desired=1)
    world.group.put_hook(DRAIN)
    world.desire(0)
    world.complete("drain", "CONTINUE", "i-1")
    with refused(match="No active Lifecycle Action found with instance ID i-1"):
        world.complete("drain", "CONTINUE", "i-1")


def test_an_action_is_completed_by_its_token_too() -> None:
    world = World(desired=1)
    world.group.put_hook(DRAIN)
    world.desire(0)
    token = world.group.instances["i-1"].waits[0].token
    with refused(match="No active Lifecycle Action found with token other"):
        world.group.complete("drain", "CONTINUE", world.now, instance_id=None, token="other")
    world.do(world.group.complete("drain", "CONTINUE", world.now, instance_id=None, token=token))
    assert world.ended == ["i-1"]


def test_silence_ends_the_wait_with_the_default_result_at_the_heartbeat_timeout() -> None:
    world = World(desired=1)
    world.group.put_hook(DRAIN)
    world.desire(0)
    world.sleep(299)
    assert world.states() == {"i-1": "Terminating:Wait"}
    world.sleep(1)
    assert world.states() == {}


def test_a_timeout_acts_at_its_own_moment_however_late_it_is_noticed() -> None:
    world = World(desired=1)
    world.group.put_hook(BOOT)
    world.desire(2)
    world.sleep(10_000)
    cancelled = next(a for a in world.group.activities.values() if a.status == "Cancelled")
    assert cancelled.ended_at == START + 600


def test_heartbeats_lengthen_the_wait_and_never_shorten_it() -> None:
    world = World(desired=1)
    world.group.put_hook(DRAIN)
    world.desire(0)
    world.sleep(200)
    world.heartbeat("drain", "i-1")
    world.heartbeat("drain", "i-1")
    world.sleep(299)
    assert world.states() == {"i-1": "Terminating:Wait"}
    world.sleep(1)
    assert world.states() == {}


def test_no_heartbeat_passes_the_global_timeout() -> None:
    world = World(desired=1)
    world.group.put_hook(replace(DRAIN, heartbeat_timeout=30))
    world.desire(0)
    for _ in range(150):
        if not world.states():
            break
        world.heartbeat("drain", "i-1")
        world.sleep(25)
    assert world.now == START + 3000


@pytest.mark.parametrize(("heartbeat", "limit"), [(30, 3000), (1728, 172_800), (7200, 172_800)])
def test_the_global_timeout_is_a_hundred_heartbeats_or_48_hours(heartbeat: int, limit: int) -> None:
    assert replace(DRAIN, heartbeat_timeout=heartbeat).global_timeout == limit


def test_several_hooks_must_all_continue() -> None:
    world = World(desired=1)
    world.group.put_hook(DRAIN)
    world.group.put_hook(replace(DRAIN, name="archive"))
    world.desire(0)
    world.complete("drain", "CONTINUE", "i-1")
    assert world.states() == {"i-1": "Terminating:Wait"}
    world.complete("archive", "CONTINUE", "i-1")
    assert world.states() == {}


def test_abandon_skips_the_other_hooks_and_still_terminates() -> None:
    world = World(desired=1)
    world.group.put_hook(DRAIN)
    world.group.put_hook(replace(DRAIN, name="archive"))
    world.desire(0)
    world.complete("drain", "ABANDON", "i-1")
    assert world.ended == ["i-1"]


@pytest.mark.parametrize("how", ["abandoned", "timed out"])
def test_a_retaining_policy_keeps_what_was_abandoned_or_timed_out(how: str) -> None:
    world = World(desired=1, terminate_hook_abandon="retain")
    world.group.put_hook(DRAIN)
    world.desire(0)
    if how == "abandoned":
        world.complete("drain", "ABANDON", "i-1")
    else:
        world.sleep(300)
    assert world.states() == {"i-1": "Terminating:Retained"}
    world.sleep(200_000)
    world.desire(1)
    assert world.states() == {"i-1": "Terminating:Retained", "i-2": "InService"}


def test_a_retained_instance_ends_when_it_is_told_to_and_meets_no_hook_again() -> None:
    world = World(desired=1, terminate_hook_abandon="retain")
    world.group.put_hook(DRAIN)
    world.desire(0)
    world.complete("drain", "ABANDON", "i-1")
    world.do(world.group.terminate("i-1", False, world.now)[1])
    assert world.states() == {}


def test_a_retained_instance_that_ec2_ends_is_forgotten() -> None:
    world = World(desired=1, terminate_hook_abandon="retain")
    world.group.put_hook(DRAIN)
    world.desire(0)
    world.complete("drain", "ABANDON", "i-1")
    world.do(world.group.lost("i-1", world.now))
    assert world.states() == {}


def test_continue_ends_the_instance_whatever_the_policy_retains() -> None:
    world = World(desired=1, terminate_hook_abandon="retain")
    world.group.put_hook(DRAIN)
    world.desire(0)
    world.complete("drain", "CONTINUE", "i-1")
    assert world.states() == {}


def test_a_launch_waits_for_its_hook_and_then_serves() -> None:
    world = World()
    world.group.put_hook(BOOT)
    world.desire(1)
    assert world.states() == {"i-1": "Pending:Wait"}
    world.sleep(100)
    world.complete("boot", "CONTINUE", "i-1")
    assert world.states() == {"i-1": "InService"}
    assert (world.newest().status, world.newest().ended_at) == ("Successful", START + 100)


def test_an_abandoned_launch_is_ended_and_replaced() -> None:
    world = World()
    world.group.put_hook(BOOT)
    world.desire(1)
    world.complete("boot", "ABANDON", "i-1")
    assert world.states() == {"i-2": "Pending:Wait"}
    assert "abandoned" in str(next(iter(world.group.activities.values())).message)


def test_deleting_a_hook_ends_its_waits_continuing_terminations_and_abandoning_launches() -> None:
    world = World(desired=1, terminate_hook_abandon="retain")
    world.group.put_hook(DRAIN)
    world.desire(0)
    world.do(world.group.delete_hook("drain", world.now))
    assert world.states() == {}
    world.group.put_hook(BOOT)
    world.desire(1)
    world.do(world.group.delete_hook("boot", world.now))
    assert world.states() == {"i-3": "InService"}


def test_deleting_a_hook_that_is_not_there_is_refused() -> None:
    with refused(match="No Lifecycle Hook found"):
        World().group.delete_hook("drain", START)


@pytest.mark.parametrize(
    "wrong",
    [{"heartbeat_timeout": 29}, {"heartbeat_timeout": 7201}, {"transition": ""}, {"default_result": "MAYBE"}],
    ids=str,
)
def test_a_hook_outside_aws_limits_is_refused(wrong: dict[str, Any]) -> None:
    with refused():
        World().group.put_hook(replace(DRAIN, **wrong))


# --- ends -------------------------------------------------------------------------------------------------------------


def test_terminate_in_group_replaces_the_instance() -> None:
    world = World(desired=1)
    activity, effects = world.group.terminate("i-1", False, world.now)
    world.do(effects)
    assert world.states() == {"i-2": "InService"}
    assert activity.cause.endswith("instance i-1 was taken out of service in response to a user request.")


def test_terminate_in_group_with_decrement_shrinks_the_group_but_never_below_min() -> None:
    world = World(min_size=1, desired=2)
    activity, effects = world.group.terminate("i-1", True, world.now)
    world.do(effects)
    assert (world.group.settings.desired, list(world.states())) == (1, ["i-2"])
    assert "shrinking the capacity from 2 to 1" in activity.cause
    with refused(match="violate group's min size constraint"):
        world.group.terminate("i-2", True, world.now)


def test_protection_does_not_shield_from_terminate_in_group() -> None:
    world = World(desired=1)
    world.do(world.group.protect(["i-1"], True, world.now))
    world.do(world.group.terminate("i-1", False, world.now)[1])
    assert list(world.states()) == ["i-2"]


def test_an_unhealthy_instance_is_replaced_and_meets_the_termination_hook() -> None:
    world = World(desired=1)
    world.group.put_hook(DRAIN)
    world.do(world.group.set_health("i-1", False, True, world.now))
    assert world.states() == {"i-1": "Terminating:Wait", "i-2": "InService"}


def test_the_grace_period_shields_unless_it_is_not_to_be_respected() -> None:
    world = World(desired=1, health_check_grace_period=300)
    world.do(world.group.set_health("i-1", False, True, world.now))
    assert list(world.states()) == ["i-1"]
    world.do(world.group.set_health("i-1", False, False, world.now))
    assert list(world.states()) == ["i-2"]


def test_an_instance_lost_behind_the_groups_back_is_replaced_once_health_checks_run() -> None:
    world = World(desired=1)
    world.group.suspend(["HealthCheck"], world.now)
    world.do(world.group.lost("i-1", world.now))
    assert list(world.states()) == ["i-1"]
    world.do(world.group.resume(["HealthCheck"], world.now))
    assert list(world.states()) == ["i-2"]


def test_replacing_the_unhealthy_can_be_suspended() -> None:
    world = World(desired=1)
    world.group.suspend(["ReplaceUnhealthy"], world.now)
    world.do(world.group.set_health("i-1", False, False, world.now))
    assert world.states() == {"i-1": "InService"}
    assert not world.group.instances["i-1"].healthy


def test_a_refused_launch_is_a_failed_activity_and_is_tried_again_after_a_pause() -> None:
    world = World()
    world.refusal = "Your quota allows for 0 more running instance(s)"
    world.desire(1)
    assert world.newest().status == "Failed"
    assert world.newest().message == f"{world.refusal}. Launching EC2 instance failed."
    world.sleep(fleet.LAUNCH_RETRY_SECONDS - 1)
    assert len(world.group.activities) == 1
    world.refusal = ""
    world.sleep(1)
    assert world.states() == {"i-1": "InService"}


def test_a_group_with_instances_is_deleted_only_by_force() -> None:
    world = World(desired=1)
    with refused("ResourceInUse", "while there are instances"):
        world.group.delete(force=False)
    world.do(world.group.delete(force=True))
    assert world.ended == ["i-1"]


def test_force_delete_skips_the_hooks() -> None:
    world = World(desired=1)
    world.group.put_hook(DRAIN)
    world.do(world.group.delete(force=True))
    assert world.ended == ["i-1"]


def test_force_delete_is_refused_while_the_policy_retains() -> None:
    with refused(match="retains"):
        World(desired=1, terminate_hook_abandon="retain").group.delete(force=True)


@pytest.mark.parametrize(
    ("protection", "force"),
    [("prevent-all-deletion", False), ("prevent-all-deletion", True), ("prevent-force-deletion", True)],
)
def test_deletion_protection_refuses(protection: str, force: bool) -> None:
    with refused(match=protection):
        World(deletion_protection=protection).group.delete(force=force)


def test_protection_from_forced_deletion_allows_the_plain_one() -> None:
    assert World(deletion_protection="prevent-force-deletion").group.delete(force=False) == []


def test_activities_tell_the_story_in_aws_words() -> None:
    world = World(desired=1)
    world.now += 60
    world.desire(2)
    world.now += 60
    world.desire(1)
    first, second, third = world.group.activities.values()
    assert first.cause == (
        "At 2026-08-01T12:00:00Z a user request created an AutoScalingGroup changing the desired capacity from 0 to 1.  "
        "At 2026-08-01T12:00:00Z an instance was started in response to a difference between desired and actual capacity, "
        "increasing the capacity from 0 to 1."
    )
    assert second.cause.startswith(
        "At 2026-08-01T12:01:00Z a user request explicitly set group desired capacity changing"
    )
    assert second.description == "Launching a new EC2 instance: i-2"
    assert second.details == '{"Subnet ID":"subnet-b","Availability Zone":"zone-b"}'
    assert "shrinking the capacity from 2 to 1.  At 2026-08-01T12:02:00Z instance i-" in third.cause
    assert third.description.startswith("Terminating EC2 instance: i-")
    assert {a.status for a in world.group.activities.values()} == {"Successful"}


def test_an_instance_that_does_not_run_yet_is_pending_counts_and_meets_its_hook_when_it_runs() -> None:
    world = World()
    world.group.put_hook(BOOT)
    (launch,) = world.group.set_desired(1, world.now)
    assert isinstance(launch, fleet.Launch)
    assert (
        world.group.launched(launch.activity, "i-1", launch.template, "t3.medium", "ami-1", world.now, running=False)
        == []
    )
    assert (world.states(), world.newest().status) == ({"i-1": "Pending"}, "PreInService")
    world.sleep(10_000)
    assert world.states() == {"i-1": "Pending"}
    assert world.group.booted("i-1", world.now) == []
    assert world.states() == {"i-1": "Pending:Wait"}
    assert world.group.booted("i-1", world.now) == []
    assert world.group.booted("i-stranger", world.now) == []
    world.complete("boot", "CONTINUE", "i-1")
    assert world.states() == {"i-1": "InService"}


def test_an_instance_that_ends_before_it_runs_is_replaced() -> None:
    world = World()
    (launch,) = world.group.set_desired(1, world.now)
    assert isinstance(launch, fleet.Launch)
    world.group.launched(launch.activity, "i-0", launch.template, "t3.medium", "ami-1", world.now, running=False)
    world.do(world.group.lost("i-0", world.now))
    assert world.states() == {"i-1": "InService"}
