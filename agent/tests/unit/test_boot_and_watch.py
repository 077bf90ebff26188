"""Both processes of an instance side by side: whatever moment it is told to end, no worker is left behind and the hook is completed once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ghosthands_agent.boot import boot
from ghosthands_agent.watch import watch
from unit.world import SETTINGS, WANTED, World

DONE = [(SETTINGS.termination_hook, "CONTINUE")]


def lived(world: World, seconds: float) -> None:
    world.live(seconds, boot(world.ports(), world.settings, world.paths), watch(world.ports(), world.settings))


@pytest.mark.parametrize("images", [{WANTED}, set()], ids=["image at hand", "image to be pulled"])
def test_told_to_end_at_any_moment_of_its_boot_an_instance_goes_and_leaves_no_worker(images: set[str]) -> None:
    for tenths in range(300 if not images else 60):
        world = World(images=set(images), up_seconds=2.05)
        world.after(tenths / 10 + 0.03, world.terminate)
        lived(world, 90)
        assert (world.completions, world.timed_out) == (DONE, []), tenths
        assert world.worker.state in ("created", "exited"), tenths


def test_a_boot_that_is_killed_while_it_brings_up_and_begun_again_gives_way_to_the_drain() -> None:
    whole = World(up_seconds=2.05)
    whole.run(boot(whole.ports(), SETTINGS, whole.paths))
    for call in range(1, whole.calls + 1):
        world = World(up_seconds=2.05)
        world.kill(boot(world.ports(), SETTINGS, world.paths), call, "after")
        world.terminate()
        world.live(1.0, watch(world.ports(), SETTINGS))
        world.live(60, boot(world.ports(), SETTINGS, world.paths))
        assert world.completions == DONE, call
        assert world.worker.state in ("created", "exited"), call


def test_an_instance_lives_from_boot_to_its_end_with_jobs_between() -> None:
    world = World(settings=replace(SETTINGS, launch_hook="gh-worker-launch"), hooks={"gh-worker-launch": 1e9})
    for start in (20, 200, 400):
        world.after(start, lambda: world.take_job(100))
    world.after(420, world.terminate)
    lived(world, 600)
    assert world.completions == [("gh-worker-launch", "CONTINUE"), *DONE]
    assert world.jobs == ["finished"] * 3
    assert world.protection_calls == [False, True, False, True, False, True]
    assert world.starts == 1
