"""A look-alike of Amazon Linux 2023 made from Debian's packages alone: never Amazon's system, and no proof of a package's name or content.

Right are: dnf 4 and rpm with a signed, release-locked repository, os-release and so Ansible's facts, Python 3.9 as `python3`, systemd 252, units disabled by
preset, ec2-user (uid 1000, wheel), bash as sh, where sshd's and dnf's files lie, cloud-init. Ours are: all names and contents of packages.
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

#: Bookworm's dnf is 4.14, as Amazon's; bullseye's Python is 3.9, as Amazon's.
BASE = """\
systemd systemd-sysv dbus sudo iproute2 iputils-ping procps python3 python3-dnf dnf dnf-plugins-core rpm ca-certificates curl gnupg tar gzip
util-linux passwd kmod openssh-server openssh-sftp-server less cloud-init python3.9
""".split()

#: The platform's Python, which dnf and cloud-init run on. On Amazon Linux that is the same as python3; here it is Debian's 3.11.
PLATFORM_PYTHON = "usr/libexec/platform-python"

#: What the repository offers: Debian's suite -> packages; with `alone`, without what they depend on. Trixie's Docker is of Amazon's generation.
WANTED = [
    "xvfb",
    "x11-utils",
    "x11-xserver-utils",
    "iptables",
    "cron",
    "jq",
    "unzip",
    "pigz",
    "xz-utils",
    "chrony",
    "runc",
    "python3.11-venv",
]
WANTED_ALONE = ["docker.io", "docker-cli", "containerd", "amazon-ecr-credential-helper"]

#: GLX by software: 300 MB of Mesa and LLVM. Xvfb runs without, with no GLX to offer.
LEFT_OUT = (
    "libglx-mesa0",
    "libgl1-mesa-dri",
    "libllvm15",
    "libz3-4",
    "libglapi-mesa",
    "libdrm-amdgpu1",
    "libdrm-intel1",
    "libdrm-nouveau2",
    "libdrm-radeon1",
)

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

#: What the base has, by name only: rpm -> version and what else it provides. So a role that asks for it is told that it is there.
STANDING: Mapping[str, tuple[str, ...]] = {
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
systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service getty@tty1.service console-getty.service
systemd-timesyncd.service systemd-networkd.service systemd-resolved.service e2scrub_reap.service e2scrub_all.timer fstrim.timer
""".split()


def fill(root: Path, work: Path, say: Callable[[str], None]) -> None:
    """Makes the root file system in the new directory `root`; `work` is a folder for what lies beside it. Raises BuildError."""
    say("a base of Debian 12 with dnf, rpm and Python 3.9")
    debian.bootstrap(root, ["bookworm", "bullseye"], BASE)
    say("the packages that become RPMs")
    debian.download(root, "bookworm", WANTED, work / "debs")
    debian.download(root, "trixie", WANTED_ALONE, work / "debs", alone=True)
    repository = root / "opt/al2023-repo" / RELEASE / platform.machine()
    number = rpms.Converter(work / "debs", NAMES, LEFT_OUT, HERE, platform.machine()).convert(repository)
    say(f"{number} RPMs are built; now what the base has, by name")
    for name, (version, *provided) in STANDING.items():
        _standing(name, version, [f"Provides: {one}" for one in provided], [], repository, work)
    _forget_debian(root)
    _platform_python(root)
    _identity(root, repository, work)
    say("the repository is signed and indexed")
    _sign(root, repository, work)
    debian.run("createrepo_c", "--quiet", "--general-compress-type=gz", repository)
    debian.run("chroot", root, "dnf", "-q", "-y", f"--releasever={RELEASE}", "install", "system-release", *STANDING)
    say("users, units, presets")
    _users(root)
    _units(root)
    for leftover in ("var/cache/dnf", "var/lib/dpkg", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / leftover, ignore_errors=True)


def _standing(name: str, version: str, relations: list[str], files: list[str], into: Path, work: Path) -> None:
    """An RPM that only says that something is there: no payload but `files`, which lie in `work`/name already."""
    folder = work / "standing" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "root").mkdir(exist_ok=True)
    listed = folder / "files"
    # rpmbuild takes no empty list.
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
            description="Look-alike: the base has it.",
            root=folder / "root",
            scripts="",
            files=listed,
        ),
        encoding="utf-8",
    )
    rpms.build(spec, into, "noarch")


def _forget_debian(root: Path) -> None:
    """No sign of Debian where facts, apt or a role would find one."""
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
    """python3 is 3.9; what came with Debian's 3.11 (dnf, cloud-init) goes on running on that."""
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
    """system-release, the package that owns os-release and to whose version the repository is locked; the repository's own file."""
    release = work / "standing/system-release/root"
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
    _standing("system-release", RELEASE, [f"Provides: system-release(releasever) = {RELEASE}"], files, repository, work)
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
    """Signs every RPM with a key made for this image alone; its public half is what dnf there trusts."""
    home = work / "gnupg"
    home.mkdir(mode=0o700)
    gpg = {"GNUPGHOME": str(home)}
    debian.run(
        "gpg",
        "--batch",
        "--quiet",
        "--passphrase",
        "",
        "--quick-gen-key",
        SIGNER,
        "rsa2048",
        "sign",
        "0",
        environment=gpg,
    )
    keys = root / "etc/pki/rpm-gpg"
    keys.mkdir(parents=True)
    (keys / "RPM-GPG-KEY-amazon-linux-2023").write_text(
        debian.run("gpg", "--armor", "--export", environment=gpg), encoding="utf-8"
    )
    # Debian's rpm looks for gpg where Debian has none.
    defines = ("--define", f"_gpg_name {SIGNER}", "--define", f"__gpg {shutil.which('gpg')}")
    debian.run("rpmsign", *defines, "--addsign", *sorted(repository.glob("*.rpm")), environment=gpg)
    debian.run("gpgconf", "--kill", "gpg-agent", environment=gpg)


def _users(root: Path) -> None:
    (root / "usr/bin/sh").unlink()
    (root / "usr/bin/sh").symlink_to("bash")
    debian.run("chroot", root, "groupadd", "--system", "wheel")
    groups = "wheel,adm,systemd-journal"
    debian.run(
        "chroot",
        root,
        "useradd",
        "--create-home",
        "--uid",
        "1000",
        "--shell",
        "/bin/bash",
        "--groups",
        groups,
        "ec2-user",
    )
    (root / "etc/sudoers.d/90-cloud-init-users").write_text("ec2-user ALL=(ALL) NOPASSWD:ALL\n", encoding="utf-8")
    # A container's name is Docker's to give; cloud-init would ask hostnamectl for it before there is a bus.
    (root / "etc/cloud/cloud.cfg.d/10-hostname.cfg").write_text("preserve_hostname: true\n", encoding="utf-8")
    configuration = root / "etc/cloud/cloud.cfg"
    text = configuration.read_text(encoding="utf-8")
    text = re.sub(r"(?m)^(\s+)distro: debian$", r"\1distro: amazon", text)
    text = re.sub(r"(?m)^(\s+)name: debian$", r"\1name: ec2-user", text)
    configuration.write_text(
        re.sub(r"(?m)^(\s+)groups: \[.*\]$", r"\1groups: [wheel, adm, systemd-journal]", text), encoding="utf-8"
    )


def _units(root: Path) -> None:
    """Amazon's names and presets; nothing that makes no sense in a container."""
    units = root / "usr/lib/systemd/system"
    unit = (units / "ssh.service").read_text(encoding="utf-8")
    (units / "sshd.service").write_text(unit.replace("Alias=sshd.service\n", ""), encoding="utf-8")
    (units / "ssh.service").unlink()
    debian.make_host_keys_at_boot(root, "sshd.service")
    (root / "usr/libexec/openssh").symlink_to("../lib/openssh")
    presets = root / "usr/lib/systemd/system-preset"
    presets.mkdir(parents=True, exist_ok=True)
    enabled = ["sshd.service", "cloud-*.service", "cloud-*.target"]
    (presets / "90-default.preset").write_text("".join(f"enable {unit}\n" for unit in enabled), encoding="utf-8")
    (presets / "99-default-disable.preset").write_text("disable *\n", encoding="utf-8")
    system = root / "etc/systemd/system"
    (system / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    links = {
        "multi-user.target.wants/sshd.service": "/usr/lib/systemd/system/sshd.service",
        "default.target": "/usr/lib/systemd/system/multi-user.target",
    }
    for name in ("sshd.service", "multi-user.target.wants/ssh.service"):
        (system / name).unlink()
    for folder in ("init.d", *(f"rc{level}.d" for level in "0123456S")):
        shutil.rmtree(root / "etc" / folder, ignore_errors=True)
    for name, target in (*links.items(), *((unit, "/dev/null") for unit in MASKED)):
        (system / name).unlink(missing_ok=True)
        (system / name).symlink_to(target)
