"""Run randomised schedules in virtual time: as the runbook has it, with the agent, and with its guard in the worker."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from functools import partial

from schedules.results import COLUMNS, Column, Report, run_all, run_column, table
from schedules.schedule import draw

PROGRESS_SECONDS = 5


def main(arguments: list[str] | None = None) -> int:
    """Return 1 if any rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m schedules", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=None, help="seed of all random numbers (default: random, printed)")
    parser.add_argument("--replay", type=int, default=None, metavar="K", help="print what happens in schedule K")
    parser.add_argument("--column", choices=COLUMNS, default="guard", help="replay it as that column has it")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at once (default: all cores)"
    )
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    if options.replay is not None:
        return _replay(seed, options.replay, options.column)
    print(f"{options.schedules} schedules, seed {seed}", flush=True)
    report = run_many(seed, options.schedules, options.processes)
    for failure in report.failures[:20]:
        print(failure)
    if len(report.failures) > 20:
        print(f"... and more: {', '.join(str(failure.number) for failure in report.failures[20:])}")
    print("\n".join(table(report.rows)))
    return 1 if report.failures else 0


def run_many(seed: int, schedules: int, processes: int, share: int = 1) -> Report:
    """Run the schedules 0 to `schedules` - 1, several at once, and print a line of progress now and then.

    Args:
        share: only each one of so many runs in the columns without a guard.
    """
    report, began, printed = Report(), time.monotonic(), time.monotonic()
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for done, result in enumerate(
            pool.imap_unordered(partial(run_all, seed, share), range(schedules), chunksize=4), 1
        ):
            report.add(result)
            if time.monotonic() - printed > PROGRESS_SECONDS:
                printed = time.monotonic()
                broken = ", ".join(str(failure.number) for failure in report.failures) or "none"
                print(f"{done} of {schedules} after {printed - began:.0f} s, rules broken in {broken}", flush=True)
    report.failures.sort(key=lambda failure: failure.number)
    print(f"{schedules} schedules in {time.monotonic() - began:.1f} s", flush=True)
    return report


def _replay(seed: int, number: int, column: Column) -> int:
    schedule = draw(seed, number)
    print(schedule)
    outcome = run_column(schedule, column, print)
    print(outcome)
    return 1 if outcome.broken_rules else 0


if __name__ == "__main__":
    sys.exit(main())
