"""Debian packages converted to RPMs under Amazon Linux 2023's names: payload, dependencies and scripts.

Debian's maintainer scripts are dropped. What Amazon's RPM does at installation, as far as roles depend on it, is
described by `Names`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tools.images import debian

RELEASE = "1.amzn2023.lookalike"
JUNK = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bug",
    "etc/init.d",
    "etc/default",
)
SPEC = """\
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global _build_id_links none
%global _binary_payload w3.zstdio
Name: {name}
Version: {version}
Release: {release}
Summary: {summary}
License: as in Debian
BuildArch: {architecture}
AutoReqProv: no
{relations}
%description
{description}
%install
cp -a {root}/. %{{buildroot}}/
{scripts}
%files -f {files}
%defattr(-,root,root,-)
"""


@dataclass(frozen=True)
class Names:
    """How one RPM is made of Debian's packages.

    Attributes:
        debs: Debian's packages whose payload it contains; the first one gives its version.
        requires: names in addition to Debian's own dependencies.
        units: units to which its scripts apply systemd's presets, as Fedora's macros do; the preset disables them.
        group: a system group that it creates.
        links: symbolic links to add, path to target.
        renamed: payload to move, path to path, relative to the root.
    """

    debs: tuple[str, ...]
    requires: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    group: str = ""
    links: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    def scripts(self) -> str:
        lines = []
        if self.group:
            lines += ["%pre", f"getent group {self.group} >/dev/null || groupadd -r {self.group}"]
        if self.units:
            units = " ".join(self.units)
            lines += ["%post", f"[ $1 -ne 1 ] || systemctl --no-reload preset {units} >/dev/null 2>&1 || :"]
            lines += ["%preun", f"[ $1 -ne 0 ] || systemctl --no-reload disable --now {units} >/dev/null 2>&1 || :"]
            lines += ["%postun", "systemctl daemon-reload >/dev/null 2>&1 || :"]
        return "\n".join(lines)


class Converter:
    """Makes RPMs from the .deb files of one folder."""

    def __init__(
        self, debs: Path, names: Mapping[str, Names], left_out: Iterable[str], overlay: Path, architecture: str
    ) -> None:
        """Read the packages' names.

        Args:
            debs: the folder.
            names: RPM name -> how it is made; any other package keeps Debian's name.
            left_out: Debian packages that are not converted.
            overlay: folder with a folder per RPM name, whose files replace or add payload.
            architecture: such as x86_64.
        """
        self.names = dict(names)
        self.overlay = overlay
        self.architecture = architecture
        self.files = {debian.field(deb, "Package"): deb for deb in sorted(debs.glob("*.deb"))}
        for deb in left_out:
            self.files.pop(deb, None)
        self.renamed = {deb: name for name, made in self.names.items() for deb in made.debs}
        for deb in self.files:
            self.names.setdefault(self.renamed.setdefault(deb, deb), Names((deb,)))

    def convert(self, into: Path) -> int:
        """Write all RPMs to the folder `into` and return their number.

        Raises BuildError if one fails or a package in `names` is missing.
        """
        missing = sorted({deb for made in self.names.values() for deb in made.debs} - set(self.files))
        if missing:
            raise debian.BuildError(f"not downloaded: {', '.join(missing)}")
        into.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: self._convert(name, into), sorted(self.names)))
        return len(self.names)

    def _convert(self, name: str, into: Path) -> None:
        made = self.names[name]
        work = into.parent / "rpm" / name
        root = work / "root"
        root.mkdir(parents=True)
        for deb in made.debs:
            debian.run("dpkg-deb", "--extract", self.files[deb], root)
        self._arrange(name, root)
        listed = work / "files"
        listed.write_text("\n".join(_file_list(root)) + "\n", encoding="utf-8")
        first = self.files[made.debs[0]]
        independent = all(debian.field(self.files[deb], "Architecture") == "all" for deb in made.debs)
        architecture = "noarch" if independent else self.architecture
        spec = work / "spec"
        spec.write_text(
            SPEC.format(
                name=name,
                version=version(debian.field(first, "Version")),
                release=RELEASE,
                summary=debian.field(first, "Description").split("\n")[0].rstrip("."),
                architecture=architecture,
                relations="".join(f"Requires: {other}\n" for other in sorted(self._requires(name))),
                description=f"Look-alike, repackaged from Debian: {' '.join(made.debs)}.",
                root=root,
                scripts=made.scripts(),
                files=listed,
            ),
            encoding="utf-8",
        )
        build(spec, into, architecture)
        shutil.rmtree(work)

    def _requires(self, name: str) -> set[str]:
        required = set(self.names[name].requires)
        for deb in self.names[name].debs:
            fields = (debian.field(self.files[deb], field) for field in ("Depends", "Pre-Depends"))
            for clause in ",".join(fields).split(","):
                alternatives = [re.split(r"[\s(:]", one.strip())[0] for one in clause.split("|")]
                required |= {self.renamed[one] for one in alternatives if one in self.files}
        return required - {name}

    def _arrange(self, name: str, root: Path) -> None:
        """Merge into one /usr, remove documentation, and apply the RPM's renames, links and overlay."""
        for top in ("bin", "sbin", "lib", "lib64"):
            if (root / top).is_dir():
                debian.run("cp", "-a", "--", root / top, root / "usr/")
                shutil.rmtree(root / top)
        for junk in JUNK:
            shutil.rmtree(root / junk, ignore_errors=True)
        made = self.names[name]
        for old, new in made.renamed.items():
            (root / new).parent.mkdir(parents=True, exist_ok=True)
            (root / old).rename(root / new)
        for link, target in made.links.items():
            (root / link).parent.mkdir(parents=True, exist_ok=True)
            (root / link).unlink(missing_ok=True)
            (root / link).symlink_to(target)
        if (self.overlay / name).is_dir():
            shutil.copytree(self.overlay / name, root, dirs_exist_ok=True)


def build(spec: Path, into: Path, architecture: str) -> None:
    """Build an RPM from a spec file into a folder. Raises BuildError."""
    top = spec.parent / "top"
    definitions = {
        "_topdir": top,
        "_rpmdir": into,
        "_rpmfilename": "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
        "_dbpath": top / "db",
    }
    defines = [word for name, value in definitions.items() for word in ("--define", f"{name} {value}")]
    debian.run("rpmbuild", "-bb", "--quiet", *defines, "--target", architecture, spec)


def _file_list(root: Path) -> Iterator[str]:
    """The lines of %files: everything but directories, configuration marked as such."""
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            name = "/" + str(path.relative_to(root)).replace("%", "%%")
            yield f'%config(noreplace) "{name}"' if name.startswith("/etc/") else f'"{name}"'


def version(version: str) -> str:
    """Debian's upstream version as RPM allows it: without epoch, revision and hyphens."""
    upstream = version.split(":", 1)[-1].rsplit("-", 1)[0]
    return re.sub(r"[^A-Za-z0-9._+~^]", ".", re.sub(r"[+~](dfsg|ds|b)\d*", "", upstream))
