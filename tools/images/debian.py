"""Debian root file systems and packages, from the mirrors and with the keys of this machine's apt. Needs root."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

#: Commands needed to build -> the Debian packages that contain them.
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "rpmbuild": "rpm",
    "createrepo_c": "createrepo-c",
    "apt-ftparchive": "apt-utils",
    "gpg": "gnupg",
    "zstd": "zstd",
    "apt-get": "apt",
}


class BuildError(Exception):
    """An image cannot be built; the message says why and what to do."""


def run(*command: str | Path, environment: dict[str, str] | None = None, into: Path | None = None) -> str:
    """A command's output. Raises BuildError with the end of its output if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C", **(environment or {})}, cwd=into
    )
    if done.returncode:
        output = (done.stdout + done.stderr).strip()[-1500:]
        raise BuildError(f"{' '.join(words[:4])} ... exited with {done.returncode}:\n{output}")
    return done.stdout


def install_tools() -> None:
    """Install what building needs and this machine lacks. Raises BuildError if apt cannot, or the user is not root."""
    if os.geteuid() != 0:
        raise BuildError("test images are built by root: sudo .venv/bin/python -m tools.images ...")
    missing = sorted({package for command, package in TOOLS.items() if not shutil.which(command)})
    if not KEYS.exists():
        missing.append("debian-archive-keyring")
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise BuildError(f"building needs {', '.join(missing)}, and this machine has no apt to install them")
    print(f"images: installing {' '.join(missing)}", file=sys.stderr, flush=True)
    run("apt-get", "-qq", "update")
    words = ["apt-get", "-qq", "--yes", "--no-install-recommends", "install", *missing]
    run(*words, environment={"DEBIAN_FRONTEND": "noninteractive"})


def mirror(*, security: bool = False) -> str:
    """The Debian mirror that this machine's apt uses, or GH_DEBIAN_MIRROR (for machines that do not run Debian).

    Raises BuildError if there is neither.
    """
    if not security and (named := os.environ.get("GH_DEBIAN_MIRROR")):
        return named.rstrip("/")
    found = run(
        "apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages", "Origin: Debian"
    ).splitlines()
    for uri, codename in (line.split() for line in found):
        if codename.endswith("-security") == security:
            return uri.rstrip("/")
    if security:
        return ""
    raise BuildError("apt knows no Debian mirror here (apt-get indextargets): set GH_DEBIAN_MIRROR")


def sources(*suites: str, security: bool) -> list[str]:
    """Lines of sources.list; with `security` also the first suite's security updates, if this machine's apt has any."""
    lines = [f"deb [signed-by={KEYS}] {mirror()} {suite} main" for suite in suites]
    if security and (updates := mirror(security=True)):
        lines.append(f"deb [signed-by={KEYS}] {updates} {suites[0]}-security main")
    return lines


def bootstrap(root: Path, suites: Sequence[str], packages: Iterable[str]) -> None:
    """Create a minimal Debian with these packages in the new directory `root`.

    Packages come from the first suite that has them. Raises BuildError.
    """
    run(
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        "--mode=root",
        "--include",
        ",".join(packages),
        suites[0],
        root,
        *sources(*suites, security=True),
    )


def download(root: Path, suite: str, packages: Iterable[str], into: Path, *, alone: bool = False) -> None:
    """Download packages of `suite` to the folder `into`. Raises BuildError.

    Their dependencies that are not installed in `root` come with them, except with `alone`.
    """
    work = into.parent / f"apt-{suite}"
    for folder in ("lists/partial", "archives/partial"):
        (work / folder).mkdir(parents=True, exist_ok=True)
    listed = work / "sources.list"
    listed.write_text("\n".join(sources(suite, security=not alone)) + "\n", encoding="utf-8")
    options = {
        "Dir::Etc::SourceList": listed,
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": work / "lists",
        "Dir::State::status": root / "var/lib/dpkg/status",
        "Dir::Cache": work,
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    into.mkdir(parents=True, exist_ok=True)
    run(*apt, "update")
    if alone:
        run(*apt, "download", *packages, into=into)
        return
    run(*apt, "install", "--download-only", "--yes", "--no-install-recommends", *packages)
    for file in (work / "archives").glob("*.deb"):
        file.rename(into / file.name)


def make_host_keys_at_boot(root: Path, unit: str) -> None:
    """Let the SSH server's unit create missing host keys, which the image does not contain, if cloud-init does not."""
    drop_in = root / f"usr/lib/systemd/system/{unit}.d/host-keys.conf"
    drop_in.parent.mkdir()
    lines = ["[Service]", "ExecStartPre=", "ExecStartPre=/usr/bin/ssh-keygen -A", "ExecStartPre=/usr/sbin/sshd -t"]
    drop_in.write_text("\n".join(lines) + "\n", encoding="utf-8")


def field(deb: Path, name: str) -> str:
    """A field of a package's control file; empty if it has none."""
    return run("dpkg-deb", "--field", deb, name).strip()


def add_user(root: Path, name: str, groups: str) -> None:
    """Add a user with uid 1000, a home and bash."""
    options = ["--create-home", "--uid", "1000", "--shell", "/bin/bash", "--groups", groups]
    run("chroot", root, "useradd", *options, name)
