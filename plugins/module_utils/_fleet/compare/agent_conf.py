# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of /etc/ghosthands/agent.conf, and the user data that writes it. Pure.

User data is configuration, never a program: the agent refuses keys that it does not know.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import (
    KEYS,
    OPTIONAL_KEYS,
    SCHEMA,
    cloud_config,
)

USER_DATA_BYTES = 16384  # RunInstances, UserData: "limited to 16 KB, in raw form"


def agent_conf(settings: Mapping[str, Any]) -> str:
    """The text of agent.conf: SCHEMA, then every key of `settings`, in its order.

    :param settings: a value for each key except SCHEMA: text, a number, a boolean, or a list (written with commas).
    :raises ValueError: a key is unknown or missing, or the agent would not read a value as it is given.
    """
    if unknown := sorted(settings.keys() - (set(KEYS) - {"SCHEMA"})):
        raise ValueError(f"agent.conf has no key {', '.join(unknown)}")
    values = {"SCHEMA": SCHEMA} | {key: _text(value) for key, value in settings.items()}
    if missing := [key for key in KEYS if not values.get(key) and (key not in OPTIONAL_KEYS or key not in values)]:
        raise ValueError(f"agent.conf needs {', '.join(missing)}")
    for key, text in values.items():
        if text != text.strip() or re.search(r"[\x00-\x1f\x7f]", text):
            raise ValueError(
                f"agent.conf cannot hold {text!r} as {key}: no blanks around it, no line breaks, no control characters"
            )
    return "".join(f"{key}={text}\n" for key, text in values.items())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else "" if value is None else str(value)


def user_data(conf: str) -> str:
    """Base64 of `cloud_config`.

    :raises ValueError: it would be more than EC2 takes.
    """
    text = cloud_config(conf)
    size = len(text.encode())
    if size > USER_DATA_BYTES:
        raise ValueError(
            f"the user data would have {size} bytes, EC2 takes {USER_DATA_BYTES}: shorten fleet_required_keys"
        )
    return base64.b64encode(text.encode()).decode()
