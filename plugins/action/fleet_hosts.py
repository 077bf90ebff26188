# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the agent's doctor on every host of a fleet. ../modules/fleet_hosts.py is the documentation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling, ec2
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts import run_command, ssh
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import Output, host
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars

SSH_CLIENTS = 32  # at once; each waits for its host rather than works
STATES = ("InService", "Pending:Wait", "Terminating:Wait")
KNOWN_HOSTS = "~/.ssh/ghosthands_known_hosts"
OPTIONS: dict[str, Any] = {
    "by": {"type": "str", "required": True, "choices": ["ssh", "ssm"]},
    "key_file": {"type": "str", "default": ""},
}


class ActionModule(FleetAction):
    """Every host at once. A problem is part of the result, never a failure."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/fleet_hosts.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, settings = self._begin(task_vars or {}, OPTIONS)
        account, name = self._account(args), settings["fleet_group_name"]
        if args["by"] == "ssm" and self._task.check_mode:  # to send a command is a write
            return result | {"changed": False, "skipped": True, "skip_reason": "Run Command is not used in check mode."}
        try:
            addresses = _addresses(account.call_now, name)
        except AwsError as error:
            return result | {"changed": False, "hosts": [host(name, Output("", str(error)))]}
        self._display.display(f"[{known['inventory_hostname']}] asking {len(addresses)} hosts by {args['by']}")
        outputs = (
            run_command.run_doctor(account.call_now, sorted(addresses), time.monotonic, time.sleep)
            if args["by"] == "ssm"
            else _by_ssh(addresses, args["key_file"])
        )
        return result | {"changed": False, "hosts": [host(instance, outputs[instance]) for instance in sorted(outputs)]}


def _addresses(call: Call, group_name: str) -> dict[str, tuple[str, ...]]:
    """instance -> its addresses, the public one first. Raises AwsError."""
    group = autoscaling.group(call, group_name)
    ids = [i.id for i in group.in_state(*STATES)] if group else []
    instances = ec2.instances(call, {ec2.GROUP_TAG: group_name}) if ids else {}
    return {i: instances[i].addresses if i in instances else () for i in ids}


def _by_ssh(addresses: Mapping[str, tuple[str, ...]], key_file: str) -> dict[str, Output]:
    known_hosts = Path(KNOWN_HOSTS).expanduser()
    known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ThreadPoolExecutor(SSH_CLIENTS) as pool:
        running = {i: pool.submit(ssh.run_doctor, i, where, key_file, known_hosts) for i, where in addresses.items()}
        return {i: output.result() for i, output in running.items()}
