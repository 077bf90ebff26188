"""The procedure `stop` at a shutdown: the worker first, no call about hooks, within the limits of systemd."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from ghosthands_agent.ports import Unavailable
from ghosthands_agent.settings import RANGES
from ghosthands_agent.stop import stop, unit_limits
from model.agent_conf import SETTINGS
from unit.simulated_instance import SimulatedInstance

GONE = Unavailable("docker", "exit 1")


def serving(mode: Literal["legacy", "queue"] = "queue", job_seconds: float | None = None) -> SimulatedInstance:
    instance = SimulatedInstance()
    instance.start_worker(mode, job_seconds=job_seconds)
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


@pytest.mark.parametrize("mode", ["legacy", "queue"])
def test_a_running_job_is_released_at_once(mode: Literal["legacy", "queue"]) -> None:
    instance = serving(mode, job_seconds=1000)
    code, seconds = stopped(instance)
    assert (code, instance.job_results) == (0, ["released"])
    assert seconds < 2


def test_a_worker_that_drains_by_itself_gets_time_to_finish() -> None:
    instance = SimulatedInstance(replace(SETTINGS, drain_policy="sigterm"))
    instance.start_worker(job_seconds=20, drains_itself=True)
    assert stopped(instance)[0] == 0
    assert instance.job_results == ["finished"]


def test_a_reboot_touches_neither_hook_nor_protection() -> None:
    instance = serving()
    stopped(instance)
    assert not {"complete", "heartbeat", "protect", "set_flag"} & set(instance.called)


@pytest.mark.parametrize("mode", ["legacy", "queue"])
def test_killed_at_any_call_and_run_again_everything_is_down_and_the_job_released(
    mode: Literal["legacy", "queue"],
) -> None:
    whole = serving(mode, job_seconds=1000)
    stopped(whole)
    for call in range(1, whole.call_count + 1):
        for moment in ("before", "after"):
            instance = serving(mode, job_seconds=1000)
            instance.kill(stop(instance.ports(), instance.settings), call, moment)
            assert stopped(instance)[0] == 0
            assert (instance.job_results, not instance.host.others_run) == (["released"], True), (call, moment)


def test_a_host_without_containers_is_stopped() -> None:
    assert stopped(SimulatedInstance())[0] == 0


def test_a_stop_that_fails_exits_with_1() -> None:
    instance = serving()
    instance.faults = {call: [GONE] * 10_000 for call in ("terminate", "services", "stop")}
    assert stopped(instance)[0] == 1
    assert instance.steps("stop_ended")[0]["worker"] is False


@pytest.mark.parametrize("grace", RANGES["STOP_GRACE_SECONDS"])
@pytest.mark.parametrize("policy", ["wait_idle", "sigterm"])
def test_the_worst_shutdown_ends_inside_systemds_limit(grace: int, policy: Literal["wait_idle", "sigterm"]) -> None:
    for faults in (("terminate", "services", "stop"), ("stop",), ()):
        instance = serving(job_seconds=1e6)
        instance.settings = replace(SETTINGS, stop_grace_seconds=grace, drain_policy=policy)
        instance.worker.ignores_sigterm = True
        instance.faults = {call: [GONE] * 10_000 for call in faults}
        assert stopped(instance)[1] <= unit_limits(instance.settings).boot_stop
