"""Ctrl-C at any point: the next run finishes what the first one began."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest

from tests.fleet.cloud import ROOT, PlaybookCloud
from tests.seeds import new_seed


def interrupted(cloud: PlaybookCloud, writes: int, pause: float) -> tuple[int, int]:
    """Run the site and press Ctrl-C `pause` seconds after so many writes; its exit code and the writes made."""
    run = subprocess.Popen(
        cloud.command_line("site.yml"),
        cwd=ROOT,
        env=cloud.playbook_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a terminal sends the signal to the whole foreground process group
    )
    while len(cloud.writes()) < writes and run.poll() is None:
        time.sleep(0.02)
    time.sleep(pause)
    os.killpg(run.pid, signal.SIGINT)
    run.wait(timeout=60)
    return run.returncode, len(cloud.writes())


def converges_after(cloud: PlaybookCloud, seed: int) -> None:
    dice = random.Random(seed)
    # Of the 15 writes of a first run, two are still to come after the 13th: it does not end within the pause.
    writes, pause = dice.randrange(1, 14), dice.random()
    print(f"seed {seed}: Ctrl-C {pause:.2f} s after write {writes}")
    code, made = interrupted(cloud, writes, pause)
    assert code != 0, "the first run was cut short"
    assert made >= writes
    second = cloud.play("site.yml")
    assert second.returncode == 0, second
    cloud.clear_trace()
    third = cloud.play("site.yml")
    assert (third.returncode, third.changed, cloud.writes()) == (0, 0, []), third
    group = cloud.group()
    assert (group["DesiredCapacity"], len(group["Instances"])) == (2, 2)


def test_after_ctrl_c_a_second_run_converges(cloud: PlaybookCloud) -> None:
    converges_after(cloud, new_seed())


@pytest.mark.slow
@pytest.mark.parametrize("seed", random.Random(20260801).sample(range(10_000), 6))
def test_after_ctrl_c_at_many_points_a_second_run_converges(seed: int, cloud: PlaybookCloud) -> None:
    converges_after(cloud, seed)
