"""`python -m bench.idle_host FOLDER`: a process instance that writes its environment and then does nothing.

The environment is in FOLDER/INSTANCE_ID.json, for what the bench starts on the instance.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    environment = Path(sys.argv[1], f"{os.environ['INSTANCE_ID']}.json")
    new = environment.with_suffix(".new")
    new.write_text(json.dumps(dict(os.environ)))
    new.rename(environment)
    signal.pause()
