"""`python -m tests.fleet` prints the planted faults as they stand in docs/checks.md. With --write it puts them there, with --check it says whether they are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Print, write or check."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="put them into docs/checks.md")
    what.add_argument("--check", action="store_true", help="fail where docs/checks.md is not current")
    given = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[2] / "collections"))  # as pytest has it (pyproject.toml)
    from tests.fleet.faults import PAGE, matrix, page

    there = PAGE.read_text(encoding="utf-8")
    if given.write:
        PAGE.write_text(page(there), encoding="utf-8")
    elif not given.check:
        print(matrix())
    elif there != page(there):
        print("docs/checks.md is not current: run python -m tests.fleet --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
