"""The repository as it stands: the files that git has or would take, and what is in them."""

from __future__ import annotations

import subprocess
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[str, ...]:
    """Every file that is tracked or would be (not ignored), relative to the root, without links and what is gone.

    Raises CalledProcessError where this is no git checkout.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return tuple(name for name in sorted(set(listed)) if (ROOT / name).is_file() and not (ROOT / name).is_symlink())


def matching(*patterns: str) -> list[str]:
    """The files whose whole path matches one of the patterns; `*` spans folders."""
    return [name for name in files() if any(fnmatchcase(name, pattern) for pattern in patterns)]


def text(name: str) -> str:
    """A file's text; bytes that are no UTF-8 come as the replacement character."""
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def load(name: str) -> Any:
    """A YAML file's value. Raises FileNotFoundError and yaml.YAMLError."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
