"""A copy of the Packer template, with a small playbook in place of the real one."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "packer"


def tree(folder: Path, *, template: Path = TEMPLATE) -> Path:
    """Copy the template to `folder`/packer, with the files to which it has relative paths, and return that path."""
    copied = folder / "packer"
    shutil.copytree(template, copied)
    for name in ("files", "tasks", "vars"):
        shutil.copytree(ROOT / "playbooks" / name, folder / "playbooks" / name)
    shutil.copytree(Path(__file__).with_name("playbooks"), folder / "playbooks", dirs_exist_ok=True)
    shutil.copy(ROOT / "ansible.cfg", folder)
    (folder / "build/image").mkdir(parents=True)
    return copied
