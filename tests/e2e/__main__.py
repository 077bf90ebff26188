"""`python -m tests.e2e` (`make demo INSTANCES=container`): README's path on AWS, live, with one real instance.

It stays up until Enter or Ctrl-C, where there is a terminal, and then leaves nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.first_day import FirstDay, remove, until

JOBS = 3


def show(text: str) -> None:
    """A line of progress."""
    print(f"\n== {text}", flush=True)


def main() -> int:
    """Go the path and show what came of it."""
    folder = Path(tempfile.mkdtemp(prefix="gh-demo-"))
    try:
        show("An empty account on localcloud, a database, the worker's image (minutes, the first time)")
        with FirstDay(folder) as day:
            for step in day.steps():
                if "verify" not in step.title.lower():
                    show(f"{step.number}. {step.title}: {step.commands.splitlines()[0]}")
                    print(f"   {day.step(step.title).seconds:.0f} s", flush=True)
            began = time.monotonic()
            (instance,) = day.wait_for_workers(1)
            show(f"{instance} works, {time.monotonic() - began:.0f} s after that. Its services:")
            print(day.run(instance, "docker ps --format 'table {{.Names}}\\t{{.Status}}\\t{{.Image}}'"))
            show(f"{JOBS} jobs")
            jobs = day.database.enqueue(day.mode, *["sleep 2000"] * JOBS)
            until(lambda: not day.database.unfinished(jobs), 60, "the jobs are done")
            print(f"done, by {', '.join(set(day.database.outcome(jobs).holders.values()))}")
            show("Verify")
            print(day.step("Verify").output)
            print(f"A page that draws the group: {day.cloud.url}")
            print(f"A shell on the instance: docker exec -it {instance} bash")
            if sys.stdin.isatty():
                input("Enter ends it: ")
        print("Nothing of it is left.")
    except KeyboardInterrupt:
        print("\nInterrupted; nothing of it is left.")
        return 130
    finally:
        remove(folder)
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
