"""The instances of a group: standby, attaching, detaching, zone balance, lifetimes, health, termination policies."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from unit.group_driver import BOOT, DRAIN, SUBNETS, GroupDriver, refused

from localcloud import fleet

DAY = 86_400


def zones(driver: GroupDriver) -> dict[str, int]:
    """The number of counted instances by zone."""
    return dict(Counter(i.subnet.zone for i in driver.group.instances.values() if i.state in fleet.COUNTED))


# --- standby ------------------------------------------------------------------------------------------------


def test_standby_with_decrement_shrinks_the_group_and_leaving_it_grows_it_again() -> None:
    driver = GroupDriver(desired=2)
    activities, effects = driver.group.enter_standby(["i-1"], True, driver.now)
    driver.do(effects)
    assert (driver.group.settings.desired, driver.states()) == (1, {"i-1": "Standby", "i-2": "InService"})
    assert (activities[0].description, activities[0].status, activities[0].progress) == (
        "Moving EC2 instance to Standby: i-1",
        "InProgress",
        50,
    )
    assert activities[0].cause.endswith(
        "was moved to standby in response to a user request, shrinking the capacity from 2 to 1."
    )
    assert driver.group.activities[activities[0].id].status == "Successful"
    activities, effects = driver.group.exit_standby(["i-1"], driver.now)
    driver.do(effects)
    assert (driver.group.settings.desired, driver.states()) == (2, {"i-1": "InService", "i-2": "InService"})
    assert (activities[0].status, activities[0].progress) == ("PreInService", 30)
    assert activities[0].cause.endswith(
        "was moved out of standby in response to a user request, increasing the capacity from 1 to 2."
    )


def test_standby_without_decrement_is_replaced() -> None:
    driver = GroupDriver(desired=1)
    driver.do(driver.group.enter_standby(["i-1"], False, driver.now)[1])
    assert driver.states() == {"i-1": "Standby", "i-2": "InService"}


def test_leaving_standby_runs_the_launch_hooks() -> None:
    driver = GroupDriver(desired=1)
    driver.group.put_hook(BOOT)
    driver.do(driver.group.enter_standby(["i-1"], True, driver.now)[1])
    driver.do(driver.group.exit_standby(["i-1"], driver.now)[1])
    assert driver.states() == {"i-1": "Pending:Wait"}
    driver.complete("boot", "CONTINUE", "i-1")
    assert driver.states() == {"i-1": "InService"}


def test_standby_is_refused_where_the_sizes_or_the_state_forbid_it() -> None:
    driver = GroupDriver(min_size=1, max_size=1, desired=1)
    with refused(match="min-size=1, max-size=1, and desired-size=1. To place into standby 1 instance, please update"):
        driver.group.enter_standby(["i-1"], True, driver.now)
    with refused(match="The instance i-1 is not in Standby"):
        driver.group.exit_standby(["i-1"], driver.now)
    driver.do(driver.group.enter_standby(["i-1"], False, driver.now)[1])
    with refused(match="The instance i-1 is not in InService"):
        driver.group.enter_standby(["i-1"], False, driver.now)
    with refused(match="To remove from standby 1 instance, please update"):
        driver.group.exit_standby(["i-1"], driver.now)
    assert driver.states() == {"i-1": "Standby", "i-2": "InService"}


def test_an_instance_may_be_stopped_in_standby_and_is_replaced_if_it_leaves_it_stopped() -> None:
    driver = GroupDriver(desired=2)
    driver.do(driver.group.enter_standby(["i-1", "i-2"], True, driver.now)[1])
    for id in ("i-1", "i-2"):
        driver.do(driver.group.lost(id, driver.now, stopped=True))
    assert driver.states() == {"i-1": "Standby", "i-2": "Standby"}
    driver.group.restarted("i-1")
    driver.do(driver.group.exit_standby(["i-1", "i-2"], driver.now)[1])
    assert driver.states() == {"i-1": "InService", "i-3": "InService"}


def test_an_instance_terminated_in_standby_leaves_the_group() -> None:
    driver = GroupDriver(desired=1)
    driver.do(driver.group.enter_standby(["i-1"], True, driver.now)[1])
    driver.do(driver.group.lost("i-1", driver.now))
    assert driver.states() == {}


def test_an_instance_in_standby_can_be_protected_and_is_never_scaled_in() -> None:
    driver = GroupDriver(desired=2)
    driver.do(driver.group.enter_standby(["i-1"], True, driver.now)[1])
    driver.protect("i-1")
    driver.set_desired(0)
    assert driver.states() == {"i-1": "Standby"}


# --- attaching and detaching --------------------------------------------------------------------------------

CANDIDATE = fleet.Candidate("i-attached", SUBNETS[1], "t3.large", "ami-9")


def test_an_attached_instance_grows_the_group_and_has_no_template() -> None:
    driver = GroupDriver(desired=1)
    driver.do(driver.group.attach([CANDIDATE], driver.now))
    assert (driver.group.settings.desired, driver.states()) == (2, {"i-1": "InService", "i-attached": "InService"})
    assert driver.group.instances["i-attached"].template is None
    assert driver.newest().description == "Attaching an existing EC2 instance: i-attached"
    assert driver.newest().cause.endswith(
        "an instance was attached in response to user request, increasing the capacity from 1 to 2."
    )


def test_attaching_is_refused_above_max_twice_and_in_a_foreign_zone() -> None:
    driver = GroupDriver(max_size=2, desired=1)
    with refused(match="zone-c"):
        driver.group.attach([replace(CANDIDATE, subnet=fleet.Subnet("subnet-c", "zone-c"))], driver.now)
    driver.do(driver.group.attach([CANDIDATE], driver.now))
    with refused(match="already part of"):
        driver.group.attach([CANDIDATE], driver.now)
    with refused(match="To attach 1 instance, please update the AutoScalingGroup sizes"):
        driver.group.attach([replace(CANDIDATE, id="i-other")], driver.now)


def test_an_attached_instance_waits_for_the_launch_hook() -> None:
    driver = GroupDriver()
    driver.group.put_hook(BOOT)
    driver.do(driver.group.attach([CANDIDATE], driver.now))
    assert driver.states() == {"i-attached": "Pending:Wait"}


def test_a_detached_instance_runs_on_and_is_replaced_unless_capacity_shrinks() -> None:
    driver = GroupDriver(desired=2)
    driver.group.put_hook(DRAIN)
    activities, effects = driver.group.detach(["i-1"], False, driver.now)
    driver.do(effects)
    assert (driver.terminated, driver.states()) == ([], {"i-2": "InService", "i-3": "InService"})
    assert activities[0].description == "Detaching EC2 instance: i-1"
    activities, effects = driver.group.detach(["i-2"], True, driver.now)
    driver.do(effects)
    assert (driver.terminated, driver.group.settings.desired, driver.states()) == ([], 1, {"i-3": "InService"})
    assert activities[0].cause.endswith(
        "was detached in response to a user request, shrinking the capacity from 2 to 1."
    )


def test_detaching_below_min_or_of_another_instance_is_refused() -> None:
    driver = GroupDriver(min_size=1, desired=1)
    with refused(match="To detach 1 instance, please update"):
        driver.group.detach(["i-1"], True, driver.now)
    with refused(match="i-9 is not part of"):
        driver.group.detach(["i-9"], True, driver.now)


# --- termination policies and zones -------------------------------------------------------------------------


def test_zone_balance_comes_before_any_policy() -> None:
    driver = GroupDriver(desired=3, termination_policies=("NewestInstance",))
    driver.group.suspend(["AZRebalance"], driver.now)
    assert zones(driver) == {"zone-a": 2, "zone-b": 1}
    driver.do(driver.group.terminate("i-2", True, driver.now)[1])  # only zone-a is left
    driver.sleep(60)
    driver.set_desired(3)
    assert zones(driver) == {"zone-a": 2, "zone-b": 1}
    driver.set_desired(2)  # i-4 in zone-b is newest, zone-a has more
    assert zones(driver) == {"zone-a": 1, "zone-b": 1}
    assert "i-4" in driver.states()


def test_with_protection_in_the_fullest_zone_scale_in_takes_the_other() -> None:
    driver = GroupDriver(desired=3)
    driver.protect("i-1", "i-3")
    driver.set_desired(2)
    assert set(driver.states()) == {"i-1", "i-3"}


def test_another_launch_template_goes_before_an_older_version() -> None:
    driver = GroupDriver(termination_policies=("OldestLaunchTemplate",))
    driver.change(subnets=SUBNETS[:1])
    for template in (
        fleet.Template("lt-1", "workers", "1"),
        fleet.Template("lt-2", "others", "9"),
        fleet.Template("lt-1", "workers", "2"),
    ):
        driver.change(template=template)
        driver.set_desired(driver.group.settings.desired + 1)
    driver.set_desired(2)
    assert set(driver.states()) == {"i-1", "i-3"}
    driver.set_desired(1)
    assert set(driver.states()) == {"i-3"}


def test_the_nearest_hour_goes_first_where_that_is_the_policy() -> None:
    driver = GroupDriver(termination_policies=("ClosestToNextInstanceHour",))
    driver.change(subnets=SUBNETS[:1])
    for pause in (1800, 1700, 300):  # aged 3800, 2000 and 300 seconds: 200, 2000 and 300 into their hour
        driver.set_desired(driver.group.settings.desired + 1)
        driver.sleep(pause)
    driver.set_desired(2)
    assert set(driver.states()) == {"i-1", "i-3"}


def test_the_first_policy_decides_and_the_next_breaks_its_ties() -> None:
    driver = GroupDriver(desired=0, termination_policies=("OldestLaunchTemplate", "NewestInstance"))
    driver.change(subnets=SUBNETS[:1])
    for _ in range(3):
        driver.set_desired(driver.group.settings.desired + 1)
        driver.sleep(60)
    driver.set_desired(2)
    assert set(driver.states()) == {"i-1", "i-2"}


def test_zones_that_lost_their_balance_regain_it_by_launching_first() -> None:
    driver = GroupDriver(desired=4)
    driver.group.put_hook(BOOT)
    driver.do(driver.group.detach(["i-2", "i-4"], True, driver.now)[1])
    assert driver.states() == {"i-1": "InService", "i-3": "InService", "i-5": "Pending:Wait"}
    launch = next(a for a in driver.group.activities.values() if "i-5" in a.description)
    assert "instances were launched to balance instances in zones zone-a with other zones" in launch.cause
    driver.complete("boot", "CONTINUE", "i-5")
    assert (zones(driver), len(driver.terminated)) == ({"zone-a": 1, "zone-b": 1}, 1)


def test_a_suspended_azrebalance_leaves_zones_as_they_are_until_it_resumes() -> None:
    driver = GroupDriver(desired=4)
    driver.group.suspend(["AZRebalance"], driver.now)
    driver.do(driver.group.detach(["i-2", "i-4"], True, driver.now)[1])
    assert zones(driver) == {"zone-a": 2}
    driver.do(driver.group.resume(["AZRebalance"], driver.now))
    assert zones(driver) == {"zone-a": 1, "zone-b": 1}


def test_rebalancing_moves_no_protected_instance() -> None:
    driver = GroupDriver(desired=4)
    driver.protect("i-1", "i-3")
    driver.do(driver.group.detach(["i-2", "i-4"], True, driver.now)[1])
    assert set(driver.states()) == {"i-1", "i-3"}


def test_a_zone_that_the_group_leaves_is_emptied() -> None:
    driver = GroupDriver(desired=4)
    driver.change(subnets=SUBNETS[:1])
    assert zones(driver) == {"zone-a": 4}


def test_rebalancing_may_pass_max_size_by_a_tenth_only() -> None:
    driver = GroupDriver(max_size=20, desired=20)
    driver.group.put_hook(BOOT)
    driver.change(subnets=SUBNETS[:1])
    assert Counter(driver.states().values()) == {"InService": 20, "Pending:Wait": 2}


# --- lifetime -----------------------------------------------------------------------------------------------


def test_instances_past_their_lifetime_are_replaced_one_by_one() -> None:
    driver = GroupDriver(desired=3, max_instance_lifetime=DAY)
    driver.group.put_hook(BOOT)
    driver.sleep(DAY - 1)
    assert set(driver.states()) == {"i-1", "i-2", "i-3"}
    driver.sleep(1)
    assert driver.states() == {"i-2": "InService", "i-3": "InService", "i-4": "Pending:Wait"}
    driver.complete("boot", "CONTINUE", "i-4")
    assert driver.states() == {"i-3": "InService", "i-4": "InService", "i-5": "Pending:Wait"}


def test_a_tenth_of_a_large_group_is_replaced_at_once() -> None:
    driver = GroupDriver(max_size=40, desired=40, max_instance_lifetime=DAY)
    driver.group.put_hook(BOOT)
    driver.sleep(DAY)
    assert Counter(driver.states().values()) == {"InService": 36, "Pending:Wait": 4}


def test_protection_postpones_the_maximum_lifetime() -> None:
    driver = GroupDriver(desired=1, max_instance_lifetime=DAY)
    driver.protect("i-1")
    driver.sleep(2 * DAY)
    assert list(driver.states()) == ["i-1"]
    driver.protect("i-1", protected=False)
    assert list(driver.states()) == ["i-2"]


def test_a_lifetime_that_is_set_later_counts_from_entering_service() -> None:
    driver = GroupDriver(desired=1)
    driver.sleep(DAY - 10)
    driver.change(max_instance_lifetime=DAY)
    assert list(driver.states()) == ["i-1"]
    driver.sleep(10)
    assert list(driver.states()) == ["i-2"]


def test_a_minimum_of_100_percent_healthy_launches_before_it_terminates() -> None:
    policy = {"min_healthy_percentage": 100, "max_healthy_percentage": 110, "default_instance_warmup": 60}
    driver = GroupDriver(desired=2, max_instance_lifetime=DAY, **policy)
    driver.sleep(DAY)
    assert driver.states() == {"i-1": "InService", "i-2": "InService", "i-3": "InService"}
    driver.sleep(59)
    assert driver.terminated == []
    driver.sleep(1)
    assert driver.terminated == ["i-1"]


# --- health -------------------------------------------------------------------------------------------------


def test_a_minimum_of_100_percent_healthy_replaces_an_unhealthy_instance_first() -> None:
    driver = GroupDriver(desired=1, min_healthy_percentage=100, max_healthy_percentage=200)
    driver.group.put_hook(BOOT)
    driver.do(driver.group.set_health("i-1", False, True, driver.now))
    assert driver.states() == {"i-1": "InService", "i-2": "Pending:Wait"}
    driver.complete("boot", "CONTINUE", "i-2")
    assert driver.states() == {"i-2": "InService"}


def test_instances_that_do_not_run_are_not_waited_for_under_any_policy() -> None:
    driver = GroupDriver(desired=1, min_healthy_percentage=100, max_healthy_percentage=200)
    driver.group.put_hook(BOOT)
    driver.do(driver.group.lost("i-1", driver.now))
    assert driver.states() == {"i-2": "Pending:Wait"}


@pytest.mark.parametrize("process", ["ReplaceUnhealthy", "Terminate"])
def test_an_unhealthy_instance_stays_while_its_replacement_is_suspended(process: str) -> None:
    driver = GroupDriver(desired=1)
    driver.group.suspend([process], driver.now)
    driver.do(driver.group.set_health("i-1", False, False, driver.now))
    assert driver.states() == {"i-1": "InService"}
    driver.do(driver.group.resume([process], driver.now))
    assert list(driver.states()) == ["i-2"]


def test_a_launch_hook_that_abandons_every_launch_retries_and_never_serves() -> None:
    driver = GroupDriver()
    driver.group.put_hook(replace(BOOT, heartbeat_timeout=60))
    driver.set_desired(1)
    for _ in range(10):
        driver.sleep(60)
    assert len(driver.terminated) == 10
    assert list(driver.states().values()) == ["Pending:Wait"]


# --- deletion of the group -----------------------------------------------------------------------------------


def test_force_delete_terminates_every_instance_without_its_hooks() -> None:
    driver = GroupDriver(desired=2)
    driver.group.put_hook(DRAIN)
    driver.do(driver.group.terminate("i-1", False, driver.now)[1])
    driver.group.state_changes.clear()
    driver.do(driver.group.delete(force=True))
    assert (driver.states(), sorted(driver.terminated)) == ({}, ["i-1", "i-2", "i-3"])
    assert [m.after for m in driver.group.state_changes if m.instance_id == "i-2"] == [
        "Terminating",
        "Terminating:Proceed",
        "Terminated",
        "",
    ]
