"""The operator's checkout of the worker."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path("packages/ghosthands")
WORKERS = PACKAGE / "src/workers"
LAUNCHER = WORKERS / "workerLauncher.ts"
#: In the order in which the worker's documentation has them.
FIRST_MIGRATIONS = ("supabase-migration.sql", "supabase-migration-integration.sql")
MIGRATIONS = PACKAGE / "src/db/migrations"
DEPENDENCIES = ("pg", "pg-boss", "@supabase/supabase-js")


class NotUsable(Exception):
    """Something that a run needs is missing; the text says what, and what to do."""


@dataclass(frozen=True)
class Source:
    """A checkout with its dependencies installed."""

    folder: Path
    version: str

    @classmethod
    def at(cls, text: str) -> Source:
        """Look at a folder. Raises NotUsable."""
        if not text:
            raise NotUsable("SOURCE is empty: make real-worker SOURCE=/path/to/a/checkout/of/the/worker")
        folder = Path(text).expanduser().resolve()
        for needed in (LAUNCHER, MIGRATIONS, *map(Path, FIRST_MIGRATIONS)):
            if not (folder / needed).exists():
                raise NotUsable(f"SOURCE={text} is no checkout of the worker: it has no {needed}")
        missing = [name for name in DEPENDENCIES if not _installed(folder, name)]
        if missing:
            raise NotUsable(f"SOURCE={text} has no {', '.join(missing)} installed: run `bun install` there")
        return cls(folder, _version(folder))

    @property
    def migrations(self) -> list[Path]:
        """The worker's own migrations, in order."""
        return [*(self.folder / name for name in FIRST_MIGRATIONS), *sorted((self.folder / MIGRATIONS).glob("*.sql"))]


def _installed(folder: Path, name: str) -> bool:
    return any((place / "node_modules" / name).exists() for place in (folder, folder / PACKAGE))


def _version(folder: Path) -> str:
    """The commit, if it is a git checkout of its own; else a hash of the worker's sources."""
    git = ["git", "-C", str(folder)]
    if (folder / ".git").exists():
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
        if commit.returncode == 0:
            return commit.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
    content = hashlib.sha256()
    for file in sorted((folder / PACKAGE / "src").rglob("*.ts")):
        content.update(file.read_bytes())
    return f"sources-{content.hexdigest()[:8]}"


def bun() -> str:
    """The path of bun. Raises NotUsable."""
    made = subprocess.run([ROOT / ".ci/bun"], stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode:
        raise NotUsable(".ci/bun could not install bun (see above)")
    return made.stdout.strip()
