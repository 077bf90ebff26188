# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Empty a group before it is deleted: every worker drained, with progress. ../modules/autoscaling_group_drain.py is the documentation."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.account import Account, AccountError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.drain import Rest, rest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Look, until_done
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars


class ActionModule(FleetAction):
    """Scale to nothing and wait."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/autoscaling_group_drain.py documents."""
        result: Vars = super().run(tmp, task_vars)
        options = {"name": {"type": "str", "required": True}, "timeout": {"type": "int", "default": 2700}}
        known, args, _settings = self._begin(task_vars or {}, options)
        account, name = self._account(args), args["name"]
        try:
            group = _group(account, name)
            if group is None:
                return result | {"changed": False, "msg": f"There is no group {name}."}
            found, empty = rest(group["Instances"]), group["MinSize"] == group["DesiredCapacity"] == 0
            if self._task.check_mode or (empty and not found.instances):
                return result | {"changed": not empty or bool(found.instances), "msg": f"{name} has {found.says}."}
            if not empty:
                account.tell(
                    "autoscaling", "update_auto_scaling_group", AutoScalingGroupName=name, MinSize=0, DesiredCapacity=0
                )
            last = self._drain(account, name, args["timeout"], known["inventory_hostname"])
        except AccountError as error:
            raise AnsibleActionFail(str(error)) from None
        if last.retained:
            raise AnsibleActionFail(
                f"{name} holds {len(last.retained)} instances whose drain failed: {', '.join(last.retained)}. Look at them first: "
                "a job may have been cut short. Then end them with the group: -e fleet_force_delete=true"
            )
        if not last.drained:
            raise AnsibleActionFail(
                f"{name} still has {last.says} after {args['timeout']} s. It goes on draining: run this again, give it longer (fleet_teardown_timeout), "
                "or lose what runs there: -e fleet_force_delete=true"
            )
        return result | {"changed": True, "msg": f"{name} is empty."}

    def _drain(self, account: Account, name: str, timeout: int, host: str) -> Rest:
        last = rest([])

        def look() -> Look:
            nonlocal last
            last = rest((_group(account, name) or {"Instances": []})["Instances"])
            if last.protected:  # their agents put the shield back while they are busy, so again at every look
                account.tell(
                    "autoscaling",
                    "set_instance_protection",
                    AutoScalingGroupName=name,
                    InstanceIds=list(last.protected[:50]),
                    ProtectedFromScaleIn=False,
                )
            for instance in last.standby:
                account.tell(
                    "autoscaling",
                    "terminate_instance_in_auto_scaling_group",
                    InstanceId=instance,
                    ShouldDecrementDesiredCapacity=False,
                )
            return Look(last.drained, last.says)

        until_done(
            look, timeout, time.monotonic, time.sleep, lambda said: self._display.display(f"[{host}] {name}: {said}")
        )
        return last


def _group(account: Account, name: str) -> Any:
    found = account.tell("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[name])[
        "AutoScalingGroups"
    ]
    return found[0] if found else None
