"""The wheel that the role installs. That pip installs it: processes/test_installation.py."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

AGENT = Path(__file__).parents[2]


def build(agent: Path, folder: Path) -> Path:
    folder.mkdir()
    command = [sys.executable, str(agent / "build_wheel.py"), str(folder)]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def copy(folder: Path) -> Path:
    shutil.copytree(AGENT, folder, ignore=shutil.ignore_patterns("tests", "*.egg-info"))
    return folder


def test_the_same_sources_give_the_same_wheel(tmp_path: Path) -> None:
    first, second = build(AGENT, tmp_path / "1"), build(copy(tmp_path / "agent"), tmp_path / "2")
    assert (first.name, first.read_bytes()) == (second.name, second.read_bytes())


def test_a_changed_source_changes_the_version(tmp_path: Path) -> None:
    changed = copy(tmp_path / "agent")
    with (changed / "src/ghosthands_agent/watch.py").open("a") as file:
        file.write("# changed\n")
    assert build(AGENT, tmp_path / "1").name != build(changed, tmp_path / "2").name


def test_it_holds_the_package_and_a_record_of_every_file(tmp_path: Path) -> None:
    with ZipFile(build(AGENT, tmp_path / "wheel")) as wheel:
        names = wheel.namelist()
        (record,) = (name for name in names if name.endswith("/RECORD"))
        lines = [line.split(",") for line in wheel.read(record).decode().splitlines()]
        for name, digest, size in lines[:-1]:
            found = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).decode().rstrip("=")
            assert (digest, size) == (f"sha256={found}", str(wheel.getinfo(name).file_size))
    assert [line[0] for line in lines] == names
    package = AGENT / "src/ghosthands_agent"
    sources = {
        f"ghosthands_agent/{file.name}" for file in [*package.glob("*.py"), *package.glob("*.ts"), package / "py.typed"]
    }
    assert {name for name in names if ".dist-info/" not in name} == sources
