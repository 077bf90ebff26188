"""A look-alike of Amazon Linux 2023 made of Debian's packages; it proves no package's name or contents.

Like Amazon's: dnf 4 and rpm with a signed, release-locked repository, os-release (and so Ansible's facts), Python 3.9
as `python3`, systemd 252, units disabled by preset, ec2-user (uid 1000, wheel), bash as sh, the paths of sshd's and
dnf's files, cloud-init, what Amazon's agent for Systems Manager writes. Ours: all names and contents of packages.
"""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tools.images import debian, rpms
from tools.images.rpms import Names

HERE = Path(__file__).parent / "al2023"
RELEASE = "2023.9.20251027"
SIGNER = "AL2023 look-alike <test@invalid>"

#: Bookworm's dnf is 4.14 and bullseye's Python is 3.9, like Amazon's.
BASE = """\
systemd systemd-sysv dbus sudo iproute2 iputils-ping procps python3 python3-dnf dnf dnf-plugins-core rpm
ca-certificates curl gnupg tar gzip util-linux passwd kmod openssh-server openssh-sftp-server less cloud-init python3.9
""".split()

#: The Python of dnf and cloud-init. On Amazon Linux that is python3; here it is Debian's 3.11.
PLATFORM_PYTHON = "usr/libexec/platform-python"

#: Debian packages that the repository offers: from bookworm with their dependencies, and from trixie, whose Docker is
#: of Amazon's generation, without.
PACKAGES = "xvfb x11-utils x11-xserver-utils iptables cron jq unzip pigz xz-utils chrony runc python3.11-venv".split()
PACKAGES_ALONE = "docker.io docker-cli containerd amazon-ecr-credential-helper".split()

#: Software GLX: 300 MB of Mesa and LLVM. Xvfb runs without, and then offers no GLX.
LEFT_OUT = """\
libglx-mesa0 libgl1-mesa-dri libllvm15 libz3-4 libglapi-mesa libdrm-amdgpu1 libdrm-intel1 libdrm-nouveau2 libdrm-radeon1
""".split()

NAMES: Mapping[str, Names] = {
    "docker": Names(
        ("docker.io", "docker-cli"),
        requires=("containerd", "runc", "iptables-nft", "pigz", "xz"),
        units=("docker.service", "docker.socket"),
        group="docker",
        links={"usr/bin/dockerd": "../sbin/dockerd"},
    ),
    "containerd": Names(("containerd",), units=("containerd.service",)),
    "amazon-ecr-credential-helper": Names(("amazon-ecr-credential-helper",)),
    "iptables-nft": Names(
        ("iptables",),
        links={
            f"usr/sbin/{name}{verb}": f"{name}-nft{verb}"
            for name in ("iptables", "ip6tables")
            for verb in ("", "-save", "-restore")
        },
    ),
    "xorg-x11-server-Xvfb": Names(("xvfb",)),
    "xorg-x11-utils": Names(("x11-utils",)),
    "xorg-x11-server-utils": Names(("x11-xserver-utils",)),
    "xkeyboard-config": Names(("xkb-data",)),
    "xorg-x11-xkb-utils": Names(("x11-xkb-utils",)),
    "cronie": Names(
        ("cron", "cron-daemon-common"),
        units=("crond.service",),
        renamed={"usr/lib/systemd/system/cron.service": "usr/lib/systemd/system/crond.service"},
    ),
    "xz": Names(("xz-utils",)),
    "python3.11": Names(
        ("python3.11-venv", "python3-pip-whl", "python3-setuptools-whl"),
        links={"usr/bin/python3.11": "../libexec/platform-python"},
    ),
}

#: What the base contains, as RPMs without payload, so that dnf finds it installed: name -> version, provided names.
INSTALLED: Mapping[str, tuple[str, ...]] = {
    "bash": ("5.2.15", "/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"),
    "coreutils": ("8.32",),
    "systemd": ("252.23",),
    "shadow-utils": ("4.9", "/usr/sbin/useradd"),
    "sudo": ("1.9.15",),
    "curl-minimal": ("8.11.1", "curl = 8.11.1"),
    "gnupg2-minimal": ("2.3.7", "gnupg2"),
    "python3": ("3.9.24", "/usr/bin/python3"),
    "python3-dnf": ("4.14.0",),
    "dnf": ("4.14.0",),
    "rpm": ("4.16.1.3",),
    "tar": ("1.34",),
    "gzip": ("1.12",),
    "openssh-server": ("8.7p1",),
    "ca-certificates": ("2025.2.76",),
    "procps-ng": ("3.3.17",),
    "iproute": ("6.10.0",),
    "util-linux": ("2.37.4",),
    "kmod": ("29",),
    "cloud-init": ("22.2.2",),
}

MASKED = """\
systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service
getty@tty1.service console-getty.service systemd-timesyncd.service systemd-networkd.service systemd-resolved.service
e2scrub_reap.service e2scrub_all.timer fstrim.timer
""".split()


def fill(root: Path, work: Path, log: Callable[[str], None]) -> None:
    """Make the root file system in the new directory `root`; `work` is for temporary files. Raises BuildError."""
    log("a base of Debian 12 with dnf, rpm and Python 3.9")
    debian.bootstrap(root, ["bookworm", "bullseye"], BASE)
    log("the packages that become RPMs")
    debian.download(root, "bookworm", PACKAGES, work / "debs")
    debian.download(root, "trixie", PACKAGES_ALONE, work / "debs", alone=True)
    repository = root / "opt/al2023-repo" / RELEASE / platform.machine()
    number = rpms.Converter(work / "debs", NAMES, LEFT_OUT, HERE, platform.machine()).convert(repository)
    log(f"{number} RPMs are built; now those without payload")
    for name, (version, *provided) in INSTALLED.items():
        _empty_rpm(name, version, [f"Provides: {one}" for one in provided], [], repository, work)
    _remove_traces_of_debian(root)
    _platform_python(root)
    _identity(root, repository, work)
    log("the repository is signed and indexed")
    _sign(root, repository, work)
    debian.run("createrepo_c", "--quiet", "--general-compress-type=gz", repository)
    debian.run("chroot", root, "dnf", "-q", "-y", f"--releasever={RELEASE}", "install", "system-release", *INSTALLED)
    log("users, units, presets")
    _users(root)
    _units(root)
    for leftover in ("var/cache/dnf", "var/lib/dpkg", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / leftover, ignore_errors=True)


def _empty_rpm(name: str, version: str, relations: list[str], files: list[str], into: Path, work: Path) -> None:
    """Build an RPM that only states that something is installed; its payload is `files`, from `work`/empty/`name`."""
    folder = work / "empty" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "root").mkdir(exist_ok=True)
    listed = folder / "files"
    # rpmbuild does not accept an empty list.
    listed.write_text("".join(f"{line}\n" for line in ("%defattr(-,root,root,-)", *files)), encoding="utf-8")
    spec = folder / "spec"
    spec.write_text(
        rpms.SPEC.format(
            name=name,
            version=version,
            release=rpms.RELEASE,
            summary=f"{name} of the look-alike's base",
            architecture="noarch",
            relations="".join(f"{relation}\n" for relation in relations),
            description="Look-alike: the base contains it.",
            root=folder / "root",
            scripts="",
            files=listed,
        ),
        encoding="utf-8",
    )
    rpms.build(spec, into, "noarch")


def _remove_traces_of_debian(root: Path) -> None:
    """Remove what would let Ansible's facts, apt or a role find Debian."""
    for path in (
        "etc/os-release",
        "usr/lib/os-release",
        "etc/debian_version",
        "etc/issue",
        "etc/issue.net",
        "etc/dnf/plugins/local.conf",
    ):
        (root / path).unlink(missing_ok=True)
    for pattern in (
        "usr/bin/apt*",
        "etc/cron.daily/apt*",
        "etc/cron.daily/dpkg",
        "usr/lib/python3/dist-packages/dnf-plugins/local.py",
    ):
        for found in root.glob(pattern):
            found.unlink()
    for path in ("etc/apt", "var/lib/apt", "var/cache/apt", "etc/dpkg"):
        shutil.rmtree(root / path, ignore_errors=True)


def _platform_python(root: Path) -> None:
    """Make 3.9 python3; programs of Debian's 3.11 (dnf, cloud-init) keep running on that."""
    for script in _scripts_of_python(root):
        script.write_text(
            re.sub(r"\A#! ?/usr/bin/python3\b", f"#!/{PLATFORM_PYTHON}", script.read_text(encoding="utf-8")),
            encoding="utf-8",
        )
    (root / PLATFORM_PYTHON).parent.mkdir(exist_ok=True)
    (root / "usr/bin/python3.11").rename(root / PLATFORM_PYTHON)
    (root / "usr/bin/python3").unlink()
    (root / "usr/bin/python3").symlink_to("python3.9")


def _scripts_of_python(root: Path) -> Iterator[Path]:
    for folder in ("usr/bin", "usr/sbin", "usr/lib/cloud-init"):
        for path in (root / folder).iterdir():
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    if re.match(rb"#! ?/usr/bin/python3\b(?!\.)", file.read(40)):
                        yield path


def _identity(root: Path, repository: Path, work: Path) -> None:
    """Build system-release, which owns os-release and locks the repository's version, and configure the repository."""
    release = work / "empty/system-release/root"
    for path, text in {
        "usr/lib/os-release": (HERE / "os-release").read_text(encoding="utf-8"),
        "etc/system-release": f"Amazon Linux release {RELEASE} (Amazon Linux)\n",
        "etc/system-release-cpe": "cpe:2.3:o:amazon:amazon_linux:2023\n",
    }.items():
        (release / path).parent.mkdir(parents=True, exist_ok=True)
        (release / path).write_text(text, encoding="utf-8")
    (release / "etc/os-release").symlink_to("../usr/lib/os-release")
    (release / "etc/amazon-linux-release").symlink_to("system-release")
    files = [
        "/usr/lib/os-release",
        "/etc/os-release",
        "/etc/system-release",
        "/etc/amazon-linux-release",
        "/etc/system-release-cpe",
    ]
    _empty_rpm(
        "system-release", RELEASE, [f"Provides: system-release(releasever) = {RELEASE}"], files, repository, work
    )
    for folder in ("etc/yum.repos.d", "etc/dnf", "etc/rpm", "etc/sysconfig"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "amazonlinux.repo", root / "etc/yum.repos.d/")
    (root / "etc/rpm/macros.al2023").write_text("%_dbpath /var/lib/rpm\n", encoding="utf-8")
    settings = {
        "gpgcheck": 1,
        "installonly_limit": 3,
        "clean_requirements_on_remove": True,
        "best": True,
        "skip_if_unavailable": False,
    }
    lines = ["[main]", *(f"{name}={value}" for name, value in settings.items())]
    (root / "etc/dnf/dnf.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sign(root: Path, repository: Path, work: Path) -> None:
    """Sign every RPM with a key made for this image, whose public half dnf trusts."""
    home = work / "gnupg"
    home.mkdir(mode=0o700)
    gpg = {"GNUPGHOME": str(home)}
    generate = ["--batch", "--quiet", "--passphrase", "", "--quick-gen-key", SIGNER, "rsa2048", "sign", "0"]
    debian.run("gpg", *generate, environment=gpg)
    keys = root / "etc/pki/rpm-gpg"
    keys.mkdir(parents=True)
    (keys / "RPM-GPG-KEY-amazon-linux-2023").write_text(
        debian.run("gpg", "--armor", "--export", environment=gpg), encoding="utf-8"
    )
    # Debian's rpm looks for gpg where Debian does not install it.
    defines = ("--define", f"_gpg_name {SIGNER}", "--define", f"__gpg {shutil.which('gpg')}")
    debian.run("rpmsign", *defines, "--addsign", *sorted(repository.glob("*.rpm")), environment=gpg)
    debian.run("gpgconf", "--kill", "gpg-agent", environment=gpg)


def _users(root: Path) -> None:
    (root / "usr/bin/sh").unlink()
    (root / "usr/bin/sh").symlink_to("bash")
    debian.run("chroot", root, "groupadd", "--system", "wheel")
    debian.add_user(root, "ec2-user", "wheel,adm,systemd-journal")
    (root / "etc/sudoers.d/90-cloud-init-users").write_text("ec2-user ALL=(ALL) NOPASSWD:ALL\n", encoding="utf-8")
    # Docker sets a container's host name; cloud-init would call hostnamectl before D-Bus runs.
    (root / "etc/cloud/cloud.cfg.d/10-hostname.cfg").write_text("preserve_hostname: true\n", encoding="utf-8")
    configuration = root / "etc/cloud/cloud.cfg"
    text = configuration.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^(\s+)distro: debian$", r"\1distro: amazon", text)
    text = re.sub(r"(?m)^(\s+)name: debian$", r"\1name: ec2-user", text)
    configuration.write_text(
        re.sub(r"(?m)^(\s+)groups: \[.*\]$", r"\1groups: [wheel, adm, systemd-journal]", text), encoding="utf-8"
    )


def _units(root: Path) -> None:
    """Amazon's unit names and presets, without units that make no sense in a container."""
    units = root / "usr/lib/systemd/system"
    unit = (units / "ssh.service").read_text(encoding="utf-8")
    (units / "sshd.service").write_text(unit.replace("Alias=sshd.service\n", ""), encoding="utf-8")
    (units / "ssh.service").unlink()
    debian.make_host_keys_at_boot(root, "sshd.service")
    (root / "usr/libexec/openssh").symlink_to("../lib/openssh")
    presets = root / "usr/lib/systemd/system-preset"
    presets.mkdir(parents=True, exist_ok=True)
    enabled = ["sshd.service", "amazon-ssm-agent.service", "cloud-*.service", "cloud-*.target"]
    (presets / "90-default.preset").write_text("".join(f"enable {unit}\n" for unit in enabled), encoding="utf-8")
    (presets / "99-default-disable.preset").write_text("disable *\n", encoding="utf-8")
    system = root / "etc/systemd/system"
    (system / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    links = {
        "multi-user.target.wants/sshd.service": "/usr/lib/systemd/system/sshd.service",
        "multi-user.target.wants/amazon-ssm-agent.service": "/usr/lib/systemd/system/amazon-ssm-agent.service",
        "default.target": "/usr/lib/systemd/system/multi-user.target",
    }
    for name in ("sshd.service", "multi-user.target.wants/ssh.service"):
        (system / name).unlink()
    for folder in ("init.d", *(f"rc{level}.d" for level in "0123456S")):
        shutil.rmtree(root / "etc" / folder, ignore_errors=True)
    # It holds no program of Amazon's, only what such a program writes: see its script.
    shutil.copytree(HERE / "amazon-ssm-agent", root, dirs_exist_ok=True)
    for name, target in (*links.items(), *((unit, "/dev/null") for unit in MASKED)):
        (system / name).unlink(missing_ok=True)
        (system / name).symlink_to(target)
