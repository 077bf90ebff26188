"""Playbooks against localcloud: two clouds for a test session, one brought back to its seed, one to a built fleet, before every test."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.fleet.cloud import ROOT, PlaybookCloud
from tests.fleet.healthy import HealthyFleet

C = TypeVar("C", bound=PlaybookCloud)


def _started(kind: type[C], folder: Path) -> Iterator[C]:
    """A cloud in a process of its own, from whose secrets no value may have been read in the end."""
    with kind.start_process(folder) as cloud:
        yield cloud
        actions = [json.loads(line)["action"] for line in cloud.trace_file.read_text().splitlines()]
        assert {"GetSecretValue", "BatchGetSecretValue"}.isdisjoint(actions), "a secret's value was read"


@pytest.fixture(scope="session")
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaybookCloud]:
    """Up for the session."""
    yield from _started(PlaybookCloud, tmp_path_factory.mktemp("cloud"))


@pytest.fixture
def cloud(running_cloud: PlaybookCloud) -> PlaybookCloud:
    """An account as the seed leaves it, and an empty trace."""
    running_cloud.reset()
    return running_cloud


@pytest.fixture(scope="session")
def running_built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaybookCloud]:
    """Up for the session, with the fleet of inventories/local, built once."""
    for cloud in _started(PlaybookCloud, tmp_path_factory.mktemp("built")):
        cloud.reset()
        run = cloud.play("site.yml")
        assert run.returncode == 0, run
        cloud.snapshot()
        yield cloud


@pytest.fixture
def built(running_built: PlaybookCloud) -> PlaybookCloud:
    """An account with the fleet of inventories/local as `site.yml` makes it, and an empty trace."""
    running_built.restore()
    return running_built


@pytest.fixture(scope="session")
def running_healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HealthyFleet]:
    """Up for the session, with a fleet of which nothing is wrong, built once."""
    for cloud in _started(HealthyFleet, tmp_path_factory.mktemp("right")):
        cloud.build()
        yield cloud


@pytest.fixture
def healthy(running_healthy: HealthyFleet) -> HealthyFleet:
    """A fleet of which nothing is wrong, and an empty trace."""
    running_healthy.restore()
    return running_healthy


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout as git would carry it elsewhere, in a folder with a blank in its name."""
    there = tmp_path_factory.mktemp("clones") / "a clone" / "ghosthands"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists() or (ROOT / name).is_symlink():  # git also lists what was just deleted
            (there / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, there / name, follow_symlinks=False)
    return there
