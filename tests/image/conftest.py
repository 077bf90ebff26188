"""One localcloud with container instances for the session; Packer 1.6.6, and a current one if PACKER names it."""

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

from tests.image import bake, packer_1_6, template
from tests.image.cloud import ImageCloud

ROOT = template.ROOT


@dataclass(frozen=True)
class Packer:
    """A Packer, and a copy of the template that it can read."""

    path: str
    template: Path
    cloud: ImageCloud
    current: bool

    def build(self, *variables: str) -> bake.Outcome:
        """Build an image with these variables."""
        return bake.build(self.path, self.template, self.cloud, *variables)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageCloud]:
    """The cloud, which has to leave no container when it stops."""
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
    """Path of Packer 1.6.6."""
    return packer_1_6.executable()


@pytest.fixture(scope="session")
def current() -> str:
    """Path of the current Packer that PACKER names, with its plugins installed."""
    path = os.environ.get("PACKER")
    if not path:
        pytest.skip(
            "PACKER names no Packer 1.11 or newer, and no package registry has one: the full template is not tested"
        )
    output = subprocess.run([path, "version"], check=True, capture_output=True, text=True).stdout
    version = re.match(r"Packer v(\d+)\.(\d+)", output)
    assert version, f"PACKER is {path}, whose version is {output!r}"
    assert (int(version[1]), int(version[2])) >= (1, 11), f"PACKER is {path}, which is too old: {output}"
    subprocess.run([path, "init", template.TEMPLATE], check=True)
    return path


@pytest.fixture(params=["1.6.6", "current"])
def packer(request: pytest.FixtureRequest, cloud: ImageCloud, tmp_path: Path) -> Packer:
    """Each of the two Packers."""
    is_current = request.param == "current"
    path = request.getfixturevalue("current" if is_current else "legacy")
    copied = template.tree(tmp_path)
    if not is_current:
        packer_1_6.remove_newer_texts(copied)
    return Packer(path, copied, cloud, is_current)


@pytest.fixture
def new_resources(cloud: ImageCloud) -> Iterator[Callable[[], set[str]]]:
    """The resources that the account did not have before; the test has to end without any."""
    before = cloud.resources()
    yield lambda: cloud.resources() - before
    assert cloud.resources() - before == set()
