# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of /etc/ghosthands/agent.conf: what playbooks and the agent on an instance agree on."""

from __future__ import annotations

import base64
import binascii
import re

#: Which version of the keys the playbooks write. An image states the version that its agent reads in the tag
#: `ghosthands:agent-schema`.
SCHEMA = "4"
#: Every one of them is written. A test holds them equal to the agent's (agent/src/ghosthands_agent/settings.py).
KEYS = (
    *("SCHEMA", "REGION", "GROUP", "TERMINATION_HOOK", "SECRET_ID", "IMAGE", "LAUNCH_HOOK", "ENDPOINT_URL"),
    *("IMAGE_FALLBACK", "DRAIN_POLICY", "DRAIN_LIMIT_SECONDS", "SPOT_LIMIT_SECONDS", "HEARTBEAT_TIMEOUT_SECONDS"),
    *("STOP_GRACE_SECONDS", "BOOT_TIMEOUT_SECONDS", "REQUIRED_KEYS", "WORKER_COMPLETES_HOOK", "LOG_GROUP"),
    *("WORKER_GUARD", "PROTECTION_LINGER_SECONDS", "LAUNCH_HOOK_TIMEOUT_SECONDS", "RETAINED_MAX"),
    *("WORKER_MEMORY", "API_MEMORY", "DEPLOY_MEMORY"),
)
#: Keys whose value may be empty, which means none.
OPTIONAL_KEYS = (
    *("LAUNCH_HOOK", "ENDPOINT_URL", "REQUIRED_KEYS", "LOG_GROUP"),
    *("WORKER_MEMORY", "API_MEMORY", "DEPLOY_MEMORY"),
)


def cloud_config(conf: str) -> str:
    """The user data's text, which writes `conf` to /etc/ghosthands/agent.conf (root only) and starts nothing."""
    indented = "".join(f"      {line}\n" for line in conf.splitlines())
    return (
        "#cloud-config\n"
        "write_files:\n"
        "  - path: /etc/ghosthands/agent.conf\n"
        "    owner: root:root\n"
        '    permissions: "0600"\n'
        f"    content: |\n{indented}"
    )


def agent_conf(user_data: str) -> tuple[dict[str, str], str]:
    """(agent.conf as user data writes it, why there is none)."""
    if not user_data:
        return {}, "there is no user data"
    try:
        text = base64.b64decode(user_data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return {}, "the user data is not the base64 of a text"
    if not text.startswith("#cloud-config") or "/etc/ghosthands/agent.conf" not in text:
        return {}, "the user data does not write /etc/ghosthands/agent.conf"
    # As agent_conf.user_data writes it: the lines below `content: |`, KEY=value.
    lines = [line.strip() for line in text.partition("content: |")[2].splitlines()]
    return dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line)), ""
