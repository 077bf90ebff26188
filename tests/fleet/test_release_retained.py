"""release_retained.yml: lists what was kept for an operator to look at, and ends what the operator names."""

from __future__ import annotations

import time

import pytest

from tests.fleet.fleet import LOGS
from tests.fleet.healthy import HealthyFleet

PLAYBOOK = "playbooks/release_retained.yml"
LOST = 'level=error event=job_lost job="0f8fad5b"'


@pytest.fixture
def retained(fleet: HealthyFleet) -> list[str]:
    """Two retained instances; the first one's journal is in the log group."""
    ids = fleet.in_service()
    for id in ids:
        fleet.terminate(id, "ABANDON")
    fleet.wait_for_launches()
    logs, stream = fleet.client("logs"), f"{ids[0]}-journal"
    logs.create_log_stream(logGroupName=LOGS, logStreamName=stream)
    now = int(time.time() * 1000)
    events = [{"timestamp": now + n, "message": message} for n, message in enumerate(["event=drain", LOST])]
    logs.put_log_events(logGroupName=LOGS, logStreamName=stream, logEvents=events)
    fleet.clear_trace()
    return ids


def test_they_are_listed_with_their_journals_and_nothing_is_ended(fleet: HealthyFleet, retained: list[str]) -> None:
    listed = fleet.play(PLAYBOOK)
    assert (listed.returncode, listed.changed, fleet.writes()) == (0, 0, []), listed
    for text in (*retained, "2 instances retained, 2.00 USD a day", LOST, "no lines of its journal", "fleet_release="):
        assert text in listed.stdout, listed


def test_the_named_one_is_ended_and_the_other_stays(fleet: HealthyFleet, retained: list[str]) -> None:
    ended, kept = retained
    checked = fleet.play(PLAYBOOK, "--check", fleet_release=ended)
    assert (checked.changed, fleet.writes()) == (1, []), checked
    for changed in (1, 0):  # the second time it has left
        run = fleet.play(PLAYBOOK, fleet_release=ended)
        assert (run.returncode, run.changed) == (0, changed), run
    assert fleet.instance_state(ended) == "terminated"
    assert [i["InstanceId"] for i in fleet.group()["Instances"] if i["LifecycleState"] == "Terminating:Retained"] == [
        kept
    ]
    assert fleet.group()["DesiredCapacity"] == len(fleet.in_service()) == len(retained)


def test_an_instance_in_service_is_refused_before_any_is_ended(fleet: HealthyFleet, retained: list[str]) -> None:
    serving = fleet.in_service()[0]
    run = fleet.play(PLAYBOOK, fleet_release=f"{retained[0]},{serving}")
    assert f"{serving} is InService. Nothing was ended." in run.message, run
    assert fleet.writes() == []
