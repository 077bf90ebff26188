"""Pulling images by digest from a real registry, Debian's docker-registry, on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from ghosthands_agent.docker import Docker, DockerImages
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import Refused
from unit.tasks import result_of

pytestmark = pytest.mark.docker

CONFIGURATION = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> Iterator[str]:
    """The address of a registry. (`busybox` has updated the package lists.)"""
    folder = tmp_path_factory.mktemp("registry")
    subprocess.run(
        ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "docker-registry"], cwd=folder, check=True
    )
    subprocess.run(["dpkg-deb", "--extract", *folder.glob("docker-registry_*.deb"), folder], check=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (folder / "registry.yml").write_text(CONFIGURATION.format(folder=folder, port=port))
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen(
        [folder / "usr/bin/docker-registry", "serve", folder / "registry.yml"], env=environment
    ) as serving:
        try:
            _answers(f"http://127.0.0.1:{port}/v2/")
            yield f"127.0.0.1:{port}"
        finally:
            serving.terminate()


def _answers(url: str) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            assert time.monotonic() < until, f"{url} does not answer"
            time.sleep(0.1)


@pytest.fixture
def pushed(registry: str, image: str) -> Iterator[str]:
    """A reference by digest of an image that only the registry has."""
    name = f"{registry}/ghosthands:1"
    subprocess.run(["docker", "tag", image, name], check=True)
    subprocess.run(["docker", "push", "--quiet", name], check=True, stdout=subprocess.DEVNULL)
    digest = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{index .RepoDigests 0}}", name],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    subprocess.run(["docker", "image", "rm", name, digest], check=False, capture_output=True)
    yield digest
    subprocess.run(["docker", "image", "rm", digest], check=False, capture_output=True)


def test_an_image_pulled_by_digest_is_present_from_then_on(paths: Paths, pushed: str) -> None:
    images = DockerImages(Docker(paths), paths)
    assert not images.present(pushed)
    result_of(images.pull(pushed))
    assert images.present(pushed)


def test_a_digest_that_the_registry_does_not_have_is_refused_by_name(paths: Paths, pushed: str) -> None:
    images = DockerImages(Docker(paths), paths)
    missing = f"{pushed.partition('@')[0]}@sha256:{'0' * 64}"
    with pytest.raises(Refused) as refusal:
        result_of(images.pull(missing))
    assert refusal.value.code == "NoSuchImage"
