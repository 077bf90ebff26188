"""`lay_out.py FILE [--check]` makes the host have what a JSON file describes, in one go, and prints the path of each thing that it had to make.

    {"folders": [{"path": "/etc/ghosthands", "owner": 0}],
     "files": {"/usr/local/bin/ghosthands-agent": ["#!/bin/sh", ""]},
     "package": {"name": "ghosthands_agent", "files": {"__init__.py": [""]}}}

Texts are lists of lines, so that a diff of FILE reads as one of the files. Each of the three may be missing. A package goes into the running Python's
site-packages. Package and files are new or old, never half: what goes on running keeps the old ones. With --check nothing is made.
"""

from __future__ import annotations

import compileall
import json
import os
import shutil
import stat
import sys
import sysconfig
from pathlib import Path


def found(package: Path) -> dict[str, str]:
    """The package's source files, name -> text; empty where there is none."""
    return {file.name: file.read_text(encoding="utf-8") for file in package.glob("*.py")}


def lay_out(wanted: dict[str, str], package: Path, make: bool = True) -> bool:
    """Make `package` consist of these files and no others, with their byte code, since its units may not write there.

    Returns whether it had to be made. Raises OSError, and ValueError where a name is no plain file name.
    """
    if found(package) == wanted:
        return False
    if make:
        new, old = package.with_suffix(".new"), package.with_suffix(".old")
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
        new.mkdir(mode=0o755)
        for name, text in wanted.items():
            if Path(name).name != name:
                raise ValueError(f"not a file name: {name}")
            (new / name).write_text(text, encoding="utf-8")
        compileall.compile_dir(str(new), ddir=str(package), quiet=2)
        if package.exists():
            package.rename(old)
        new.rename(package)
        shutil.rmtree(old, ignore_errors=True)
    return True


def place(file: Path, text: str, make: bool = True) -> bool:
    """Make `file` hold this text; what begins with `#!` is a program. Returns whether it had to be made. Raises OSError."""
    mode = 0o755 if text.startswith("#!") else 0o644
    if file.is_file() and stat.S_IMODE(file.lstat().st_mode) == mode and file.read_bytes() == text.encode():
        return False
    if make:
        new = file.with_name(f".{file.name}.new")
        new.write_text(text, encoding="utf-8")
        new.chmod(mode)
        new.replace(file)
    return True


def give(folder: Path, owner: int, make: bool = True) -> bool:
    """Make `folder` be there, with the parents it takes, open to all and the owner's, a user whose group has the same number.

    Returns whether it had to be made or changed. Raises OSError.
    """
    if folder.is_dir():
        now = folder.stat()
        if (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (owner, owner, 0o755):
            return False
    if make:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        os.chown(folder, owner, owner)
    return True


def main(file: str, make: bool) -> None:
    wanted = json.loads(Path(file).read_text(encoding="utf-8"))
    made = [entry["path"] for entry in wanted.get("folders", []) if give(Path(entry["path"]), entry["owner"], make)]
    if package := wanted.get("package"):
        place_of_it = Path(sysconfig.get_path("purelib")) / package["name"]
        if lay_out({name: "\n".join(lines) for name, lines in package["files"].items()}, place_of_it, make):
            made.append(str(place_of_it))
    made += [path for path, lines in wanted.get("files", {}).items() if place(Path(path), "\n".join(lines), make)]
    print("\n".join(made))


if __name__ == "__main__":
    main(sys.argv[1], make="--check" not in sys.argv[2:])
