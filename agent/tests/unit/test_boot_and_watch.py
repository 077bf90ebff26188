"""`boot` and `watch` together: whenever the instance terminates, no worker is left and the hook is completed once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ghosthands_agent.boot import boot
from ghosthands_agent.paths import Paths
from ghosthands_agent.watch import watch
from model.agent_conf import IMAGE, LAUNCH_HOOK, SETTINGS
from unit.simulated_instance import SimulatedInstance

DONE = [(SETTINGS.termination_hook, "CONTINUE")]


def run_together(instance: SimulatedInstance, seconds: float) -> None:
    instance.run_together(
        seconds, boot(instance.ports(), instance.settings, Paths()), watch(instance.ports(), instance.settings)
    )


@pytest.mark.parametrize("images", [{IMAGE}, set()], ids=["image present", "image to be pulled"])
def test_an_instance_terminated_at_any_moment_of_its_boot_leaves_no_worker(images: set[str]) -> None:
    for tenths in range(300 if not images else 60):
        instance = SimulatedInstance(images=set(images), up_seconds=2.05)
        instance.after(tenths / 10 + 0.03, instance.terminate)
        run_together(instance, 90)
        assert (instance.completions, instance.timed_out) == (DONE, []), tenths
        assert instance.container.state in ("created", "exited"), tenths


def test_a_boot_that_is_killed_and_restarted_withdraws_during_a_drain() -> None:
    whole = SimulatedInstance(up_seconds=2.05)
    whole.run(boot(whole.ports(), SETTINGS, Paths()))
    for call in range(1, whole.call_count + 1):
        instance = SimulatedInstance(up_seconds=2.05)
        instance.kill(boot(instance.ports(), SETTINGS, Paths()), call, "after")
        instance.terminate()
        instance.run_together(1.0, watch(instance.ports(), SETTINGS))
        instance.run_together(60, boot(instance.ports(), SETTINGS, Paths()))
        assert instance.completions == DONE, call
        assert instance.container.state in ("created", "exited"), call


def test_an_instance_boots_works_and_drains() -> None:
    instance = SimulatedInstance(settings=replace(SETTINGS, launch_hook=LAUNCH_HOOK), hooks=(LAUNCH_HOOK,))
    for start in (20, 200, 400):
        instance.after(start, lambda: instance.submit_job(100))
    instance.after(420, instance.terminate)
    run_together(instance, 600)
    assert instance.completions == [(LAUNCH_HOOK, "CONTINUE"), *DONE]
    assert instance.job_results == ["finished"] * 3
    assert instance.protection_calls == [False, True, False, True, False, True]
    assert instance.container.starts == 1
