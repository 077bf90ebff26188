"""The agent beside a worker that the guard does not fit: it must run as if there were no guard, and say so."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.real_worker import measures
from tools.real_worker.database import Server
from tools.real_worker.fleet import RealFleet
from tools.real_worker.processes import RunFolder
from tools.real_worker.source import WORKERS, Source


def _rename_classes(folder: Path) -> None:
    """Other names for the classes that take jobs."""
    for file in (folder / WORKERS).rglob("*.ts"):
        text = file.read_text()
        file.write_text(re.sub(r"\b(JobPoller|PgBossConsumer)\b(?!\.js)", r"\1Renamed", text))


def _change_sql(folder: Path) -> None:
    """The same claims in other words."""
    for name, old, new in (
        ("JobPoller.ts", "status IN ('pending', 'queued')", "status = ANY(ARRAY['pending', 'queued'])"),
        ("PgBossConsumer.ts", "SET status = 'running', worker_id = $1", "SET worker_id = $1, status = 'running'"),
    ):
        file = folder / WORKERS / name
        file.write_text(file.read_text().replace(old, new))


def _crash(folder: Path) -> None:
    """A start-up that fails before the worker answers."""
    file = folder / WORKERS / "main.ts"
    file.write_text(file.read_text().replace("registerBuiltinHandlers();", "throw new Error('a crash in start-up');"))


#: Change -> whether the worker starts.
SHAPES: dict[str, tuple[Callable[[Path], None], bool]] = {
    "renamed": (_rename_classes, True),
    "sql": (_change_sql, True),
    "crash": (_crash, False),
}


def altered(run: RunFolder, source: Source, bun: str, server: Server, mode: str, shape: str) -> dict[str, Any]:
    """Boot one instance with an altered copy of the worker, give it three jobs, and scale it in while it is idle."""
    change, starts = SHAPES[shape]
    name = f"{mode}_{shape}"
    copy = _copy(source, run.path / f"source_{name}")
    change(copy.folder)
    fleet = RealFleet(run, copy, bun, server.create(name), mode, "preferred", name)
    fleet.up()
    row: dict[str, Any] = {"trial": "shapes", "mode": mode, "shape": shape}
    if starts:
        (instance,) = fleet.ensure(1)
        facts = fleet.worker_facts(instance)
        jobs = fleet.queue.submit([1.0] * 3)
        fleet.wait_for_statuses(jobs, {"completed"}, 60)
        fleet.terminate(instance)
        row |= {
            "attached": facts.attached,
            "boot_guard": facts.boot,
            "completed": list(measures.statuses(fleet.database, jobs).values()).count("completed"),
            "result": fleet.completion(instance, 60).result,
        }
    else:
        row |= fleet.failed_boot()
    fleet.down()
    return row


def _copy(source: Source, folder: Path) -> Source:
    """A copy of a checkout whose dependencies are links."""
    shutil.copytree(source.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("node_modules", ".git"))
    for modules in (source.folder / "node_modules", *source.folder.glob("packages/*/node_modules")):
        (folder / modules.relative_to(source.folder)).symlink_to(modules)
    return Source(folder, source.version)
