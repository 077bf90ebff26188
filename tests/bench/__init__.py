"""What things cost, beside other ways of doing them. No test: it prints, and a missed aim is told."""

import sys
from pathlib import Path

# As tests.chaos: the agent is found by path.
sys.path.append(str(Path(__file__).parents[2] / "roles" / "ghosthands" / "files"))
