"""Measurements of what things cost, as ratios to a named baseline. They are not tests: a missed target is printed."""

import sys
from pathlib import Path

# As pyproject.toml has it for the tests.
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("collections", "agent/src", "agent/tests", "localcloud/src")]
