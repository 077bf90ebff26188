"""Seeds of randomised tests: each prints its own, and `SEED=7849 pytest ...` repeats it."""

from __future__ import annotations

import os
import random


def new_seed() -> int:
    """SEED of the environment; without it another one each time."""
    return int(os.environ.get("SEED") or random.SystemRandom().randrange(10_000))
