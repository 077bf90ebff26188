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
