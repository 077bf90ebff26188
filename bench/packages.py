"""Programs from Debian's packages, unpacked and not installed: a Docker registry, and a busybox image."""

from __future__ import annotations

import io
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcloud.testing import free_port

START_SECONDS = 20.0


def unpacked(package: str, folder: Path) -> Path:
    """The package's files, downloaded with this machine's apt configuration. Raises CalledProcessError."""
    files = folder / package
    files.mkdir()
    subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=files, check=True)
    subprocess.run(["dpkg-deb", "--extract", *files.glob("*.deb"), files], check=True)
    return files


def import_image(folder: Path, name: str) -> None:
    """Import an image that holds busybox and the applets that the bench's compose file uses."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(unpacked("busybox-static", folder) / "bin/busybox", "bin/busybox")
        for applet in ("sh", "httpd", "wget", "mkdir"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    subprocess.run(["docker", "import", "-", name], input=archive.getvalue(), check=True, stdout=subprocess.DEVNULL)


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Host and port of a temporary registry on loopback, to which Docker speaks plain HTTP.

    Raises RuntimeError if it does not listen within START_SECONDS.
    """
    port = free_port()
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'registry'}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    )
    program = unpacked("docker-registry", folder) / "usr/bin/docker-registry"
    with (
        (folder / "registry.log").open("w") as log,
        subprocess.Popen([program, "serve", config], stdout=log, stderr=log) as process,
    ):
        try:
            _wait(port, process)
            yield f"localhost:{port}"
        finally:
            process.terminate()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the registry does not listen")
