"""A plain shutdown: the worker first, nothing about hooks, and inside what systemd is told to allow."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from ghosthands_agent.ports import Unavailable
from ghosthands_agent.settings import RANGES
from ghosthands_agent.stop import stop, unit_limits
from unit.world import SETTINGS, World

GONE = Unavailable("docker", "exit 1")


def serving(mode: Literal["legacy", "queue"] = "queue", job_seconds: float | None = None) -> World:
    world = World()
    world.serve(mode, job_seconds=job_seconds)
    return world


def stopped(world: World) -> tuple[int, float]:
    began = world.time
    return world.run(stop(world.ports(), world.settings), 1e5), world.time - began


def test_an_idle_host_is_down_within_seconds_the_worker_first() -> None:
    world = serving()
    code, seconds = stopped(world)
    assert (code, world.worker.exit_code, world.rest_down) == (0, 0, True)
    assert seconds < 2
    assert world.called.index("terminate") < world.called.index("stop")


@pytest.mark.parametrize("mode", ["legacy", "queue"])
def test_a_running_job_is_put_back_at_once(mode: Literal["legacy", "queue"]) -> None:
    world = serving(mode, job_seconds=1000)
    code, seconds = stopped(world)
    assert (code, world.jobs) == (0, ["put_back"])
    assert seconds < 2


def test_a_worker_that_drains_by_itself_gets_a_moment_to_finish() -> None:
    world = serving(job_seconds=20)
    world.settings = replace(SETTINGS, drain_policy="sigterm")
    world.worker.patient = True
    assert stopped(world)[0] == 0
    assert world.jobs == ["finished"]


def test_a_reboot_is_not_the_end_of_an_instance() -> None:
    world = serving()
    stopped(world)
    assert not {"complete", "heartbeat", "protect", "set_flag"} & set(world.called)


@pytest.mark.parametrize("mode", ["legacy", "queue"])
def test_killed_at_any_call_and_run_again_everything_is_down_and_the_job_put_back(
    mode: Literal["legacy", "queue"],
) -> None:
    whole = serving(mode, job_seconds=1000)
    stopped(whole)
    for call in range(1, whole.calls + 1):
        for moment in ("before", "after"):
            world = serving(mode, job_seconds=1000)
            world.kill(stop(world.ports(), world.settings), call, moment)
            assert stopped(world)[0] == 0
            assert (world.jobs, world.rest_down) == (["put_back"], True), (call, moment)


def test_a_host_without_containers_is_stopped() -> None:
    assert stopped(World())[0] == 0


def test_what_cannot_be_stopped_is_said_by_the_exit_code() -> None:
    world = serving()
    world.faults = {call: [GONE] * 10_000 for call in ("terminate", "services", "stop")}
    assert stopped(world)[0] == 1
    assert world.steps("stop_ended")[0]["worker"] is False


@pytest.mark.parametrize("grace", RANGES["STOP_GRACE_SECONDS"])
@pytest.mark.parametrize("policy", ["wait_idle", "sigterm"])
def test_the_worst_shutdown_ends_inside_systemds_limit(grace: int, policy: Literal["wait_idle", "sigterm"]) -> None:
    for faults in (("terminate", "services", "stop"), ("stop",), ()):
        world = serving(job_seconds=1e6)
        world.settings = replace(SETTINGS, stop_grace_seconds=grace, drain_policy=policy)
        world.worker.stubborn = True
        world.faults = {call: [GONE] * 10_000 for call in faults}
        assert stopped(world)[1] <= unit_limits(world.settings).boot_stop
