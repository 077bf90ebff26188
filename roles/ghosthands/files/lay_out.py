"""`lay_out.py FILE PACKAGE` makes a package of the running Python's site-packages of a JSON file of names and texts. Prints `changed` or `as wanted`.

The package is new or old, never half: what goes on running keeps the old files. Byte code comes along, since its units may not write there.
"""

from __future__ import annotations

import compileall
import json
import shutil
import sys
import sysconfig
from pathlib import Path


def found(package: Path) -> dict[str, str]:
    """The package's source files, name -> text; empty where there is none."""
    return {file.name: file.read_text(encoding="utf-8") for file in package.glob("*.py")}


def lay_out(wanted: dict[str, str], package: Path) -> bool:
    """Make `package` consist of these files and no others; whether it had to be made. Raises OSError, ValueError where a name is no plain file name."""
    if found(package) == wanted:
        return False
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


def main(file: str, name: str) -> None:
    wanted: dict[str, str] = json.loads(Path(file).read_text(encoding="utf-8"))
    changed = lay_out(wanted, Path(sysconfig.get_path("purelib")) / name)
    print("changed" if changed else "as wanted")


if __name__ == "__main__":
    main(*sys.argv[1:])
