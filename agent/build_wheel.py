"""`build_wheel.py FOLDER`: build the agent's wheel in FOLDER and print its path. Standard library only, no network.

The same sources give the same bytes. The version ends in a digest of the sources, so pip itself knows whether a host
has this very agent. The role ghosthands installs the wheel; developers use `pip install --editable ./agent`.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile, ZipInfo

AGENT = Path(__file__).resolve().parent
PACKAGE = AGENT / "src/ghosthands_agent"


def build(folder: Path) -> Path:
    """Write the wheel to a folder; its path."""
    metadata = (AGENT / "pyproject.toml").read_bytes()
    files = [*sorted(PACKAGE.glob("*.py")), PACKAGE / "drain_guard.ts", PACKAGE / "py.typed"]
    sources = {f"{PACKAGE.name}/{file.name}": file.read_bytes() for file in files}
    digest = hashlib.sha256(repr((metadata, sources)).encode())
    project = tomllib.loads(metadata.decode())["project"]
    version = f"{project['version']}+{digest.hexdigest()[:16]}"
    wheel = folder / f"{PACKAGE.name}-{version}-py3-none-any.whl"
    info = f"{PACKAGE.name}-{version}.dist-info"
    content = sources | {
        f"{info}/METADATA": _metadata(project, version),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: build_wheel\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": _entry_points(project["scripts"]),
    }
    with ZipFile(wheel, "w") as archive:
        for name, data in (content | {f"{info}/RECORD": _record(content, info)}).items():
            archive.writestr(ZipInfo(name), data)  # ZipInfo: of 1980-01-01, not compressed
    return wheel


def _metadata(project: dict[str, str], version: str) -> bytes:
    fields = {
        "Metadata-Version": "2.4",
        "Name": project["name"],
        "Version": version,
        "Summary": project["description"],
        "License-Expression": project["license"],
        "Requires-Python": project["requires-python"],
    }
    requires = [f"Requires-Dist: {requirement}\n" for requirement in project["dependencies"]]
    return "".join([*(f"{name}: {value}\n" for name, value in fields.items()), *requires]).encode()


def _entry_points(scripts: dict[str, str]) -> bytes:
    return "".join(["[console_scripts]\n", *(f"{name} = {target}\n" for name, target in scripts.items())]).encode()


def _record(files: dict[str, bytes], info: str) -> bytes:
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')},{len(content)}"
        for name, content in files.items()
    ]
    return "\n".join([*lines, f"{info}/RECORD,,\n"]).encode()


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
