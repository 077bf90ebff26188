"""Instance refresh: batches, warmup, checkpoints, held members, cancellation, rollback."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from unit.world import BOOT, DRAIN, World, refused

from localcloud import fleet

NEW = fleet.Template("lt-1", "workers", "2")
HOUR = 3600


def start(world: World, *, desired: fleet.Template | None = NEW, **preferences: Any) -> str:
    """StartInstanceRefresh and its first step; returns its id."""
    to = desired or world.group.settings.template
    refresh = world.group.start_refresh(fleet.Preferences(**preferences), desired, to, world.now)
    assert refresh.status == "Pending"
    world.sleep(0)
    return refresh.id


def last(world: World) -> fleet.Refresh:
    """The newest refresh."""
    return list(world.group.refreshes.values())[-1]


def versions(world: World) -> dict[str, int]:
    """Counted members by template version."""
    return dict(
        Counter(i.template.version for i in world.group.instances.values() if i.template and i.state in fleet.COUNTED)
    )


def test_a_refresh_replaces_everybody_and_the_group_adopts_the_configuration() -> None:
    world = World(desired=4)
    start(world)
    assert (last(world).status, last(world).percentage, last(world).left) == ("Successful", 100, 0)
    assert (versions(world), world.group.settings.template, len(world.ended)) == ({"2": 4}, NEW, 4)


def test_ninety_percent_of_a_large_group_stay_and_of_a_small_one_all_but_one() -> None:
    for desired, away in ((10, 1), (30, 3), (4, 1), (1, 1)):
        world = World(max_size=30, desired=desired)
        world.group.put_hook(BOOT)
        start(world)
        assert Counter(world.states().values()) == Counter({"InService": desired - away, "Pending:Wait": away})


def test_min_healthy_zero_replaces_all_at_once() -> None:
    world = World(desired=5)
    world.group.put_hook(BOOT)
    start(world, min_healthy=0)
    assert Counter(world.states().values()) == {"Pending:Wait": 5}


@pytest.mark.parametrize(
    "preferences",
    [{"min_healthy": 100}, {"min_healthy": 100, "max_healthy": 100}, {"min_healthy": 99, "max_healthy": 100}],
)
def test_where_the_bounds_leave_no_room_one_is_launched_before_one_ends(preferences: dict[str, Any]) -> None:
    world = World(desired=3)
    world.group.put_hook(BOOT)
    start(world, **preferences)
    assert Counter(world.states().values()) == {"InService": 3, "Pending:Wait": 1}
    world.complete("boot", "CONTINUE", "i-4")
    assert (world.ended, Counter(world.states().values())) == (["i-1"], {"InService": 3, "Pending:Wait": 1})


def test_max_healthy_launches_that_many_more() -> None:
    world = World(max_size=10, desired=10)
    world.group.put_hook(BOOT)
    start(world, min_healthy=100, max_healthy=130)
    assert Counter(world.states().values()) == {"InService": 10, "Pending:Wait": 3}


def test_the_next_batch_waits_for_the_warmup() -> None:
    world = World(desired=2)
    start(world, warmup=120)
    assert set(world.states()) == {"i-2", "i-3"}
    assert last(world).reason == "Waiting for instances to warm up before continuing. For example: i-3 is warming up."
    world.sleep(119)
    assert (set(world.states()), last(world).percentage) == ({"i-2", "i-3"}, 0)
    world.sleep(1)
    assert (set(world.states()), last(world).percentage, last(world).left) == ({"i-3", "i-4"}, 50, 1)
    world.sleep(120)
    assert last(world).status == "Successful"


def test_the_defaults_come_from_the_groups_settings() -> None:
    world = World(desired=1, health_check_grace_period=300, min_healthy_percentage=50, max_healthy_percentage=120)
    start(world)
    taken = last(world).preferences
    assert (taken.min_healthy, taken.max_healthy, taken.warmup) == (50, 120, 300)
    other = World(desired=1, health_check_grace_period=300, default_instance_warmup=0)
    start(other)
    taken = last(other).preferences
    assert (taken.min_healthy, taken.max_healthy, taken.warmup, taken.checkpoint_delay) == (90, None, 0, None)


def test_skip_matching_spares_who_has_the_configuration_already() -> None:
    world = World(desired=1)
    world.change(template=NEW)
    world.desire(3)
    start(world, skip_matching=True)
    assert (world.ended, last(world).status, last(world).total) == (["i-1"], "Successful", 1)


def test_a_refresh_without_a_configuration_replaces_all_from_the_groups_own_template() -> None:
    world = World(desired=2)
    start(world, desired=None)
    assert (len(world.ended), versions(world)) == (2, {"1": 2})


def test_an_empty_group_is_refreshed_at_once() -> None:
    world = World()
    start(world, checkpoints=(50, 100))
    assert (last(world).status, last(world).percentage, world.group.settings.template) == ("Successful", 100, NEW)


def test_a_checkpoint_pauses_and_its_delay_goes_on() -> None:
    world = World(desired=4)
    start(world, min_healthy=0, checkpoints=(50, 100), checkpoint_delay=600)
    assert (versions(world), last(world).status, last(world).percentage) == ({"1": 2, "2": 2}, "InProgress", 50)
    assert "Reached the checkpoint at 50%" in str(last(world).reason)
    world.sleep(599)
    assert versions(world) == {"1": 2, "2": 2}
    world.sleep(1)
    assert (versions(world), last(world).status) == ({"2": 4}, "Successful")


def test_a_last_checkpoint_below_a_hundred_ends_the_refresh_there() -> None:
    world = World(desired=4)
    start(world, checkpoints=(25,))
    assert (versions(world), last(world).status, last(world).percentage) == ({"1": 3, "2": 1}, "Successful", 25)


def test_the_bake_time_ends_a_refresh_later() -> None:
    world = World(desired=1)
    start(world, bake=300)
    assert (last(world).status, world.group.settings.template.version) == ("Baking", "1")
    world.sleep(300)
    assert (last(world).status, world.group.settings.template.version) == ("Successful", "2")


def test_protected_members_are_waited_for_and_replaced_once_they_are_free() -> None:
    world = World(desired=2)
    world.protect("i-1")
    start(world)
    assert (world.ended, last(world).status) == (["i-2"], "InProgress")
    assert (
        last(world).reason
        == "Waiting for remaining instances to be available. For example: i-1 is protected from scale in."
    )
    world.sleep(HOUR - 1)
    world.protect("i-1", protected=False)
    assert (world.ended, last(world).status) == (["i-2", "i-1"], "Successful")


@pytest.mark.parametrize("how", ["protected", "standby"])
def test_an_hour_of_waiting_for_a_held_member_fails_the_refresh(how: str) -> None:
    world = World(desired=2)
    if how == "protected":
        world.protect("i-1")
    else:
        world.do(world.group.enter_standby(["i-1"], True, world.now)[1])
    start(world)
    world.sleep(HOUR - 1)
    assert last(world).status == "InProgress"
    world.sleep(1)
    assert last(world).status == "Failed"
    assert "i-1" in str(last(world).reason)
    assert world.group.settings.template.version == "1"


def test_protected_members_can_be_ignored_or_replaced_all_the_same() -> None:
    world = World(desired=2)
    world.protect("i-1")
    start(world, protected="Ignore")
    assert (world.ended, last(world).status, last(world).percentage) == (["i-2"], "Successful", 100)
    start(world, protected="Refresh")
    assert (set(world.ended), last(world).status) == ({"i-1", "i-2", "i-3"}, "Successful")


def test_protected_members_are_replaced_launching_first_too() -> None:
    world = World(desired=1)
    world.protect("i-1")
    start(world, min_healthy=100, protected="Refresh")
    assert (world.ended, last(world).status) == (["i-1"], "Successful")


def test_standby_members_can_be_ignored_or_ended() -> None:
    for preference, ended in (("Ignore", ["i-2"]), ("Terminate", ["i-1", "i-2"])):
        world = World(desired=2)
        world.do(world.group.enter_standby(["i-1"], True, world.now)[1])
        start(world, standby=preference)
        assert (world.ended, last(world).status) == (ended, "Successful")


def test_members_that_are_replaced_meet_the_termination_hook() -> None:
    world = World(desired=2)
    world.group.put_hook(DRAIN)
    start(world)
    assert Counter(world.states().values()) == {"Terminating:Wait": 2, "InService": 2}
    assert last(world).status == "Successful"


def test_a_second_refresh_is_refused_while_one_runs() -> None:
    world = World(desired=2)
    start(world, warmup=60)
    with refused("InstanceRefreshInProgress", "An Instance Refresh is already in progress"):
        start(world)


@pytest.mark.parametrize(
    ("wrong", "says"),
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
def test_preferences_that_aws_refuses_are_refused(wrong: dict[str, Any], says: str) -> None:
    world = World(desired=1)
    with refused(match=says):
        start(world, **wrong)
    assert world.group.refreshes == {}


def test_a_cancelled_refresh_ends_what_is_under_way_and_starts_nothing_new() -> None:
    world = World(desired=3)
    world.group.put_hook(BOOT)
    start(world)
    world.group.cancel_refresh(True, world.now)
    world.sleep(0)
    assert (last(world).status, last(world).reason) == ("Cancelling", "Cancelled due to user request.")
    world.complete("boot", "CONTINUE", "i-4")
    assert (last(world).status, versions(world)) == ("Cancelled", {"1": 2, "2": 1})
    assert world.group.settings.template.version == "1"
    with refused("ActiveInstanceRefreshNotFound"):
        world.group.cancel_refresh(True, world.now)


def test_a_refresh_can_be_cancelled_without_waiting() -> None:
    world = World(desired=3)
    world.group.put_hook(BOOT)
    start(world)
    world.group.cancel_refresh(False, world.now)
    assert last(world).status == "Cancelled"


def test_a_rollback_brings_the_old_configuration_back_and_replaces_only_what_was_replaced() -> None:
    world = World(desired=4)
    start(world, warmup=60)
    world.sleep(60)
    world.sleep(30)
    assert versions(world) == {"1": 2, "2": 2}
    world.group.roll_back_refresh(world.now)
    world.sleep(0)
    assert (last(world).status, last(world).rollback) == (
        "RollbackInProgress",
        fleet.Rollback("Manual rollback was initiated by user request.", world.now, 25, 3, 2),
    )
    world.sleep(60)
    assert 0 < last(world).percentage < 25
    world.sleep(60)
    assert (last(world).status, last(world).percentage, versions(world)) == ("RollbackSuccessful", 0, {"1": 4})
    assert {"i-3", "i-4"} <= set(world.states())


def test_a_rollback_while_launching_first_keeps_the_old_members() -> None:
    world = World(desired=2)
    world.group.put_hook(BOOT)
    start(world, min_healthy=100)
    assert world.states() == {"i-1": "InService", "i-2": "InService", "i-3": "Pending:Wait"}
    world.group.roll_back_refresh(world.now)
    world.sleep(0)
    assert (world.states(), last(world).status) == ({"i-1": "InService", "i-2": "InService"}, "RollbackSuccessful")


def test_a_rollback_needs_a_configuration_and_a_numbered_version() -> None:
    world = World(desired=2)
    with refused("ActiveInstanceRefreshNotFound"):
        world.group.roll_back_refresh(world.now)
    start(world, desired=None, warmup=60)
    with refused("IrreversibleInstanceRefresh"):
        world.group.roll_back_refresh(world.now)
    other = World(desired=2)
    other.change(template=fleet.Template("lt-1", "workers", "$Latest"))
    start(other, warmup=60)
    with refused("IrreversibleInstanceRefresh"):
        other.group.roll_back_refresh(other.now)


@pytest.mark.parametrize("auto", [True, False])
def test_an_hour_of_failing_boots_fails_the_refresh_and_rolls_it_back_where_asked(auto: bool) -> None:
    world = World(desired=2)
    start(world, warmup=600, auto_rollback=auto)
    world.sleep(600)
    world.sleep(600)
    assert last(world).status == "Successful"
    world.group.put_hook(BOOT)
    start(world, desired=fleet.Template("lt-1", "workers", "3"), auto_rollback=auto)
    for _ in range(7):  # every boot is abandoned after 600 seconds
        world.sleep(600)
    if not auto:
        assert last(world).status == "Failed"
        assert "did not come into service" in str(last(world).reason)
        return
    assert last(world).status == "RollbackInProgress"
    world.do(world.group.delete_hook("boot", world.now))
    world.sleep(300)
    world.sleep(300)
    assert (last(world).status, versions(world)) == ("RollbackSuccessful", {"2": 2})


def test_an_instance_launched_while_a_refresh_runs_has_its_configuration() -> None:
    world = World(desired=2)
    start(world, warmup=60)
    world.desire(3)
    assert versions(world) == {"1": 1, "2": 2}


def test_a_suspended_instance_refresh_stands_still() -> None:
    world = World(desired=2)
    world.group.suspend(["InstanceRefresh"], world.now)
    start(world)
    assert (last(world).status, world.ended) == ("Pending", [])
    world.do(world.group.resume(["InstanceRefresh"], world.now))
    assert last(world).status == "Successful"
