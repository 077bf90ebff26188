"""The image that container instances boot by default: a Debian with systemd, built from this machine's apt sources."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from localcloud.instances.docker import HostError, command, docker, reason

#: What the image is made of; its content is the image's tag.
RECIPE = Path(__file__).with_name("base")
RELEASE = "bookworm"
#: Names a local image to use instead. It needs systemd, sshd, cloud-init, tar and, for Docker inside, Docker.
VARIABLE = "LOCALCLOUD_BASE_IMAGE"
#: For a slow mirror; a minute and a half is usual.
BUILD_SECONDS = 1800.0


def base_image(report: Callable[[str], None]) -> str:
    """The name of the base image, which is built if it does not exist, with a call of ``report`` at each step.

    Raises:
        HostError: it cannot be built, or ``LOCALCLOUD_BASE_IMAGE`` names an image that is not there.
    """
    if image := os.environ.get(VARIABLE):
        if not _exists(image):
            raise HostError(f"{VARIABLE} names {image}, and Docker has no such image here")
        return image
    name = f"localcloud-base:{recipe_digest(RECIPE)}"
    if not _exists(name):
        _build(name, report)
    return name


def recipe_digest(folder: Path) -> str:
    """Twelve digits that change with any file of the recipe, and with the release."""
    digest = hashlib.sha256(RELEASE.encode())
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        digest.update(f"\0{file.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:12]


def packages(folder: Path) -> list[str]:
    """The names in ``packages.txt``, without its comments."""
    lines = (folder / "packages.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _exists(image: str) -> bool:
    try:
        docker("image", "inspect", "--format", "{{.Id}}", image)
    except HostError as problem:
        if "No such image" in str(problem):
            return False
        raise
    return True


def _build(name: str, report: Callable[[str], None]) -> None:
    """Build an archive and import it afterwards, so that a build that fails leaves no image."""
    report(f"building {name} from Debian packages; this takes a minute or two, once")
    with tempfile.TemporaryDirectory(prefix="localcloud-base-") as folder:
        archive = Path(folder, "root.tar")
        _bootstrap(archive, report)
        report(f"importing {archive.stat().st_size >> 20} MB into Docker")
        docker("import", "--change", 'CMD ["/sbin/init"]', str(archive), name, timeout=BUILD_SECONDS)


def _bootstrap(archive: Path, report: Callable[[str], None]) -> None:
    words = [
        *("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(packages(RECIPE))}"),
        *(f"--aptopt={option}" for option in _apt_options()),
        f"--customize-hook=copy-in '{RECIPE / 'finish.sh'}' /root",
        '--customize-hook=chroot "$1" sh /root/finish.sh && rm "$1/root/finish.sh"',
        *(RELEASE, str(archive), *_apt_sources()),
    ]
    try:
        building = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise HostError(
            "the base image is built with mmdebstrap, which is not installed; run .ci/docker, or "
            "apt-get install mmdebstrap"
        ) from None
    with building:
        assert building.stderr
        errors = b""
        for line in building.stderr:
            if line.startswith(b"I: "):
                report(line[3:].decode(errors="replace").strip())
            elif line.startswith(b"E: "):
                errors += line
    if building.returncode:
        raise HostError(f"mmdebstrap could not build the base image: {reason(errors) or building.returncode}")


def _apt_sources() -> Iterator[str]:
    """The machine's own sources of the release, so that its mirrors and proxies serve here too.

    Raises:
        HostError: it has none, or no apt.
    """
    listed = command(
        "apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"
    )
    sources = [line.split() for line in listed.splitlines()]
    found = [
        f"deb {uri} {suite} {part}" for suite, part, uri in sources if suite.split("-")[0] == RELEASE and part == "main"
    ]
    if not found:
        raise HostError(
            f"this machine's apt has no source of Debian {RELEASE} to build the base image from; add one, "
            f"or set {VARIABLE}"
        )
    yield from dict.fromkeys(found)


def _apt_options() -> Iterator[str]:
    """Proxies and certificates as the machine's apt has them."""
    for line in command("apt-config", "dump", "Acquire").splitlines():
        if any(word in line for word in ("Proxy", "CaInfo", "Verify")) and not line.endswith(' "";'):
            yield line
