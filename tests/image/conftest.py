"""One localcloud with container instances for the session, and both Packers: Debian's 1.6.6 always, a current one where PACKER names it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from localcloud.testing.containers import remaining

from tests.image import bake, template
from tests.image.cloud import ImageCloud

ROOT = template.ROOT


@dataclass(frozen=True)
class Packer:
    """A packer, and the template as it takes it."""

    path: str
    template: Path
    cloud: ImageCloud
    current: bool

    def build(self, *variables: str) -> bake.Outcome:
        """A bake with these variables."""
        return bake.build(self.path, self.template, self.cloud, *variables)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageCloud]:
    """The cloud, traced; its end must leave nothing."""
    subprocess.run([ROOT / ".ci/docker"], check=True)
    base = subprocess.run(
        [sys.executable, "-m", "tools.images", "al2023"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    with ImageCloud.start_process(
        tmp_path_factory.mktemp("cloud"), environment={"LOCALCLOUD_BASE_IMAGE": base}, instances="container"
    ) as cloud:
        yield cloud
    assert remaining(cloud.port) == []


@pytest.fixture(scope="session")
def legacy() -> str:
    """Debian's 1.6.6."""
    return subprocess.run([ROOT / ".ci/packer-1.6"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="session")
def current() -> str:
    """The current Packer that PACKER names, its plugins in place."""
    path = os.environ.get("PACKER")
    if not path:
        pytest.skip(
            "PACKER names no current Packer (1.11 or newer), and no package registry has one: the full template is not tried here"
        )
    said = subprocess.run([path, "version"], check=True, capture_output=True, text=True).stdout
    version = re.match(r"Packer v(\d+)\.(\d+)", said)
    assert version, f"PACKER is {path}, which says {said!r}"
    assert (int(version[1]), int(version[2])) >= (1, 11), f"PACKER is {path}, which is too old: {said}"
    subprocess.run([path, "init", template.TEMPLATE], check=True)
    return path


@pytest.fixture(params=["1.6.6", "current"])
def packer(request: pytest.FixtureRequest, cloud: ImageCloud, tmp_path: Path) -> Packer:
    """Each of the two."""
    is_current = request.param == "current"
    path = request.getfixturevalue("current" if is_current else "legacy")
    copied = template.tree(tmp_path)
    if not is_current:
        template.shorten(copied)
    return Packer(path, copied, cloud, is_current)


@pytest.fixture
def nothing_left(cloud: ImageCloud) -> Iterator[Callable[[], set[str]]]:
    """What the account holds more than before; the test must end without any of it."""
    before = cloud.resources()
    yield lambda: cloud.resources() - before
    assert cloud.resources() - before == set()
