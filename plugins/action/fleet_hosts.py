# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the agent's doctor on every host of the fleet. Its options and results: ../modules/fleet_hosts.py"""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import DOCTOR, Output, host
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.host_access import HostAccess

STATES = ("InService", "Pending:Wait", "Terminating:Wait")
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
        hosts = HostAccess(account, name, args["by"], args["key_file"])
        try:
            ids = hosts.instances(*STATES)
        except AwsError as error:
            return result | {"changed": False, "hosts": [host(name, Output("", str(error)))]}
        self._display.display(f"[{known['inventory_hostname']}] asking {len(ids)} hosts by {args['by']}")
        outputs = hosts.ask(ids, DOCTOR)
        return result | {"changed": False, "hosts": [host(instance, outputs[instance]) for instance in sorted(outputs)]}
