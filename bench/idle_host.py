"""A process instance that does nothing: whoever boots something on it finds its environment in FOLDER/INSTANCE_ID.json.

`python -m bench.idle_host FOLDER`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    told = Path(sys.argv[1], f"{os.environ['INSTANCE_ID']}.json")
    new = told.with_suffix(".new")
    new.write_text(json.dumps(dict(os.environ)))
    new.rename(told)
    signal.pause()
