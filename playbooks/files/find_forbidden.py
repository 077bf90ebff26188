"""`find_forbidden.py KINDS` prints "WHAT: PATH" for every path that matches a pattern of KINDS.

KINDS is the JSON of vars/image_forbidden.yml.

Runs on the builder's own Python, 3.9 on Amazon Linux 2023.
"""

from __future__ import annotations

import glob
import json
import os
import sys
from typing import Any

MACHINE_ID = "/etc/machine-id"


def forbidden(kinds: list[dict[str, Any]]) -> list[str]:
    """A line for each path that must not be in the image."""
    found = [
        f"{kind['what']}: {path}" for kind in kinds for pattern in kind["paths"] for path in sorted(glob.glob(pattern))
    ]
    if os.path.exists(MACHINE_ID) and os.path.getsize(MACHINE_ID):
        found.append(f"a machine ID that every instance would share: {MACHINE_ID}")
    return found


if __name__ == "__main__":
    print("\n".join(forbidden(json.loads(sys.argv[1]))))
