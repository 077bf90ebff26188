#!/usr/bin/python3.11
"""The entrypoint of the tests' image: like the real image's it runs custom_startup.sh, and then becomes the command.

The real custom_startup.sh starts another api and another worker. The one of the tests' image prints a line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CUSTOM_STARTUP = Path("/dockerstartup/custom_startup.sh")

if __name__ == "__main__":
    if CUSTOM_STARTUP.is_file():  # Kasm's vnc_startup.sh asks the same
        subprocess.run([CUSTOM_STARTUP], check=True)
    os.environ["DISPLAY"] = ":1"
    os.execvp(sys.argv[1], sys.argv[1:])
