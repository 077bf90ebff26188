"""``python -m schedules``: randomised schedules in virtual time, under the agent and under the runbook."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from functools import partial

from schedules.run import Totals, both, run_kit, run_runbook, table
from schedules.schedule import draw


def main(arguments: list[str] | None = None) -> int:
    """Run it; 1 if any rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m schedules", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000, metavar="N", help="how many (default 1000)")
    parser.add_argument("--seed", type=int, default=None, help="where chance begins (default: random, printed)")
    parser.add_argument(
        "--replay", type=int, default=None, metavar="K", help="tell schedule K of the seed line by line"
    )
    parser.add_argument("--runbook", action="store_true", help="replay it under the runbook instead of the agent")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at once (default: all cores)"
    )
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    if options.replay is not None:
        return _replay(seed, options.replay, runbook=options.runbook)
    print(f"{options.schedules} schedules, seed {seed}", flush=True)
    totals = run_many(seed, options.schedules, options.processes)
    for failure in totals.failures[:20]:
        print(failure)
    if len(totals.failures) > 20:
        print(f"... and more: {', '.join(str(failure.number) for failure in totals.failures[20:])}")
    print("\n".join(table(totals.ways)))
    return 1 if totals.failures else 0


def run_many(seed: int, schedules: int, processes: int) -> Totals:
    """Run the schedules 0 to ``schedules`` - 1, several at once, with a line of progress now and then."""
    totals, began, told = Totals(), time.monotonic(), time.monotonic()
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for done, results in enumerate(pool.imap_unordered(partial(both, seed), range(schedules), chunksize=4), 1):
            totals.merge(results)
            if time.monotonic() - told > 5:
                told = time.monotonic()
                print(
                    f"{done} of {schedules} after {told - began:.0f} s, {len(totals.failures)} with broken rules",
                    flush=True,
                )
    totals.failures.sort(key=lambda failure: failure.number)
    print(f"{schedules} schedules in {time.monotonic() - began:.1f} s", flush=True)
    return totals


def _replay(seed: int, number: int, *, runbook: bool) -> int:
    schedule = draw(seed, number)
    print(schedule)
    outcome = run_runbook(schedule, print) if runbook else run_kit(schedule, say=print)
    print(outcome)
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
