# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of /etc/ghosthands/agent.conf: what playbooks and the agent on an instance agree on."""

from __future__ import annotations

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
