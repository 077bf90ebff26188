"""What the worker's image is based on: a minimal Debian with what the worker's container runs beside bun."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tools.images import debian

#: curl for the api's health check, xlogo for a window on the display.
PACKAGES = ("ca-certificates", "curl", "x11-apps")


def fill(root: Path, work: Path, log: Callable[[str], None]) -> None:
    """Make the root file system in the new directory `root`. Raises BuildError."""
    log("a minimal Debian 12")
    debian.bootstrap(root, ["bookworm"], PACKAGES)
    for folder in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(root / folder, ignore_errors=True)
