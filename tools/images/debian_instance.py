"""The root file system of a Debian instance: systemd, SSH, sudo, the user `admin` as on Debian's AMIs.

It contains an apt repository of the packages that the roles install.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tools.images import debian

BASE = """\
systemd systemd-sysv dbus dbus-user-session sudo iproute2 iputils-ping procps python3 python3-apt ca-certificates curl
gnupg tar gzip util-linux passwd kmod openssh-server less cloud-init
""".split()
INSTALLABLE = {
    "bookworm": ["docker.io", "apparmor", "iptables", "xvfb", "x11-utils", "python3-venv"],
    "trixie": ["docker.io", "docker-cli", "apparmor", "iptables", "xvfb", "x11-utils", "python3-venv"],
}
REPOSITORY = "opt/debian-repository"


def fill(suite: str, root: Path, work: Path, log: Callable[[str], None]) -> None:
    """Make the root file system in the new directory `root`; `work` is for temporary files. Raises BuildError."""
    log(f"Debian {suite} with systemd")
    debian.bootstrap(root, [suite], BASE)
    log(f"its repository: {' '.join(INSTALLABLE[suite])}")
    repository = root / REPOSITORY
    debian.download(root, suite, INSTALLABLE[suite], work / "debs")
    (work / "debs").rename(repository)
    packages = debian.run("apt-ftparchive", "packages", ".", into=repository)
    (repository / "Packages").write_text(packages, encoding="utf-8")
    for listed in (root / "etc/apt/sources.list", *(root / "etc/apt/sources.list.d").glob("*")):
        listed.unlink(missing_ok=True)
    # No mirror: what a role installs has to be in the repository, even if the container has network access.
    (root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:/{REPOSITORY} ./\n", encoding="utf-8")
    # Ansible's cache_valid_time goes by the folder's age; on Debian's AMIs the lists are empty and old.
    os.utime(root / "var/lib/apt/lists", (0, 0))
    debian.add_user(root, "admin", "adm,sudo")
    (root / "etc/sudoers.d/90-cloud-init-users").write_text("admin ALL=(ALL) NOPASSWD:ALL\n", encoding="utf-8")
    debian.make_host_keys_at_boot(root, "ssh.service")
