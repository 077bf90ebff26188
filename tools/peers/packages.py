"""What peers need from the package index: pinned, in build/peers, fetched once."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "peers"
PACKAGES = ROOT / "tools" / "peers" / "requirements.txt"


class Unreachable(RuntimeError):
    """The package index did not give what is needed."""


def _pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unreachable(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip failed")


def site() -> Path:
    """A folder to import from, with the packages of requirements.txt and nothing that .venv has."""
    folder = FOLDER / "site"
    mark = folder / PACKAGES.name
    if not mark.is_file() or mark.read_text() != PACKAGES.read_text():
        _pip("install", "--quiet", "--no-deps", "--upgrade", "--target", str(folder), "--requirement", str(PACKAGES))
        mark.write_text(PACKAGES.read_text())
    return folder


def source(name: str) -> Path:
    """The source distribution of an installed package, unpacked: its tests are only there."""
    folder = FOLDER / f"{name}-{version(name)}"
    if not folder.is_dir():
        FOLDER.mkdir(parents=True, exist_ok=True)
        _pip("download", "--quiet", "--no-deps", "--no-binary", name, "--dest", str(FOLDER), f"{name}=={version(name)}")
        with tarfile.open(FOLDER / f"{folder.name}.tar.gz") as archive:
            archive.extractall(FOLDER, filter="data")
    return folder
