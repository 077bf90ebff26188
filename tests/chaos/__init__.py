"""Chaos: randomised lives of a fleet in virtual time, under the agent's own stories."""

import sys
from pathlib import Path

# The agent is a package of the host's own Python, not of this repository's: found by path, here as there.
sys.path.append(str(Path(__file__).parents[2] / "roles" / "ghosthands" / "files"))
