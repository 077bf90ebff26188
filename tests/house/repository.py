"""The files of this checkout, as git sees them, and their contents."""

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
    """Every file that git tracks or would add, relative to the root, without links and deleted files.

    Raises CalledProcessError if this is not a git checkout.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return tuple(name for name in sorted(set(listed)) if (ROOT / name).is_file() and not (ROOT / name).is_symlink())


def matching(*patterns: str) -> list[str]:
    """The files whose whole path matches one of the patterns; `*` spans folders."""
    return [name for name in files() if any(fnmatchcase(name, pattern) for pattern in patterns)]


@cache
def text(name: str) -> str:
    """A file's text; bytes that are not UTF-8 become the replacement character."""
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


@cache
def load(name: str) -> Any:
    """A YAML file's value, to be read only. Raises FileNotFoundError and yaml.YAMLError."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
