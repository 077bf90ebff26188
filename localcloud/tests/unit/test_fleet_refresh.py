"""Instance refresh: batches, warmup, checkpoints, protected instances, cancellation, rollback."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from unit.group_driver import BOOT, DRAIN, GroupDriver, refused

from localcloud import fleet

NEW = fleet.Template("lt-1", "workers", "2")
HOUR = 3600


def start(driver: GroupDriver, *, desired: fleet.Template | None = NEW, **preferences: Any) -> str:
    """StartInstanceRefresh and its first step; returns its id."""
    to = desired or driver.group.settings.template
    refresh = driver.group.start_refresh(fleet.Preferences(**preferences), desired, to, driver.now)
    assert refresh.status == "Pending"
    driver.sleep(0)
    return refresh.id


def last(driver: GroupDriver) -> fleet.Refresh:
    """The newest refresh."""
    return list(driver.group.refreshes.values())[-1]


def versions(driver: GroupDriver) -> dict[str, int]:
    """The number of counted instances by template version."""
    return dict(
        Counter(i.template.version for i in driver.group.instances.values() if i.template and i.state in fleet.COUNTED)
    )


def test_a_refresh_replaces_everybody_and_the_group_adopts_the_configuration() -> None:
    driver = GroupDriver(desired=4)
    start(driver)
    assert (last(driver).status, last(driver).percentage, last(driver).left) == ("Successful", 100, 0)
    assert (versions(driver), driver.group.settings.template, len(driver.terminated)) == ({"2": 4}, NEW, 4)


def test_ninety_percent_of_a_large_group_stay_and_of_a_small_one_all_but_one() -> None:
    for desired, away in ((10, 1), (30, 3), (4, 1), (1, 1)):
        driver = GroupDriver(max_size=30, desired=desired)
        driver.group.put_hook(BOOT)
        start(driver)
        assert Counter(driver.states().values()) == Counter({"InService": desired - away, "Pending:Wait": away})


def test_min_healthy_zero_replaces_all_at_once() -> None:
    driver = GroupDriver(desired=5)
    driver.group.put_hook(BOOT)
    start(driver, min_healthy=0)
    assert Counter(driver.states().values()) == {"Pending:Wait": 5}


@pytest.mark.parametrize(
    "preferences",
    [{"min_healthy": 100}, {"min_healthy": 100, "max_healthy": 100}, {"min_healthy": 99, "max_healthy": 100}],
)
def test_without_headroom_one_instance_is_launched_before_one_terminates(preferences: dict[str, Any]) -> None:
    driver = GroupDriver(desired=3)
    driver.group.put_hook(BOOT)
    start(driver, **preferences)
    assert Counter(driver.states().values()) == {"InService": 3, "Pending:Wait": 1}
    driver.complete("boot", "CONTINUE", "i-4")
    assert (driver.terminated, Counter(driver.states().values())) == (["i-1"], {"InService": 3, "Pending:Wait": 1})


def test_max_healthy_launches_that_many_more() -> None:
    driver = GroupDriver(max_size=10, desired=10)
    driver.group.put_hook(BOOT)
    start(driver, min_healthy=100, max_healthy=130)
    assert Counter(driver.states().values()) == {"InService": 10, "Pending:Wait": 3}


def test_the_next_batch_waits_for_the_warmup() -> None:
    driver = GroupDriver(desired=2)
    start(driver, warmup=120)
    assert set(driver.states()) == {"i-2", "i-3"}
    assert last(driver).reason == "Waiting for instances to warm up before continuing. For example: i-3 is warming up."
    driver.sleep(119)
    assert (set(driver.states()), last(driver).percentage) == ({"i-2", "i-3"}, 0)
    driver.sleep(1)
    assert (set(driver.states()), last(driver).percentage, last(driver).left) == ({"i-3", "i-4"}, 50, 1)
    driver.sleep(120)
    assert last(driver).status == "Successful"


def test_the_defaults_come_from_the_groups_settings() -> None:
    driver = GroupDriver(
        desired=1, health_check_grace_period=300, min_healthy_percentage=50, max_healthy_percentage=120
    )
    start(driver)
    taken = last(driver).preferences
    assert (taken.min_healthy, taken.max_healthy, taken.warmup) == (50, 120, 300)
    other = GroupDriver(desired=1, health_check_grace_period=300, default_instance_warmup=0)
    start(other)
    taken = last(other).preferences
    assert (taken.min_healthy, taken.max_healthy, taken.warmup, taken.checkpoint_delay) == (90, None, 0, None)


def test_skip_matching_keeps_instances_that_match_already() -> None:
    driver = GroupDriver(desired=1)
    driver.change(template=NEW)
    driver.set_desired(3)
    start(driver, skip_matching=True)
    assert (driver.terminated, last(driver).status, last(driver).total) == (["i-1"], "Successful", 1)


def test_a_refresh_without_a_configuration_replaces_all_from_the_groups_own_template() -> None:
    driver = GroupDriver(desired=2)
    start(driver, desired=None)
    assert (len(driver.terminated), versions(driver)) == (2, {"1": 2})


def test_an_empty_group_is_refreshed_at_once() -> None:
    driver = GroupDriver()
    start(driver, checkpoints=(50, 100))
    assert (last(driver).status, last(driver).percentage, driver.group.settings.template) == ("Successful", 100, NEW)


def test_a_checkpoint_pauses_and_its_delay_goes_on() -> None:
    driver = GroupDriver(desired=4)
    start(driver, min_healthy=0, checkpoints=(50, 100), checkpoint_delay=600)
    assert (versions(driver), last(driver).status, last(driver).percentage) == ({"1": 2, "2": 2}, "InProgress", 50)
    assert "Reached the checkpoint at 50%" in str(last(driver).reason)
    driver.sleep(599)
    assert versions(driver) == {"1": 2, "2": 2}
    driver.sleep(1)
    assert (versions(driver), last(driver).status) == ({"2": 4}, "Successful")


def test_a_last_checkpoint_below_100_percent_completes_the_refresh() -> None:
    driver = GroupDriver(desired=4)
    start(driver, checkpoints=(25,))
    assert (versions(driver), last(driver).status, last(driver).percentage) == ({"1": 3, "2": 1}, "Successful", 25)


def test_the_bake_time_ends_a_refresh_later() -> None:
    driver = GroupDriver(desired=1)
    start(driver, bake=300)
    assert (last(driver).status, driver.group.settings.template.version) == ("Baking", "1")
    driver.sleep(300)
    assert (last(driver).status, driver.group.settings.template.version) == ("Successful", "2")


def test_protected_instances_are_waited_for_and_replaced_once_unprotected() -> None:
    driver = GroupDriver(desired=2)
    driver.protect("i-1")
    start(driver)
    assert (driver.terminated, last(driver).status) == (["i-2"], "InProgress")
    assert (
        last(driver).reason
        == "Waiting for remaining instances to be available. For example: i-1 is protected from scale in."
    )
    driver.sleep(HOUR - 1)
    driver.protect("i-1", protected=False)
    assert (driver.terminated, last(driver).status) == (["i-2", "i-1"], "Successful")


@pytest.mark.parametrize("how", ["protected", "standby"])
def test_an_hour_of_waiting_for_a_protected_instance_fails_the_refresh(how: str) -> None:
    driver = GroupDriver(desired=2)
    if how == "protected":
        driver.protect("i-1")
    else:
        driver.do(driver.group.enter_standby(["i-1"], True, driver.now)[1])
    start(driver)
    driver.sleep(HOUR - 1)
    assert last(driver).status == "InProgress"
    driver.sleep(1)
    assert last(driver).status == "Failed"
    assert "i-1" in str(last(driver).reason)
    assert driver.group.settings.template.version == "1"


def test_protected_instances_can_be_ignored_or_replaced() -> None:
    driver = GroupDriver(desired=2)
    driver.protect("i-1")
    start(driver, protected="Ignore")
    assert (driver.terminated, last(driver).status, last(driver).percentage) == (["i-2"], "Successful", 100)
    start(driver, protected="Refresh")
    assert (set(driver.terminated), last(driver).status) == ({"i-1", "i-2", "i-3"}, "Successful")


def test_protected_instances_are_replaced_when_launching_first() -> None:
    driver = GroupDriver(desired=1)
    driver.protect("i-1")
    start(driver, min_healthy=100, protected="Refresh")
    assert (driver.terminated, last(driver).status) == (["i-1"], "Successful")


def test_standby_instances_can_be_ignored_or_terminated() -> None:
    for preference, ended in (("Ignore", ["i-2"]), ("Terminate", ["i-1", "i-2"])):
        driver = GroupDriver(desired=2)
        driver.do(driver.group.enter_standby(["i-1"], True, driver.now)[1])
        start(driver, standby=preference)
        assert (driver.terminated, last(driver).status) == (ended, "Successful")


def test_replaced_instances_wait_for_the_termination_hook() -> None:
    driver = GroupDriver(desired=2)
    driver.group.put_hook(DRAIN)
    start(driver)
    assert Counter(driver.states().values()) == {"Terminating:Wait": 2, "InService": 2}
    assert last(driver).status == "Successful"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_healthy": 110}, "MinHealthyPercentage must be specified"),
        ({"min_healthy": 101}, "between 0 and 100"),
        ({"min_healthy": 0, "max_healthy": 110}, "cannot be greater than 100"),
        ({"checkpoints": (50, 20)}, "ascending"),
        ({"checkpoints": (0,)}, "between 1 and 100"),
        ({"checkpoint_delay": 10}, "CheckpointPercentages must be specified"),
        ({"checkpoints": (100,), "checkpoint_delay": 172_801}, "between 0 and 172800"),
        ({"protected": "Terminate"}, "Unknown ScaleInProtectedInstances"),
        ({"standby": "Refresh"}, "Unknown StandbyInstances"),
        ({"desired": None, "auto_rollback": True}, "AutoRollback parameter cannot be set to true"),
    ],
    ids=str,
)
def test_preferences_that_aws_refuses_are_refused(wrong: dict[str, Any], message: str) -> None:
    driver = GroupDriver(desired=1)
    with refused(match=message):
        start(driver, **wrong)
    assert driver.group.refreshes == {}


def test_a_cancelled_refresh_finishes_its_replacements_and_starts_none() -> None:
    driver = GroupDriver(desired=3)
    driver.group.put_hook(BOOT)
    start(driver)
    driver.group.cancel_refresh(True, driver.now)
    driver.sleep(0)
    assert (last(driver).status, last(driver).reason) == ("Cancelling", "Cancelled due to user request.")
    driver.complete("boot", "CONTINUE", "i-4")
    assert (last(driver).status, versions(driver)) == ("Cancelled", {"1": 2, "2": 1})
    assert driver.group.settings.template.version == "1"
    with refused("ActiveInstanceRefreshNotFound"):
        driver.group.cancel_refresh(True, driver.now)


def test_a_refresh_can_be_cancelled_without_waiting() -> None:
    driver = GroupDriver(desired=3)
    driver.group.put_hook(BOOT)
    start(driver)
    driver.group.cancel_refresh(False, driver.now)
    assert last(driver).status == "Cancelled"


def test_a_rollback_brings_the_old_configuration_back_and_replaces_only_what_was_replaced() -> None:
    driver = GroupDriver(desired=4)
    start(driver, warmup=60)
    driver.sleep(60)
    driver.sleep(30)
    assert versions(driver) == {"1": 2, "2": 2}
    driver.group.roll_back_refresh(driver.now)
    driver.sleep(0)
    assert (last(driver).status, last(driver).rollback) == (
        "RollbackInProgress",
        fleet.Rollback("Manual rollback was initiated by user request.", driver.now, 25, 3, 2),
    )
    driver.sleep(60)
    assert 0 < last(driver).percentage < 25
    driver.sleep(60)
    assert (last(driver).status, last(driver).percentage, versions(driver)) == ("RollbackSuccessful", 0, {"1": 4})
    assert {"i-3", "i-4"} <= set(driver.states())


def test_a_rollback_while_launching_first_keeps_the_old_instances() -> None:
    driver = GroupDriver(desired=2)
    driver.group.put_hook(BOOT)
    start(driver, min_healthy=100)
    assert driver.states() == {"i-1": "InService", "i-2": "InService", "i-3": "Pending:Wait"}
    driver.group.roll_back_refresh(driver.now)
    driver.sleep(0)
    assert (driver.states(), last(driver).status) == ({"i-1": "InService", "i-2": "InService"}, "RollbackSuccessful")


def test_a_rollback_needs_a_configuration_and_a_numbered_version() -> None:
    driver = GroupDriver(desired=2)
    with refused("ActiveInstanceRefreshNotFound"):
        driver.group.roll_back_refresh(driver.now)
    start(driver, desired=None, warmup=60)
    with refused("IrreversibleInstanceRefresh"):
        driver.group.roll_back_refresh(driver.now)
    other = GroupDriver(desired=2)
    other.change(template=fleet.Template("lt-1", "workers", "$Latest"))
    start(other, warmup=60)
    with refused("IrreversibleInstanceRefresh"):
        other.group.roll_back_refresh(other.now)


@pytest.mark.parametrize("auto", [True, False])
def test_an_hour_of_failing_boots_fails_the_refresh_and_rolls_it_back_where_asked(auto: bool) -> None:
    driver = GroupDriver(desired=2)
    start(driver, warmup=600, auto_rollback=auto)
    driver.sleep(600)
    driver.sleep(600)
    assert last(driver).status == "Successful"
    driver.group.put_hook(BOOT)
    start(driver, desired=fleet.Template("lt-1", "workers", "3"), auto_rollback=auto)
    for _ in range(7):  # every boot is abandoned after 600 seconds
        driver.sleep(600)
    if not auto:
        assert last(driver).status == "Failed"
        assert "did not come into service" in str(last(driver).reason)
        return
    assert last(driver).status == "RollbackInProgress"
    driver.do(driver.group.delete_hook("boot", driver.now))
    driver.sleep(300)
    driver.sleep(300)
    assert (last(driver).status, versions(driver)) == ("RollbackSuccessful", {"2": 2})


def test_an_instance_launched_while_a_refresh_runs_has_its_configuration() -> None:
    driver = GroupDriver(desired=2)
    start(driver, warmup=60)
    driver.set_desired(3)
    assert versions(driver) == {"1": 1, "2": 2}


def test_a_suspended_instance_refresh_pauses() -> None:
    driver = GroupDriver(desired=2)
    driver.group.suspend(["InstanceRefresh"], driver.now)
    start(driver)
    assert (last(driver).status, driver.terminated) == ("Pending", [])
    driver.do(driver.group.resume(["InstanceRefresh"], driver.now))
    assert last(driver).status == "Successful"


# --- checkpoints of a group that changes ------------------------------------------------------------------------


def test_of_checkpoints_that_are_reached_together_only_the_last_pauses() -> None:
    driver = GroupDriver(desired=2)
    start(driver, checkpoints=(10, 40, 100), checkpoint_delay=600)
    assert "Reached the checkpoint at 40%" in str(last(driver).reason)
    driver.sleep(600)
    assert (last(driver).status, versions(driver)) == ("Successful", {"2": 2})


def test_checkpoints_are_percentages_of_the_group_with_what_matches_already() -> None:
    driver = GroupDriver(desired=1)
    driver.change(template=NEW)
    driver.set_desired(4)  # three are new
    driver.change(template=fleet.Template("lt-1", "workers", "1"))
    driver.set_desired(6)
    start(driver, skip_matching=True, min_healthy=0, checkpoints=(50, 60, 100), checkpoint_delay=600)
    assert (versions(driver), last(driver).percentage) == ({"1": 3, "2": 3}, 0)
    assert "Reached the checkpoint at 50%" in str(last(driver).reason)
    driver.sleep(600)
    assert versions(driver) == {"1": 2, "2": 4}
    driver.sleep(600)
    assert (last(driver).status, versions(driver)) == ("Successful", {"2": 6})


@pytest.mark.parametrize("how", ["protected", "standby"])
def test_an_ignored_instance_is_not_a_new_one_for_a_checkpoint(how: str) -> None:
    driver = GroupDriver(desired=4)
    if how == "protected":
        driver.protect("i-1")
    else:
        driver.do(driver.group.enter_standby(["i-1"], False, driver.now)[1])
    start(driver, min_healthy=0, protected="Ignore", standby="Ignore", checkpoints=(50, 100), checkpoint_delay=600)
    assert (versions(driver), "Reached the checkpoint at 50%" in str(last(driver).reason)) == ({"1": 2, "2": 2}, True)
    assert last(driver).percentage == (66 if how == "protected" else 50)
    driver.sleep(600)
    assert (last(driver).status, last(driver).percentage) == ("Successful", 100)
    assert "i-1" in driver.states()


def test_after_a_scale_out_a_checkpoint_is_reached_again() -> None:
    driver = GroupDriver(desired=4)
    start(driver, min_healthy=0, warmup=60, checkpoints=(50, 100), checkpoint_delay=600)
    driver.sleep(60)
    assert "Reached the checkpoint at 50%" in str(last(driver).reason)
    driver.sleep(590)
    driver.set_desired(8)  # four more of the new version, which have to warm up
    driver.sleep(10)
    assert (versions(driver), last(driver).status) == ({"1": 2, "2": 6}, "InProgress")
    driver.sleep(50)
    assert "Reached the checkpoint at 50%" in str(last(driver).reason)
    driver.sleep(600)
    driver.sleep(60)
    assert (versions(driver), last(driver).status) == ({"2": 8}, "Successful")


def test_a_scale_in_leaves_less_to_replace() -> None:
    driver = GroupDriver(desired=4)
    driver.group.put_hook(BOOT)
    start(driver, min_healthy=100, max_healthy=110)
    driver.set_desired(1)
    driver.complete("boot", "CONTINUE", "i-5")
    assert (versions(driver), last(driver).status, driver.group.settings.template) == ({"2": 1}, "Successful", NEW)


# --- nothing to replace, and what has to stay in service --------------------------------------------------------


def test_a_refresh_with_nothing_to_replace_succeeds_at_once_and_moves_the_groups_template() -> None:
    driver = GroupDriver()
    driver.change(template=NEW)
    driver.set_desired(2)
    driver.change(template=fleet.Template("lt-1", "workers", "1"))
    start(driver, skip_matching=True, min_healthy=100, max_healthy=110, auto_rollback=True)
    assert (last(driver).status, last(driver).left, driver.terminated) == ("Successful", 0, [])
    assert driver.group.settings.template == NEW


@pytest.mark.parametrize("desired", [1, 5, 9, 10])
def test_at_100_to_110_percent_one_is_launched_before_one_terminates_however_small_the_group(desired: int) -> None:
    driver = GroupDriver(desired=desired)
    driver.group.put_hook(BOOT)
    start(driver, min_healthy=100, max_healthy=110)
    assert Counter(driver.states().values()) == {"InService": desired, "Pending:Wait": 1}
    driver.complete("boot", "CONTINUE", f"i-{desired + 1}")
    assert driver.terminated == ["i-1"]


def test_a_refresh_fails_after_fourteen_days() -> None:
    driver = GroupDriver(desired=4)
    start(driver, checkpoints=(25, 50, 75, 100), checkpoint_delay=172_800, warmup=3600)
    for _ in range(13 * 4):
        driver.group.suspend(["Launch"], driver.now)  # so that an hour of failures does not end it first
        driver.sleep(6 * 3600)
    assert last(driver).status == "InProgress"
    driver.sleep(86_400)
    assert (last(driver).status, last(driver).reason) == (
        "Failed",
        "Instance refresh failed: it did not complete within 14 days.",
    )


# --- cancel, roll back, update ----------------------------------------------------------------------------------


def test_a_cancelled_refresh_waits_for_a_replaced_instance_to_drain_and_launches_its_configuration_until_then() -> None:
    driver = GroupDriver(desired=2)
    driver.group.put_hook(DRAIN)
    start(driver, min_healthy=100, max_healthy=110, checkpoints=(50, 100), checkpoint_delay=600)
    assert driver.states() == {"i-1": "Terminating:Wait", "i-2": "InService", "i-3": "InService"}
    driver.group.cancel_refresh(True, driver.now)
    driver.sleep(100)
    assert last(driver).status == "Cancelling"
    driver.set_desired(3)
    assert versions(driver) == {"1": 1, "2": 2}
    driver.complete("drain", "CONTINUE", "i-1")
    driver.sleep(0)
    assert (last(driver).status, driver.group.settings.template.version) == ("Cancelled", "1")


def test_a_refresh_cancelled_without_waiting_ends_at_once_and_the_drain_goes_on() -> None:
    driver = GroupDriver(desired=2)
    driver.group.put_hook(DRAIN)
    start(driver, min_healthy=100, max_healthy=110, checkpoints=(50, 100), checkpoint_delay=600)
    driver.group.cancel_refresh(False, driver.now)
    assert (last(driver).status, driver.states()["i-1"]) == ("Cancelled", "Terminating:Wait")
    driver.set_desired(3)
    assert versions(driver) == {"1": 2, "2": 1}


def test_a_rollback_leaves_what_skip_matching_had_skipped() -> None:
    driver = GroupDriver()
    driver.change(template=NEW)
    driver.set_desired(1)
    driver.change(template=fleet.Template("lt-1", "workers", "1"))
    driver.set_desired(4)
    driver.now += 60
    start(driver, skip_matching=True, min_healthy=50, warmup=60)
    driver.sleep(10)
    assert versions(driver) == {"1": 1, "2": 3}
    driver.group.roll_back_refresh(driver.now)
    for _ in range(4):
        driver.sleep(60)
    assert (last(driver).status, versions(driver)) == ("RollbackSuccessful", {"1": 3, "2": 1})
    assert "i-1" in driver.states()


def test_a_rollback_also_replaces_what_a_scale_out_launched_meanwhile() -> None:
    driver = GroupDriver(desired=2)
    start(driver, warmup=60)
    driver.set_desired(4)
    assert versions(driver) == {"1": 1, "2": 3}
    driver.group.roll_back_refresh(driver.now)
    for _ in range(5):
        driver.sleep(60)
    assert (last(driver).status, versions(driver)) == ("RollbackSuccessful", {"1": 4})


def test_a_rollback_can_be_cancelled() -> None:
    driver = GroupDriver(desired=2)
    start(driver, warmup=60)
    driver.group.roll_back_refresh(driver.now)
    driver.group.cancel_refresh(True, driver.now)
    driver.sleep(0)
    assert last(driver).status == "Cancelled"


def test_while_a_desired_configuration_is_deployed_no_launch_template_can_be_named() -> None:
    driver = GroupDriver(desired=2)
    start(driver, desired=None, warmup=60)
    driver.group.check_launch_template_update()
    driver.group.cancel_refresh(False, driver.now)
    start(driver, warmup=60)
    with refused(match="An active instance refresh with a desired configuration exists"):
        driver.group.check_launch_template_update()
    driver.group.roll_back_refresh(driver.now)
    with refused(match="An active instance refresh with a desired configuration exists"):
        driver.group.check_launch_template_update()


# --- alarms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({}, "alarm errors does not exist"),
        ({"errors": "ALARM"}, "alarm errors is in the ALARM state"),
        ({"errors": "INSUFFICIENT_DATA"}, "alarm errors is in the INSUFFICIENT_DATA state"),
    ],
    ids=str,
)
def test_a_refresh_does_not_start_unless_its_alarms_are_ok(states: dict[str, str], message: str) -> None:
    driver = GroupDriver(desired=2)
    with refused(match=message):
        driver.group.start_refresh(fleet.Preferences(alarms=("errors",)), NEW, NEW, driver.now, states)
    assert driver.group.refreshes == {}


def alarmed(driver: GroupDriver, **preferences: Any) -> None:
    """A refresh that has replaced one of two instances, and whose alarm is OK."""
    watched = fleet.Preferences(alarms=("errors",), warmup=60, **preferences)
    driver.group.start_refresh(watched, NEW, NEW, driver.now, {"errors": "OK"})
    driver.sleep(0)


@pytest.mark.parametrize("paused", [True, False])
def test_an_alarm_fails_a_refresh_also_while_it_pauses(paused: bool) -> None:
    driver = GroupDriver(desired=2)
    alarmed(driver, **({"checkpoints": (50, 100), "checkpoint_delay": 600} if paused else {}))
    driver.sleep(60 if paused else 10)
    driver.do(driver.group.set_alarms({"errors": "ALARM"}, driver.now))
    assert (last(driver).status, last(driver).reason) == (
        "Failed",
        "Instance refresh failed: CloudWatch alarm errors is in the ALARM state.",
    )
    driver.sleep(600)
    assert versions(driver) == {"1": 1, "2": 1}


def test_an_alarm_rolls_back_where_asked_and_does_not_fail_the_rollback() -> None:
    driver = GroupDriver(desired=2)
    alarmed(driver, auto_rollback=True)
    driver.do(driver.group.set_alarms({"errors": "ALARM"}, driver.now))
    assert last(driver).status == "RollbackInProgress"
    assert "CloudWatch alarm errors is in the ALARM state" in str(last(driver).rollback)
    for _ in range(3):
        driver.sleep(60)
    assert (last(driver).status, versions(driver)) == ("RollbackSuccessful", {"1": 2})


def test_an_alarm_without_data_stops_replacements_until_it_has_data() -> None:
    driver = GroupDriver(desired=2)
    alarmed(driver)
    driver.do(driver.group.set_alarms({"errors": "INSUFFICIENT_DATA"}, driver.now))
    driver.sleep(3 * HOUR)
    assert (last(driver).status, versions(driver)) == ("InProgress", {"1": 1, "2": 1})
    assert last(driver).reason == "Waiting for data of CloudWatch alarm errors."
    driver.do(driver.group.set_alarms({"errors": "OK"}, driver.now))
    driver.sleep(60)
    assert last(driver).status == "Successful"


def test_an_alarm_during_the_bake_time_fails_the_refresh() -> None:
    driver = GroupDriver(desired=1)
    alarmed(driver, bake=600)
    driver.sleep(60)
    assert last(driver).status == "Baking"
    driver.do(driver.group.set_alarms({"errors": "ALARM"}, driver.now))
    assert (last(driver).status, driver.group.settings.template.version) == ("Failed", "1")
