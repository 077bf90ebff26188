"""A drain that lost a job keeps its instance, unless the group has retained as many as it may."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ghosthands_agent.ports import Member, Refused, Unavailable
from ghosthands_agent.retention import RETAINED, SHIP_SECONDS
from ghosthands_agent.watch import watch
from model.agent_conf import SETTINGS
from unit.simulated_instance import SimulatedInstance

SHIPPED = replace(SETTINGS, log_group="/wekruit/gh-worker")
HOOK = SETTINGS.termination_hook


def retained(number: int) -> list[Member]:
    return [Member(f"i-{each:017x}", RETAINED, True, "lt:1") for each in range(number)]


def drained(instance: SimulatedInstance, seconds: float = 400) -> list[tuple[str, str]]:
    """What becomes of the hook where the worker is killed with a job inside."""
    instance.start_worker(job_seconds=1000)
    instance.state = "Terminating:Wait"
    procedure = watch(instance.ports(), instance.settings)
    instance.follow(procedure, 5)
    instance.terminate()
    instance.host.container.stopped_by_hand = True
    instance.after(1, instance.host.kill_worker, "killed")
    instance.follow(procedure, seconds)
    return list(instance.completions)


@pytest.mark.parametrize(("number", "result"), [(0, "ABANDON"), (2, "ABANDON"), (3, "CONTINUE"), (40, "CONTINUE")])
def test_the_instance_is_retained_below_the_limit_and_ends_at_it(number: int, result: str) -> None:
    instance = SimulatedInstance()
    instance.others = retained(number)
    assert drained(instance) == [(HOOK, result)]
    assert len(instance.steps("retained_limit")) == (result == "CONTINUE")


def test_a_limit_of_none_retains_none() -> None:
    instance = SimulatedInstance(replace(SETTINGS, retained_max=0))
    assert drained(instance) == [(HOOK, "CONTINUE")]


def test_its_logs_are_shipped_before_it_ends() -> None:
    instance = SimulatedInstance(SHIPPED)
    instance.others = retained(3)
    assert drained(instance) == [(HOOK, "CONTINUE")]
    (limit,) = [at for at, event, _ in instance.journal if event == "retained_limit"]
    (done,) = [at for at, event, _ in instance.journal if event == "hook_completed"]
    assert done - limit >= SHIP_SECONDS
    assert instance.called[instance.called.index("group_state") :].count("flush") == 1


def test_where_no_logs_are_shipped_the_journal_says_that_they_go_with_it() -> None:
    instance = SimulatedInstance()
    instance.others = retained(3)
    drained(instance)
    assert instance.steps("retained_limit") == [
        {"retained": 3, "limit": 3, "logs": "none: the logs go with the instance"}
    ]


@pytest.mark.parametrize(
    "error",
    [Unavailable("autoscaling", "Throttling"), Refused("autoscaling", "AccessDenied")],
    ids=lambda each: each.code,
)
def test_a_group_that_cannot_be_read_is_no_reason_to_end_the_instance(error: Refused | Unavailable) -> None:
    instance = SimulatedInstance(faults={"group_state": [error] * 10_000})
    instance.others = retained(3)
    assert drained(instance) == [(HOOK, "ABANDON")]
    assert instance.steps("retained_unknown")[0]["code"] == error.code
    assert instance.timed_out == []


def test_a_drain_that_lost_nothing_reads_no_group() -> None:
    instance = SimulatedInstance()
    instance.start_worker()
    procedure = watch(instance.ports(), SETTINGS)
    instance.follow(procedure, 5)
    instance.terminate()
    instance.follow(procedure, 60)
    assert instance.completions == [(HOOK, "CONTINUE")]
    assert "group_state" not in instance.called


def test_instances_that_end_together_take_turns_and_go_on_sending_heartbeats() -> None:
    instance = SimulatedInstance(replace(SETTINGS, heartbeat_timeout_seconds=30))
    instance.others = [Member(f"i-{each:017x}", "Terminating:Wait", True, "lt:1") for each in range(4)]
    assert drained(instance) == [(HOOK, "ABANDON")]
    assert instance.timed_out == []
