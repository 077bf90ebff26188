"""The fleet beside the real worker: `make real-worker SOURCE=/path/to/its/checkout OPTIONS="--scenario busy"`.

Runs the agent of this checkout beside the worker of another one, on temporary servers, and prints what became of the
jobs. README.md says what is real and what is not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tools.real_worker import scenarios, table
from tools.real_worker.cost import measure_jobs, measure_starts
from tools.real_worker.database import Server
from tools.real_worker.fleet import RealFleet
from tools.real_worker.processes import RunFolder, remove_leftovers
from tools.real_worker.shapes import SHAPES, altered
from tools.real_worker.source import ROOT, NotUsable, Source, bun

MODES, GUARDS = ("queue", "legacy"), ("preferred", "off")
OTHERS = ("shapes", "start", "jobs")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's."""
    parser = argparse.ArgumentParser(prog="make real-worker", description=__doc__)
    parser.add_argument("source", metavar="SOURCE", help="a checkout of the worker, with its dependencies installed")
    parser.add_argument(
        "--migrations", metavar="CHECKOUT", help="another checkout, whose migrations make the database (SOURCE's own)"
    )
    everything = (*scenarios.SCENARIOS, *OTHERS)
    for name, choices in (("mode", MODES), ("guard", GUARDS), ("scenario", everything)):
        parser.add_argument(f"--{name}", action="append", choices=choices, help="may be repeated; default: see README")
    parser.add_argument("--count", type=_positive, default=10, help="instances that go in each scenario (10)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="append each result as a line of JSON")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    given = parser.parse_args(words)
    given.mode, given.guard = given.mode or list(MODES), given.guard or ["preferred"]
    given.scenario = given.scenario or list(everything)
    return given


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def main(words: Sequence[str] | None = None) -> int:
    given = arguments(words)
    signal.signal(signal.SIGTERM, _exit)
    run = None
    try:
        source, program = Source.at(given.source), bun()
        database = Source.at(given.migrations) if given.migrations else source
        for folder in remove_leftovers():
            _say(f"cleaned up after a run that was killed: {folder}")
        run = RunFolder(given.keep)
        rows = list(_trials(given, run, source, program, Server(run, database.migrations)))
    except NotUsable as problem:
        print(f"real-worker: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    finally:
        if run:
            with _uninterrupted():
                run.close()
            if given.keep:
                _say(f"logs: {run.path}")
    print(table.text(rows))
    return 0


def _trials(
    given: argparse.Namespace, run: RunFolder, source: Source, program: str, server: Server
) -> Iterator[dict[str, Any]]:
    facts = {"source": source.version, "commit": _commit()}
    _say(f"worker {source.version}, this checkout {facts['commit']}")
    for row in _rows(given, run, source, program, server):
        row = {**facts, **row}
        _say(table.line(row))
        if given.json:
            with given.json.open("a") as file:
                file.write(json.dumps(row) + "\n")
        yield row


def _rows(
    given: argparse.Namespace, run: RunFolder, source: Source, program: str, server: Server
) -> Iterator[dict[str, Any]]:
    chosen = [name for name in scenarios.SCENARIOS if name in given.scenario]
    for mode in given.mode:
        for guard in given.guard if chosen else ():
            name = f"{mode}_{guard}"
            fleet = RealFleet(run, source, program, server.create(name), mode, guard, name)
            fleet.up()
            for scenario in chosen:
                _say(f"{mode}, guard {guard}: {scenario}")
                yield scenarios.run(fleet, scenario, given.count, given.seed)
            fleet.down()
        if "shapes" in given.scenario:
            for shape in SHAPES:
                _say(f"{mode}: shape {shape}")
                yield altered(run, source, program, server, mode, shape)
        if "start" in given.scenario:
            yield measure_starts(run, source, program, server, mode, given.count)
        if "jobs" in given.scenario:
            yield measure_jobs(run, source, program, server, mode)


def _commit() -> str:
    git = ["git", "-C", str(ROOT)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return (commit.stdout.strip() or "unknown") + ("+changes" if changed.stdout.strip() else "")


def _say(text: str) -> None:
    print(f"real-worker: {text}", file=sys.stderr, flush=True)


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore a second Ctrl-C while everything is ended."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
