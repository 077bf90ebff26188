"""Programs of Debian's packages that are used unpacked, and nothing is installed: a registry, and what a container holds."""

from __future__ import annotations

import io
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes.machine import free_port

START_SECONDS = 20.0


def unpacked(package: str, folder: Path) -> Path:
    """The package's files, by apt as this machine has it. Raises CalledProcessError."""
    own = folder / package
    own.mkdir()
    subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=own, check=True)
    subprocess.run(["dpkg-deb", "--extract", *own.glob("*.deb"), own], check=True)
    return own


def import_image(folder: Path, name: str) -> None:
    """An image made from nothing: busybox, and the applets' names that Compose files like to use."""
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
    """A registry of this run's own: its host and port. Docker speaks plain HTTP to it, as it is on loopback.

    Raises:
        RuntimeError: it does not listen.
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
