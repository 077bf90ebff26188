# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every host of a fleet, asked for its own findings. ../modules/fleet_hosts.py is the documentation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account, AccountError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts import run_command, ssh
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.answer import Answer, host
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars

AT_ONCE = 32  # ssh clients; each waits for its host rather than works
STATES = ("InService", "Pending:Wait", "Terminating:Wait")
KNOWN_HOSTS = "~/.ssh/ghosthands_known_hosts"
OPTIONS: dict[str, Any] = {
    "by": {"type": "str", "required": True, "choices": ["ssh", "ssm"]},
    "key_file": {"type": "str", "default": ""},
}


class ActionModule(FleetAction):
    """Who is there, asked all at once. What goes wrong is in the result, never a failure."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/fleet_hosts.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, settings = self._begin(task_vars or {}, OPTIONS)
        account, name = self._account(args), settings["fleet_group_name"]
        if args["by"] == "ssm" and self._task.check_mode:  # to send a command is a write
            return result | {"changed": False, "skipped": True, "skip_reason": "Run Command is not used in check mode."}
        try:
            addresses = _addresses(account, name)
        except AccountError as problem:
            return result | {"changed": False, "hosts": [host(name, Answer("", str(problem)))]}
        self._display.display(f"[{known['inventory_hostname']}] asking {len(addresses)} hosts by {args['by']}")
        answers = (
            run_command.ask(account.tell, sorted(addresses), time.monotonic, time.sleep)
            if args["by"] == "ssm"
            else _by_ssh(addresses, args["key_file"])
        )
        return result | {"changed": False, "hosts": [host(instance, answers[instance]) for instance in sorted(answers)]}


def _addresses(account: Account, group: str) -> dict[str, list[str]]:
    """instance -> its addresses, the public one first. Raises AccountError."""
    found = account.tell("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[group])[
        "AutoScalingGroups"
    ]
    members = {i["InstanceId"] for g in found for i in g["Instances"] if i["LifecycleState"] in STATES}
    if not members:
        return {}
    tagged = [{"Name": "tag:aws:autoscaling:groupName", "Values": [group]}]
    there = account.tell("ec2", "describe_instances", Filters=tagged)["Reservations"]
    seen = {i["InstanceId"]: i for r in there for i in r["Instances"]}
    return {
        one: [seen[one][kind] for kind in ("PublicIpAddress", "PrivateIpAddress") if seen.get(one, {}).get(kind)]
        for one in sorted(members)
    }


def _by_ssh(addresses: Mapping[str, list[str]], key_file: str) -> dict[str, Answer]:
    known_hosts = Path(KNOWN_HOSTS).expanduser()
    known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = {one: pool.submit(ssh.ask, one, where, key_file, known_hosts) for one, where in addresses.items()}
        return {one: answer.result() for one, answer in asked.items()}
