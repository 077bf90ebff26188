"""One localcloud for a test session; before every test it is reset to an empty account or restored to a built fleet."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.cloud import ROOT, PlaybookCloud
from tests.fleet.healthy import HealthyFleet


@pytest.fixture(scope="session")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HealthyFleet]:
    """A cloud in a process of its own, in whatever state the last test left it."""
    folder = tmp_path_factory.mktemp("cloud")
    with HealthyFleet.start_process(folder, propagation_seconds=3, complete_launch_hooks=True) as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: HealthyFleet) -> PlaybookCloud:
    """A cloud whose account has no fleet, but the worker image and the secret that one needs; the trace is empty."""
    running_cloud.reset()
    running_cloud.prepare()
    return running_cloud


@pytest.fixture
def empty_cloud(running_cloud: HealthyFleet) -> PlaybookCloud:
    """A cloud whose account is in its initial state; the trace is empty."""
    running_cloud.reset()
    return running_cloud


@pytest.fixture(scope="session")
def running_fleet(running_cloud: HealthyFleet) -> HealthyFleet:
    """The same cloud, after a fleet was built on it whose snapshot `restore` brings back."""
    running_cloud.build()
    return running_cloud


@pytest.fixture
def fleet(running_fleet: HealthyFleet) -> HealthyFleet:
    """The fleet of inventories/local as `site.yml` builds it, with nothing wrong; the trace is empty."""
    running_fleet.restore()
    return running_fleet


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout as a git clone would have it, in a folder with a blank in its name."""
    there = tmp_path_factory.mktemp("clones") / "a clone" / "ghosthands"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists() or (ROOT / name).is_symlink():  # git also lists deleted files
            (there / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, there / name, follow_symlinks=False)
    return there
