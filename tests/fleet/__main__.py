"""`python -m tests.fleet` prints the table of planted faults; --write puts it into docs/checks.md, --check compares."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Print, write or check the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fleet", description=__doc__)
    actions = parser.add_mutually_exclusive_group()
    actions.add_argument("--write", action="store_true", help="write the table to docs/checks.md")
    actions.add_argument("--check", action="store_true", help="fail if docs/checks.md is not up to date")
    options = parser.parse_args()
    sys.path.append(str(Path(__file__).parents[2] / "collections"))  # as pytest has it (pyproject.toml)
    from tests.fleet.faults import PAGE, matrix, page

    current = PAGE.read_text(encoding="utf-8")
    if options.write:
        PAGE.write_text(page(current), encoding="utf-8")
    elif not options.check:
        print(matrix())
    elif current != page(current):
        print("docs/checks.md is not up to date: run python -m tests.fleet --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
