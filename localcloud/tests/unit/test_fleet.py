"""The rules of an Auto Scaling group: sizes, scale-in, hooks, termination."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from unit.group_driver import BOOT, DRAIN, START, SUBNETS, GroupDriver, refused

from localcloud import fleet

# --- size ---------------------------------------------------------------------------------------------------


def test_a_new_group_launches_its_desired_capacity_in_its_zones_in_turn() -> None:
    driver = GroupDriver(desired=4)
    assert Counter(i.subnet.zone for i in driver.group.instances.values()) == {"zone-a": 2, "zone-b": 2}
    assert set(driver.states().values()) == {"InService"}


def test_two_subnets_of_one_zone_share_that_zones_part() -> None:
    driver = GroupDriver()
    driver.change(subnets=(*SUBNETS, fleet.Subnet("subnet-a2", "zone-a")))
    driver.set_desired(4)
    assert Counter(i.subnet.id for i in driver.group.instances.values()) == {
        "subnet-b": 2,
        "subnet-a": 1,
        "subnet-a2": 1,
    }


def test_raising_min_above_desired_raises_desired() -> None:
    driver = GroupDriver(desired=1)
    driver.resize(min_size=3)
    assert (driver.group.settings.desired, len(driver.group.instances)) == (3, 3)


def test_lowering_max_below_desired_lowers_desired() -> None:
    driver = GroupDriver(desired=4)
    driver.resize(max_size=2)
    assert (driver.group.settings.desired, len(driver.group.instances)) == (2, 2)


def test_bounds_that_still_hold_leave_desired_alone() -> None:
    driver = GroupDriver(desired=3)
    driver.resize(min_size=1, max_size=5)
    assert driver.group.settings.desired == 3


@pytest.mark.parametrize("desired", [0, 6])
def test_an_explicit_desired_capacity_outside_the_bounds_is_refused_and_changes_nothing(desired: int) -> None:
    driver = GroupDriver(min_size=1, max_size=5, desired=2)
    with refused(match=f"Desired capacity:{desired} must be between the specified min size:1 and max size:5"):
        driver.resize(desired=desired)
    assert driver.group.settings.desired == 2


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
        GroupDriver().change(**wrong)


# --- scale-in -----------------------------------------------------------------------------------------------


def test_scale_in_keeps_the_zones_in_balance() -> None:
    driver = GroupDriver(desired=6)
    driver.set_desired(2)
    assert Counter(i.subnet.zone for i in driver.group.instances.values()) == {"zone-a": 1, "zone-b": 1}


def test_scale_in_waits_for_protected_instances() -> None:
    driver = GroupDriver(desired=2)
    driver.do(driver.group.protect(["i-1", "i-2"], True, driver.now))
    driver.set_desired(0)
    assert driver.states() == {"i-1": "InService", "i-2": "InService"}
    driver.do(driver.group.protect(["i-1"], False, driver.now))
    assert driver.states() == {"i-2": "InService"}


def test_new_instances_are_protected_if_the_group_says_so() -> None:
    driver = GroupDriver(desired=1, new_instances_protected=True)
    driver.set_desired(0)
    assert driver.states() == {"i-1": "InService"}


def test_protection_is_refused_outside_in_service_and_changes_no_other_instance() -> None:
    driver = GroupDriver(desired=1)
    driver.group.put_hook(BOOT)
    driver.set_desired(2)
    with refused(match="i-2 is not in InService or EnteringStandby or Standby"):
        driver.group.protect(["i-1", "i-2"], True, driver.now)
    assert not driver.group.instances["i-1"].protected


def test_the_default_policy_terminates_the_oldest_template_version_first() -> None:
    driver = GroupDriver(desired=2)
    driver.change(template=fleet.Template("lt-1", "workers", "2"))
    driver.sleep(10)
    driver.set_desired(4)
    driver.set_desired(2)
    assert set(driver.states()) == {"i-3", "i-4"}


@pytest.mark.parametrize(("policy", "left"), [("OldestInstance", "i-3"), ("NewestInstance", "i-1")])
def test_a_policy_by_age_terminates_instances_by_age(policy: str, left: str) -> None:
    driver = GroupDriver(termination_policies=(policy,))
    driver.change(subnets=SUBNETS[:1])
    for desired in (1, 2, 3):
        driver.set_desired(desired)
        driver.sleep(60)
    driver.set_desired(1)
    assert list(driver.states()) == [left]


def test_suspended_processes_hold_launches_and_terminations_until_they_resume() -> None:
    driver = GroupDriver(desired=2)
    driver.group.suspend(["Launch", "Terminate"], driver.now)
    driver.set_desired(4)
    assert len(driver.states()) == 2
    driver.do(driver.group.resume(["Launch"], driver.now))
    assert len(driver.states()) == 4
    driver.set_desired(0)
    assert len(driver.states()) == 4
    driver.do(driver.group.resume([], driver.now))
    assert driver.states() == {}


# --- hooks --------------------------------------------------------------------------------------------------


def test_a_termination_waits_for_its_hook_and_does_not_count_meanwhile() -> None:
    driver = GroupDriver(desired=1)
    driver.group.put_hook(DRAIN)
    driver.set_desired(0)
    assert driver.states() == {"i-1": "Terminating:Wait"}
    assert driver.newest().status == "MidLifecycleAction"
    driver.set_desired(1)
    assert driver.states() == {"i-1": "Terminating:Wait", "i-2": "InService"}
    driver.complete("drain", "CONTINUE", "i-1")
    assert driver.states() == {"i-2": "InService"}


def test_a_hook_times_out_with_its_default_result() -> None:
    driver = GroupDriver(desired=1)
    driver.group.put_hook(DRAIN)
    driver.set_desired(0)
    driver.sleep(299)
    assert driver.states() == {"i-1": "Terminating:Wait"}
    driver.sleep(1)
    assert driver.states() == {}


def test_a_timeout_acts_at_its_own_moment_however_late_it_is_noticed() -> None:
    driver = GroupDriver(desired=1)
    driver.group.put_hook(BOOT)
    driver.set_desired(2)
    driver.sleep(10_000)
    cancelled = next(a for a in driver.group.activities.values() if a.status == "Cancelled")
    assert cancelled.ended_at == START + 600


def test_a_heartbeat_extends_the_wait_and_never_shortens_it() -> None:
    driver = GroupDriver(desired=1)
    driver.group.put_hook(DRAIN)
    driver.set_desired(0)
    driver.sleep(200)
    driver.heartbeat("drain", "i-1")
    driver.heartbeat("drain", "i-1")
    driver.sleep(299)
    assert driver.states() == {"i-1": "Terminating:Wait"}
    driver.sleep(1)
    assert driver.states() == {}


def test_no_heartbeat_passes_the_global_timeout() -> None:
    driver = GroupDriver(desired=1)
    driver.group.put_hook(replace(DRAIN, heartbeat_timeout=30))
    driver.set_desired(0)
    for _ in range(150):
        if not driver.states():
            break
        driver.heartbeat("drain", "i-1")
        driver.sleep(25)
    assert driver.now == START + 3000


@pytest.mark.parametrize(("heartbeat", "limit"), [(30, 3000), (1728, 172_800), (7200, 172_800)])
def test_the_global_timeout_is_a_hundred_heartbeats_or_48_hours(heartbeat: int, limit: int) -> None:
    assert replace(DRAIN, heartbeat_timeout=heartbeat).global_timeout == limit


def test_several_hooks_must_all_continue() -> None:
    driver = GroupDriver(desired=1)
    driver.group.put_hook(DRAIN)
    driver.group.put_hook(replace(DRAIN, name="archive"))
    driver.set_desired(0)
    driver.complete("drain", "CONTINUE", "i-1")
    assert driver.states() == {"i-1": "Terminating:Wait"}
    driver.complete("archive", "CONTINUE", "i-1")
    assert driver.states() == {}


def test_abandon_skips_the_other_hooks_and_terminates() -> None:
    driver = GroupDriver(desired=1)
    driver.group.put_hook(DRAIN)
    driver.group.put_hook(replace(DRAIN, name="archive"))
    driver.set_desired(0)
    driver.complete("drain", "ABANDON", "i-1")
    assert driver.terminated == ["i-1"]


@pytest.mark.parametrize("how", ["abandoned", "timed out"])
def test_a_retaining_policy_keeps_what_was_abandoned_or_timed_out(how: str) -> None:
    driver = GroupDriver(desired=1, terminate_hook_abandon="retain")
    driver.group.put_hook(DRAIN)
    driver.set_desired(0)
    if how == "abandoned":
        driver.complete("drain", "ABANDON", "i-1")
    else:
        driver.sleep(300)
    assert driver.states() == {"i-1": "Terminating:Retained"}
    driver.sleep(200_000)
    driver.set_desired(1)
    assert driver.states() == {"i-1": "Terminating:Retained", "i-2": "InService"}


def test_a_retained_instance_is_terminated_on_request_without_its_hook() -> None:
    driver = GroupDriver(desired=1, terminate_hook_abandon="retain")
    driver.group.put_hook(DRAIN)
    driver.set_desired(0)
    driver.complete("drain", "ABANDON", "i-1")
    driver.do(driver.group.terminate("i-1", False, driver.now)[1])
    assert driver.states() == {}


def test_a_retained_instance_that_ec2_terminates_leaves_the_group() -> None:
    driver = GroupDriver(desired=1, terminate_hook_abandon="retain")
    driver.group.put_hook(DRAIN)
    driver.set_desired(0)
    driver.complete("drain", "ABANDON", "i-1")
    driver.do(driver.group.lost("i-1", driver.now))
    assert driver.states() == {}


def test_continue_terminates_the_instance_under_a_retention_policy() -> None:
    driver = GroupDriver(desired=1, terminate_hook_abandon="retain")
    driver.group.put_hook(DRAIN)
    driver.set_desired(0)
    driver.complete("drain", "CONTINUE", "i-1")
    assert driver.states() == {}


def test_a_launch_waits_for_its_hook_and_then_serves() -> None:
    driver = GroupDriver()
    driver.group.put_hook(BOOT)
    driver.set_desired(1)
    assert driver.states() == {"i-1": "Pending:Wait"}
    driver.sleep(100)
    driver.complete("boot", "CONTINUE", "i-1")
    assert driver.states() == {"i-1": "InService"}
    assert (driver.newest().status, driver.newest().ended_at) == ("Successful", START + 100)


def test_an_abandoned_launch_is_terminated_and_replaced() -> None:
    driver = GroupDriver()
    driver.group.put_hook(BOOT)
    driver.set_desired(1)
    driver.complete("boot", "ABANDON", "i-1")
    assert driver.states() == {"i-2": "Pending:Wait"}
    assert "abandoned" in str(next(iter(driver.group.activities.values())).message)


def test_deleting_a_hook_ends_its_waits_continuing_terminations_and_abandoning_launches() -> None:
    driver = GroupDriver(desired=1, terminate_hook_abandon="retain")
    driver.group.put_hook(DRAIN)
    driver.set_desired(0)
    driver.do(driver.group.delete_hook("drain", driver.now))
    assert driver.states() == {}
    driver.group.put_hook(BOOT)
    driver.set_desired(1)
    driver.do(driver.group.delete_hook("boot", driver.now))
    assert driver.states() == {"i-3": "InService"}


# --- termination ---------------------------------------------------------------------------------------------------


def test_terminate_in_group_replaces_the_instance() -> None:
    driver = GroupDriver(desired=1)
    activity, effects = driver.group.terminate("i-1", False, driver.now)
    driver.do(effects)
    assert driver.states() == {"i-2": "InService"}
    assert activity.cause.endswith("instance i-1 was taken out of service in response to a user request.")


def test_terminate_in_group_with_decrement_shrinks_the_group_but_never_below_min() -> None:
    driver = GroupDriver(min_size=1, desired=2)
    activity, effects = driver.group.terminate("i-1", True, driver.now)
    driver.do(effects)
    assert (driver.group.settings.desired, list(driver.states())) == (1, ["i-2"])
    assert "shrinking the capacity from 2 to 1" in activity.cause
    with refused(match="violate group's min size constraint"):
        driver.group.terminate("i-2", True, driver.now)


def test_protection_does_not_prevent_terminate_in_group() -> None:
    driver = GroupDriver(desired=1)
    driver.do(driver.group.protect(["i-1"], True, driver.now))
    driver.do(driver.group.terminate("i-1", False, driver.now)[1])
    assert list(driver.states()) == ["i-2"]


def test_an_unhealthy_instance_is_replaced_through_the_termination_hook() -> None:
    driver = GroupDriver(desired=1)
    driver.group.put_hook(DRAIN)
    driver.do(driver.group.set_health("i-1", False, True, driver.now))
    assert driver.states() == {"i-1": "Terminating:Wait", "i-2": "InService"}


def test_the_grace_period_is_respected_unless_told_otherwise() -> None:
    driver = GroupDriver(desired=1, health_check_grace_period=300)
    driver.do(driver.group.set_health("i-1", False, True, driver.now))
    assert list(driver.states()) == ["i-1"]
    driver.do(driver.group.set_health("i-1", False, False, driver.now))
    assert list(driver.states()) == ["i-2"]


def test_an_instance_lost_outside_the_group_is_replaced_once_health_checks_run() -> None:
    driver = GroupDriver(desired=1)
    driver.group.suspend(["HealthCheck"], driver.now)
    driver.do(driver.group.lost("i-1", driver.now))
    assert list(driver.states()) == ["i-1"]
    driver.do(driver.group.resume(["HealthCheck"], driver.now))
    assert list(driver.states()) == ["i-2"]


def test_a_refused_launch_is_a_failed_activity_and_is_tried_again_after_a_pause() -> None:
    driver = GroupDriver()
    driver.launch_error = "Your quota allows for 0 more running instance(s)"
    driver.set_desired(1)
    assert driver.newest().status == "Failed"
    assert driver.newest().message == f"{driver.launch_error}. Launching EC2 instance failed."
    driver.sleep(fleet.LAUNCH_RETRY_SECONDS - 1)
    assert len(driver.group.activities) == 1
    driver.launch_error = ""
    driver.sleep(1)
    assert driver.states() == {"i-1": "InService"}


def test_a_group_with_instances_is_deleted_only_by_force() -> None:
    driver = GroupDriver(desired=1)
    with refused("ResourceInUse", "while there are instances"):
        driver.group.delete(force=False)
    driver.do(driver.group.delete(force=True))
    assert driver.terminated == ["i-1"]


def test_force_delete_is_refused_while_the_policy_retains() -> None:
    with refused(match="retains"):
        GroupDriver(desired=1, terminate_hook_abandon="retain").group.delete(force=True)


@pytest.mark.parametrize(
    ("protection", "force"),
    [("prevent-all-deletion", False), ("prevent-all-deletion", True), ("prevent-force-deletion", True)],
)
def test_deletion_protection_refuses(protection: str, force: bool) -> None:
    with refused(match=protection):
        GroupDriver(deletion_protection=protection).group.delete(force=force)


def test_protection_from_forced_deletion_allows_the_plain_one() -> None:
    assert GroupDriver(deletion_protection="prevent-force-deletion").group.delete(force=False) == []


def test_activities_have_awss_causes_and_descriptions() -> None:
    driver = GroupDriver(desired=1)
    driver.now += 60
    driver.set_desired(2)
    driver.now += 60
    driver.set_desired(1)
    first, second, third = driver.group.activities.values()
    assert first.cause == (
        "At 2026-08-01T12:00:00Z a user request created an AutoScalingGroup "
        "changing the desired capacity from 0 to 1.  "
        "At 2026-08-01T12:00:00Z an instance was started in response to a difference "
        "between desired and actual capacity, increasing the capacity from 0 to 1."
    )
    assert second.cause.startswith(
        "At 2026-08-01T12:01:00Z a user request explicitly set group desired capacity changing"
    )
    assert second.description == "Launching a new EC2 instance: i-2"
    assert second.details == '{"Subnet ID":"subnet-b","Availability Zone":"zone-b"}'
    assert "shrinking the capacity from 2 to 1.  At 2026-08-01T12:02:00Z instance i-" in third.cause
    assert third.description.startswith("Terminating EC2 instance: i-")
    assert {a.status for a in driver.group.activities.values()} == {"Successful"}


def test_an_instance_that_does_not_run_yet_is_pending_and_counts_and_its_launch_hook_begins_when_it_runs() -> None:
    driver = GroupDriver()
    driver.group.put_hook(BOOT)
    (launch,) = driver.group.set_desired(1, driver.now)
    assert isinstance(launch, fleet.Launch)
    assert (
        driver.group.launched(launch.activity, "i-1", launch.template, "t3.medium", "ami-1", driver.now, running=False)
        == []
    )
    assert (driver.states(), driver.newest().status) == ({"i-1": "Pending"}, "PreInService")
    driver.sleep(10_000)
    assert driver.states() == {"i-1": "Pending"}
    assert driver.group.booted("i-1", driver.now) == []
    assert driver.states() == {"i-1": "Pending:Wait"}
    assert driver.group.booted("i-1", driver.now) == []
    assert driver.group.booted("i-stranger", driver.now) == []
    driver.complete("boot", "CONTINUE", "i-1")
    assert driver.states() == {"i-1": "InService"}


def test_an_instance_that_terminates_before_it_runs_is_replaced() -> None:
    driver = GroupDriver()
    (launch,) = driver.group.set_desired(1, driver.now)
    assert isinstance(launch, fleet.Launch)
    driver.group.launched(launch.activity, "i-0", launch.template, "t3.medium", "ami-1", driver.now, running=False)
    driver.do(driver.group.lost("i-0", driver.now))
    assert driver.states() == {"i-1": "InService"}
