"""Who is a member and why: standby, attaching, detaching, zone balance, lifetimes, health, termination policies."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from unit.world import BOOT, DRAIN, START, SUBNETS, World, refused

from localcloud import fleet

DAY = 86_400


def zones(world: World) -> dict[str, int]:
    """Counted members by zone."""
    return dict(Counter(i.subnet.zone for i in world.group.instances.values() if i.state in fleet.COUNTED))


# --- standby ----------------------------------------------------------------------------------------------------------


def test_standby_with_decrement_shrinks_the_group_and_leaving_it_grows_it_again() -> None:
    world = World(desired=2)
    activities, effects = world.group.enter_standby(["i-1"], True, world.now)
    world.do(effects)
    assert (world.group.settings.desired, world.states()) == (1, {"i-1": "Standby", "i-2": "InService"})
    assert (activities[0].description, activities[0].status, activities[0].progress) == (
        "Moving EC2 instance to Standby: i-1",
        "InProgress",
        50,
    )
    assert activities[0].cause.endswith(
        "was moved to standby in response to a user request, shrinking the capacity from 2 to 1."
    )
    assert world.group.activities[activities[0].id].status == "Successful"
    activities, effects = world.group.exit_standby(["i-1"], world.now)
    world.do(effects)
    assert (world.group.settings.desired, world.states()) == (2, {"i-1": "InService", "i-2": "InService"})
    assert (activities[0].status, activities[0].progress) == ("PreInService", 30)
    assert activities[0].cause.endswith(
        "was moved out of standby in response to a user request, increasing the capacity from 1 to 2."
    )


def test_standby_without_decrement_is_replaced() -> None:
    world = World(desired=1)
    world.do(world.group.enter_standby(["i-1"], False, world.now)[1])
    assert world.states() == {"i-1": "Standby", "i-2": "InService"}


def test_leaving_standby_meets_the_launch_hooks() -> None:
    world = World(desired=1)
    world.group.put_hook(BOOT)
    world.do(world.group.enter_standby(["i-1"], True, world.now)[1])
    world.do(world.group.exit_standby(["i-1"], world.now)[1])
    assert world.states() == {"i-1": "Pending:Wait"}
    world.complete("boot", "CONTINUE", "i-1")
    assert world.states() == {"i-1": "InService"}


def test_standby_is_refused_where_the_sizes_or_the_state_forbid_it() -> None:
    world = World(min_size=1, max_size=1, desired=1)
    with refused(match="min-size=1, max-size=1, and desired-size=1. To place into standby 1 instance, please update"):
        world.group.enter_standby(["i-1"], True, world.now)
    with refused(match="The instance i-1 is not in Standby"):
        world.group.exit_standby(["i-1"], world.now)
    world.do(world.group.enter_standby(["i-1"], False, world.now)[1])
    with refused(match="The instance i-1 is not in InService"):
        world.group.enter_standby(["i-1"], False, world.now)
    with refused(match="To remove from standby 1 instance, please update"):
        world.group.exit_standby(["i-1"], world.now)
    assert world.states() == {"i-1": "Standby", "i-2": "InService"}


def test_an_instance_may_be_stopped_in_standby_and_is_replaced_if_it_leaves_it_stopped() -> None:
    world = World(desired=2)
    world.do(world.group.enter_standby(["i-1", "i-2"], True, world.now)[1])
    for id in ("i-1", "i-2"):
        world.do(world.group.lost(id, world.now, stopped=True))
    assert world.states() == {"i-1": "Standby", "i-2": "Standby"}
    world.group.restarted("i-1")
    world.do(world.group.exit_standby(["i-1", "i-2"], world.now)[1])
    assert world.states() == {"i-1": "InService", "i-3": "InService"}


def test_an_instance_that_ec2_ends_in_standby_is_gone() -> None:
    world = World(desired=1)
    world.do(world.group.enter_standby(["i-1"], True, world.now)[1])
    world.do(world.group.lost("i-1", world.now))
    assert world.states() == {}


def test_standby_can_be_protected_and_is_never_scaled_in() -> None:
    world = World(desired=2)
    world.do(world.group.enter_standby(["i-1"], True, world.now)[1])
    world.protect("i-1")
    world.desire(0)
    assert world.states() == {"i-1": "Standby"}


# --- attaching and detaching ------------------------------------------------------------------------------------------

STRANGER = fleet.Candidate("i-stranger", SUBNETS[1], "t3.large", "ami-9")


def test_an_attached_instance_grows_the_group_and_has_no_template() -> None:
    world = World(desired=1)
    world.do(world.group.attach([STRANGER], world.now))
    assert (world.group.settings.desired, world.states()) == (2, {"i-1": "InService", "i-stranger": "InService"})
    assert world.group.instances["i-stranger"].template is None
    assert world.newest().description == "Attaching an existing EC2 instance: i-stranger"
    assert world.newest().cause.endswith(
        "an instance was attached in response to user request, increasing the capacity from 1 to 2."
    )


def test_attaching_is_refused_above_max_twice_and_in_a_foreign_zone() -> None:
    world = World(max_size=2, desired=1)
    with refused(match="zone-c"):
        world.group.attach([replace(STRANGER, subnet=fleet.Subnet("subnet-c", "zone-c"))], world.now)
    world.do(world.group.attach([STRANGER], world.now))
    with refused(match="already part of"):
        world.group.attach([STRANGER], world.now)
    with refused(match="To attach 1 instance, please update the AutoScalingGroup sizes"):
        world.group.attach([replace(STRANGER, id="i-other")], world.now)


def test_an_attached_instance_waits_for_the_launch_hook() -> None:
    world = World()
    world.group.put_hook(BOOT)
    world.do(world.group.attach([STRANGER], world.now))
    assert world.states() == {"i-stranger": "Pending:Wait"}


def test_a_detached_instance_runs_on_and_is_replaced_unless_capacity_shrinks() -> None:
    world = World(desired=2)
    world.group.put_hook(DRAIN)
    activities, effects = world.group.detach(["i-1"], False, world.now)
    world.do(effects)
    assert (world.ended, world.states()) == ([], {"i-2": "InService", "i-3": "InService"})
    assert activities[0].description == "Detaching EC2 instance: i-1"
    activities, effects = world.group.detach(["i-2"], True, world.now)
    world.do(effects)
    assert (world.ended, world.group.settings.desired, world.states()) == ([], 1, {"i-3": "InService"})
    assert activities[0].cause.endswith(
        "was detached in response to a user request, shrinking the capacity from 2 to 1."
    )


def test_detaching_below_min_or_a_stranger_is_refused() -> None:
    world = World(min_size=1, desired=1)
    with refused(match="To detach 1 instance, please update"):
        world.group.detach(["i-1"], True, world.now)
    with refused(match="i-9 is not part of"):
        world.group.detach(["i-9"], True, world.now)


# --- termination policies and zones -----------------------------------------------------------------------------------


def test_zone_balance_comes_before_any_policy() -> None:
    world = World(desired=3, termination_policies=("NewestInstance",))
    world.group.suspend(["AZRebalance"], world.now)
    assert zones(world) == {"zone-a": 2, "zone-b": 1}
    world.do(world.group.terminate("i-2", True, world.now)[1])  # only zone-a is left
    world.sleep(60)
    world.desire(3)
    assert zones(world) == {"zone-a": 2, "zone-b": 1}
    world.desire(2)  # i-4 in zone-b is newest, zone-a has more
    assert zones(world) == {"zone-a": 1, "zone-b": 1}
    assert "i-4" in world.states()


def test_protection_in_the_fullest_zone_sends_scale_in_to_the_other() -> None:
    world = World(desired=3)
    world.protect("i-1", "i-3")
    world.desire(2)
    assert set(world.states()) == {"i-1", "i-3"}


def test_another_launch_template_goes_before_an_older_version() -> None:
    world = World(termination_policies=("OldestLaunchTemplate",))
    world.change(subnets=SUBNETS[:1])
    for template in (
        fleet.Template("lt-1", "workers", "1"),
        fleet.Template("lt-2", "others", "9"),
        fleet.Template("lt-1", "workers", "2"),
    ):
        world.change(template=template)
        world.desire(world.group.settings.desired + 1)
    world.desire(2)
    assert set(world.states()) == {"i-1", "i-3"}
    world.desire(1)
    assert set(world.states()) == {"i-3"}


def test_the_nearest_hour_goes_first_where_that_is_the_policy() -> None:
    world = World(termination_policies=("ClosestToNextInstanceHour",))
    world.change(subnets=SUBNETS[:1])
    for pause in (1800, 1700, 300):  # aged 3800, 2000 and 300 seconds: 200, 2000 and 300 into their hour
        world.desire(world.group.settings.desired + 1)
        world.sleep(pause)
    world.desire(2)
    assert set(world.states()) == {"i-1", "i-3"}


def test_the_first_policy_decides_and_the_next_breaks_its_ties() -> None:
    world = World(desired=0, termination_policies=("OldestLaunchTemplate", "NewestInstance"))
    world.change(subnets=SUBNETS[:1])
    for _ in range(3):
        world.desire(world.group.settings.desired + 1)
        world.sleep(60)
    world.desire(2)
    assert set(world.states()) == {"i-1", "i-2"}


def test_zones_that_lost_their_balance_regain_it_by_launching_first() -> None:
    world = World(desired=4)
    world.group.put_hook(BOOT)
    world.do(world.group.detach(["i-2", "i-4"], True, world.now)[1])
    assert world.states() == {"i-1": "InService", "i-3": "InService", "i-5": "Pending:Wait"}
    launch = next(a for a in world.group.activities.values() if "i-5" in a.description)
    assert "instances were launched to balance instances in zones zone-a with other zones" in launch.cause
    world.complete("boot", "CONTINUE", "i-5")
    assert (zones(world), len(world.ended)) == ({"zone-a": 1, "zone-b": 1}, 1)


def test_a_suspended_azrebalance_leaves_zones_as_they_are_until_it_resumes() -> None:
    world = World(desired=4)
    world.group.suspend(["AZRebalance"], world.now)
    world.do(world.group.detach(["i-2", "i-4"], True, world.now)[1])
    assert zones(world) == {"zone-a": 2}
    world.do(world.group.resume(["AZRebalance"], world.now))
    assert zones(world) == {"zone-a": 1, "zone-b": 1}


def test_rebalancing_moves_no_protected_instance() -> None:
    world = World(desired=4)
    world.protect("i-1", "i-3")
    world.do(world.group.detach(["i-2", "i-4"], True, world.now)[1])
    assert set(world.states()) == {"i-1", "i-3"}


def test_a_zone_that_the_group_leaves_is_emptied() -> None:
    world = World(desired=4)
    world.change(subnets=SUBNETS[:1])
    assert zones(world) == {"zone-a": 4}


def test_rebalancing_may_pass_max_size_by_a_tenth_only() -> None:
    world = World(max_size=20, desired=20)
    world.group.put_hook(BOOT)
    world.change(subnets=SUBNETS[:1])
    assert Counter(world.states().values()) == {"InService": 20, "Pending:Wait": 2}


# --- lifetime ---------------------------------------------------------------------------------------------------------


def test_instances_past_their_lifetime_are_replaced_one_by_one() -> None:
    world = World(desired=3, max_instance_lifetime=DAY)
    world.group.put_hook(BOOT)
    world.sleep(DAY - 1)
    assert set(world.states()) == {"i-1", "i-2", "i-3"}
    world.sleep(1)
    assert world.states() == {"i-2": "InService", "i-3": "InService", "i-4": "Pending:Wait"}
    world.complete("boot", "CONTINUE", "i-4")
    assert world.states() == {"i-3": "InService", "i-4": "InService", "i-5": "Pending:Wait"}


def test_a_tenth_of_a_large_group_is_replaced_at_once() -> None:
    world = World(max_size=40, desired=40, max_instance_lifetime=DAY)
    world.group.put_hook(BOOT)
    world.sleep(DAY)
    assert Counter(world.states().values()) == {"InService": 36, "Pending:Wait": 4}


def test_protection_spares_from_the_lifetime_and_its_end_makes_up_for_it() -> None:
    world = World(desired=1, max_instance_lifetime=DAY)
    world.protect("i-1")
    world.sleep(2 * DAY)
    assert list(world.states()) == ["i-1"]
    world.protect("i-1", protected=False)
    assert list(world.states()) == ["i-2"]


def test_a_lifetime_that_is_set_later_counts_from_entering_service() -> None:
    world = World(desired=1)
    world.sleep(DAY - 10)
    world.change(max_instance_lifetime=DAY)
    assert list(world.states()) == ["i-1"]
    world.sleep(10)
    assert list(world.states()) == ["i-2"]


def test_a_policy_of_full_health_launches_before_it_ends_the_old() -> None:
    policy = {"min_healthy_percentage": 100, "max_healthy_percentage": 110, "default_instance_warmup": 60}
    world = World(desired=2, max_instance_lifetime=DAY, **policy)
    world.sleep(DAY)
    assert world.states() == {"i-1": "InService", "i-2": "InService", "i-3": "InService"}
    world.sleep(59)
    assert world.ended == []
    world.sleep(1)
    assert world.ended == ["i-1"]


# --- health -----------------------------------------------------------------------------------------------------------


def test_a_policy_of_full_health_replaces_an_unhealthy_instance_before_it_ends() -> None:
    world = World(desired=1, min_healthy_percentage=100, max_healthy_percentage=200)
    world.group.put_hook(BOOT)
    world.do(world.group.set_health("i-1", False, True, world.now))
    assert world.states() == {"i-1": "InService", "i-2": "Pending:Wait"}
    world.complete("boot", "CONTINUE", "i-2")
    assert world.states() == {"i-2": "InService"}


def test_whoever_does_not_run_is_not_waited_for_whatever_the_policy() -> None:
    world = World(desired=1, min_healthy_percentage=100, max_healthy_percentage=200)
    world.group.put_hook(BOOT)
    world.do(world.group.lost("i-1", world.now))
    assert world.states() == {"i-2": "Pending:Wait"}


@pytest.mark.parametrize("process", ["ReplaceUnhealthy", "Terminate"])
def test_an_unhealthy_instance_stays_while_its_replacement_is_suspended(process: str) -> None:
    world = World(desired=1)
    world.group.suspend([process], world.now)
    world.do(world.group.set_health("i-1", False, False, world.now))
    assert world.states() == {"i-1": "InService"}
    world.do(world.group.resume([process], world.now))
    assert list(world.states()) == ["i-2"]


def test_a_suspended_health_check_does_not_see_a_stopped_instance_until_it_resumes() -> None:
    world = World(desired=1)
    world.group.suspend(["HealthCheck"], world.now)
    world.do(world.group.lost("i-1", world.now, stopped=True))
    assert list(world.states()) == ["i-1"]
    world.do(world.group.resume(["HealthCheck"], world.now))
    assert list(world.states()) == ["i-2"]


def test_a_boot_that_fails_for_good_is_tried_again_and_again_and_never_serves() -> None:
    world = World()
    world.group.put_hook(replace(BOOT, heartbeat_timeout=60))
    world.desire(1)
    for _ in range(10):
        world.sleep(60)
    assert len(world.ended) == 10
    assert list(world.states().values()) == ["Pending:Wait"]


def test_a_launch_that_ec2_refuses_is_tried_again_after_a_pause() -> None:
    world = World()
    world.refusal = "We currently do not have sufficient capacity"
    world.desire(1)
    assert (world.newest().status, world.states()) == ("Failed", {})
    world.refusal = ""
    world.sleep(fleet.LAUNCH_RETRY_SECONDS)
    assert list(world.states().values()) == ["InService"]
    assert world.now == START + fleet.LAUNCH_RETRY_SECONDS


# --- the end of the group ---------------------------------------------------------------------------------------------


def test_force_delete_ends_every_member_without_its_hooks() -> None:
    world = World(desired=2)
    world.group.put_hook(DRAIN)
    world.do(world.group.terminate("i-1", False, world.now)[1])
    world.group.state_changes.clear()
    world.do(world.group.delete(force=True))
    assert (world.states(), sorted(world.ended)) == ({}, ["i-1", "i-2", "i-3"])
    assert [m.after for m in world.group.state_changes if m.instance_id == "i-2"] == [
        "Terminating",
        "Terminating:Proceed",
        "Terminated",
        "",
    ]


@pytest.mark.parametrize(("protection", "force"), [("prevent-all-deletion", False), ("prevent-force-deletion", True)])
def test_deletion_protection_refuses(protection: str, force: bool) -> None:
    world = World(desired=1, deletion_protection=protection)
    with refused(match=f"deletion protection is {protection}"):
        world.group.delete(force=force)
    assert world.states() == {"i-1": "InService"}
