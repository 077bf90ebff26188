"""Fixtures for the agent with this machine's Docker and the real Compose plugin."""

from __future__ import annotations

import io
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from ghosthands_agent.paths import Paths

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def docker() -> None:
    """Start Docker if it does not run."""
    subprocess.run([ROOT / ".ci/docker"], check=True)


@pytest.fixture(scope="session")
def plugin() -> Path:
    """The real Compose plugin."""
    made = subprocess.run([ROOT / ".ci/compose-plugin"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(made.stdout.strip())


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A statically linked busybox, from Debian's package."""
    folder = tmp_path_factory.mktemp("busybox")
    if subprocess.run(["apt-cache", "show", "busybox-static"], capture_output=True, check=False).returncode:
        subprocess.run(["apt-get", "-qq", "update"], check=True)  # the package lists are still empty
    subprocess.run(
        ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "busybox-static"], cwd=folder, check=True
    )
    subprocess.run(["dpkg-deb", "--extract", *folder.glob("busybox-static_*.deb"), folder], check=True)
    return folder / "bin/busybox"


@pytest.fixture(scope="session")
def image(docker: None, busybox: Path) -> Iterator[str]:
    """An image that holds nothing but busybox."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(busybox, "bin/busybox")
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
    name = f"ghosthands-test:{uuid.uuid4().hex[:8]}"
    subprocess.run(["docker", "import", "-", name], input=archive.getvalue(), check=True, stdout=subprocess.DEVNULL)
    yield name
    subprocess.run(["docker", "image", "rm", name], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def paths(docker: None, tmp_path: Path, plugin: Path) -> Iterator[Paths]:
    """A root directory with the Compose plugin in Docker's configuration. Its containers are removed afterwards."""
    name = f"ghtest{uuid.uuid4().hex[:8]}"
    root = tmp_path / name
    paths = Project(root)
    plugins = paths.docker_config / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-compose").symlink_to(plugin)
    yield paths
    left = ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={root.name}"]
    if containers := subprocess.run(left, check=True, capture_output=True, text=True).stdout.split():
        subprocess.run(["docker", "rm", "--force", *containers], check=True, stdout=subprocess.DEVNULL)


class Project(Paths):
    """Paths whose Compose project has the name of the root directory, so that tests do not share one."""

    @property
    def project(self) -> Path:
        return self.root
