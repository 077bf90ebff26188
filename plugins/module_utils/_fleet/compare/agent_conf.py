# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent on an instance is told: /etc/ghosthands/agent.conf, and the user data that writes it. Pure.

User data is configuration, never a program: the agent refuses keys that it does not know.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

USER_DATA_BYTES = 16384  # RunInstances, UserData: "limited to 16 KB, in raw form"
REQUIRED = ("SCHEMA", "REGION", "GROUP", "TERMINATION_HOOK", "SECRET_ID", "IMAGE")
# What the agent takes a missing key to be. None: nothing, the key says something only where it is written.
DEFAULTS: Mapping[str, Any] = {
    "LAUNCH_HOOK": None,
    "ENDPOINT_URL": None,
    "IMAGE_FALLBACK": "never",
    "DRAIN_POLICY": "wait_idle",
    "DRAIN_LIMIT_SECONDS": 2100,
    "SPOT_LIMIT_SECONDS": 110,
    "HEARTBEAT_TIMEOUT_SECONDS": 300,
    "STOP_GRACE_SECONDS": 60,
    "BOOT_TIMEOUT_SECONDS": 900,
    "REQUIRED_KEYS": None,
    "WORKER_COMPLETES_HOOK": False,
    "LOG_GROUP": None,
}


def agent_conf(settings: Mapping[str, Any]) -> str:
    """The file's text: the required keys, then those that differ from the agent's defaults, in the order given.

    Values are text, numbers, booleans, or lists (written with commas); an empty text or list counts as not given.

    :raises ValueError: a key is unknown or missing, or a value would not come back as it went in.
    """
    if unknown := sorted(settings.keys() - {*REQUIRED, *DEFAULTS}):
        raise ValueError(f"agent.conf has no key {', '.join(unknown)}")
    if missing := [key for key in REQUIRED if settings.get(key) in (None, "")]:
        raise ValueError(f"agent.conf needs {', '.join(missing)}")
    lines = []
    for key, value in settings.items():
        text = _text(value)
        if key not in REQUIRED and (text == "" or text == _text(DEFAULTS[key])):
            continue
        if text != text.strip() or re.search(r"[\x00-\x1f\x7f]", text):
            raise ValueError(
                f"agent.conf cannot hold {text!r} as {key}: no blanks around it, no line breaks, no control characters"
            )
        lines.append(f"{key}={text}\n")
    return "".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else "" if value is None else str(value)


def user_data(conf: str) -> str:
    """Base64 of the cloud-config that writes `conf` to /etc/ghosthands/agent.conf (root only) and starts nothing.

    :raises ValueError: it would be more than EC2 takes.
    """
    indented = "".join(f"      {line}\n" for line in conf.splitlines())
    text = (
        "#cloud-config\n"
        "write_files:\n"
        "  - path: /etc/ghosthands/agent.conf\n"
        "    owner: root:root\n"
        '    permissions: "0600"\n'
        f"    content: |\n{indented}"
    )
    size = len(text.encode())
    if size > USER_DATA_BYTES:
        raise ValueError(
            f"the user data would have {size} bytes, EC2 takes {USER_DATA_BYTES}: shorten fleet_required_keys"
        )
    return base64.b64encode(text.encode()).decode()
