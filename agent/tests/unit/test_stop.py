"""The procedure `stop` at a shutdown: the worker first, no call about hooks, within the limits of systemd."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from ghosthands_agent.ports import Unavailable
from ghosthands_agent.settings import RANGES
from ghosthands_agent.stop import stop, unit_limits
from model.agent_conf import SETTINGS
from model.worker import Guard
from unit.simulated_instance import SimulatedInstance

GONE = Unavailable("docker", "exit 1")


ATTACHED = Guard()
Mode = Literal["legacy", "queue"]
#: Where a second signal puts the job back.
each_release = pytest.mark.parametrize(("mode", "guard"), [("legacy", None), ("legacy", ATTACHED), ("queue", ATTACHED)])


def serving(mode: Mode = "queue", job_seconds: float | None = None, guard: Guard | None = None) -> SimulatedInstance:
    instance = SimulatedInstance()
    instance.start_worker(mode, job_seconds=job_seconds, guard=guard)
    return instance


def stopped(instance: SimulatedInstance) -> tuple[int, float]:
    began = instance.now
    return instance.run(stop(instance.ports(), instance.settings), 1e5), instance.now - began


def test_an_idle_host_stops_within_seconds_the_worker_first() -> None:
    instance = serving()
    code, seconds = stopped(instance)
    assert (code, instance.container.exit_code, not instance.host.others_run) == (0, 0, True)
    assert seconds < 2
    assert instance.called.index("terminate") < instance.called.index("stop")


@each_release
def test_a_running_job_is_put_back_at_once(mode: Mode, guard: Guard | None) -> None:
    instance = serving(mode, job_seconds=1000, guard=guard)
    code, seconds = stopped(instance)
    assert (code, instance.job_results, len(instance.steps("job_put_back"))) == (0, ["released"], 1)
    assert seconds < (2 if guard else 4)  # the row of a job that was just taken is not written yet


@pytest.mark.parametrize(("job_seconds", "lost"), [(5, 0), (1000, 1)])
def test_a_queue_worker_without_a_guard_gets_one_signal_and_its_ten_seconds(job_seconds: float, lost: int) -> None:
    instance = serving("queue", job_seconds=job_seconds)
    code, seconds = stopped(instance)
    assert (code, instance.container.signals, len(instance.steps("job_lost"))) == (0, 1, lost)
    assert seconds < 12


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(("job_seconds", "lost"), [(9, 0), (1000, 1)])
def test_queue_a_worker_that_a_drain_has_signalled_gets_no_second_signal(
    recorded: bool, job_seconds: float, lost: int
) -> None:
    """Schedules 1118 and 2174 of seed 2027: a reboot a few seconds after the drain's limit."""
    instance = serving("queue", job_seconds=job_seconds)
    if recorded:
        instance.host.flags["stopping"] = instance.now
    instance.host.signal_worker("a drain")
    instance.advance(3)
    code, seconds = stopped(instance)
    assert (code, instance.container.signals, len(instance.steps("job_lost"))) == (0, 1, lost)
    assert "released" not in instance.job_results
    assert seconds < 10


def test_queue_a_worker_that_was_only_asked_to_drain_gets_its_signal() -> None:
    instance = serving("queue", job_seconds=20)
    instance.worker.drain(instance.now)
    code, seconds = stopped(instance)
    assert (code, instance.container.signals, instance.job_results) == (0, 1, ["finished"])
    assert 20 < seconds < 24


def test_a_job_that_waits_for_a_review_is_left_for_it() -> None:
    instance = serving("queue", guard=ATTACHED)
    instance.submit_job(5, review=True)
    instance.advance(10)
    assert stopped(instance)[0] == 0
    assert [line["job"] for line in instance.steps("job_left_for_review")] == ["job-1"]


def test_a_worker_that_drains_by_itself_gets_time_to_finish() -> None:
    instance = SimulatedInstance(replace(SETTINGS, drain_policy="sigterm", worker_guard="off"))
    instance.start_worker(job_seconds=20, drains_itself=True)
    assert stopped(instance)[0] == 0
    assert instance.job_results == ["finished"]


def test_a_reboot_touches_neither_hook_nor_protection() -> None:
    instance = serving()
    stopped(instance)
    assert not {"complete", "heartbeat", "protect", "set_flag"} & set(instance.called)


@each_release
def test_killed_at_any_call_and_run_again_everything_is_down_and_the_job_put_back(
    mode: Mode, guard: Guard | None
) -> None:
    whole = serving(mode, job_seconds=1000, guard=guard)
    stopped(whole)
    for call in range(1, whole.call_count + 1):
        for moment in ("before", "after"):
            instance = serving(mode, job_seconds=1000, guard=guard)
            instance.kill(stop(instance.ports(), instance.settings), call, moment)
            assert stopped(instance)[0] == 0
            assert (instance.job_results, not instance.host.others_run) == (["released"], True), (call, moment)


def test_a_host_without_containers_is_stopped() -> None:
    assert stopped(SimulatedInstance())[0] == 0


def test_a_worker_that_was_down_before_the_shutdown_has_lost_nothing() -> None:
    instance = serving()
    instance.host.stop_container("by somebody", 0.0)
    instance.advance(100)
    stopped(instance)
    assert [event for _, event, _ in instance.journal if event.startswith("job_")] == []


def test_a_stop_that_fails_exits_with_1() -> None:
    instance = serving()
    instance.faults = {call: [GONE] * 10_000 for call in ("terminate", "services", "stop")}
    assert stopped(instance)[0] == 1
    assert instance.steps("stop_ended")[0]["worker"] is False


@pytest.mark.parametrize("grace", RANGES["STOP_GRACE_SECONDS"])
@pytest.mark.parametrize("policy", ["wait_idle", "sigterm"])
@pytest.mark.parametrize("guard", [None, ATTACHED])
def test_the_worst_shutdown_ends_inside_systemds_limit(
    grace: int, policy: Literal["wait_idle", "sigterm"], guard: Guard | None
) -> None:
    for faults in (("terminate", "services", "stop"), ("stop",), ()):
        instance = serving(job_seconds=1e6, guard=guard)
        instance.settings = replace(SETTINGS, stop_grace_seconds=grace, drain_policy=policy)
        instance.worker.ignores_sigterm = True
        instance.faults = {call: [GONE] * 10_000 for call in faults}
        assert stopped(instance)[1] <= unit_limits(instance.settings).boot_stop
