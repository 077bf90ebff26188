# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drain a group's workers before the group is deleted. ../modules/autoscaling_group_drain.py is the documentation."""

from __future__ import annotations

import time

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.live_group import LiveGroup
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.drain import (
    Remaining,
    cannot_end,
    remaining,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars

SETTLE_SECONDS = 10.0  # DescribeAutoScalingGroups may lag behind the write of desired capacity
OPTIONS = {"name": {"type": "str", "required": True}, "timeout": {"type": "int", "default": 2700}}


class ActionModule(FleetAction):
    """Scale to zero and wait."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/autoscaling_group_drain.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, _settings = self._begin(task_vars or {}, OPTIONS)
        name, timeout = args["name"], args["timeout"]
        live = LiveGroup(self._account(args).call_now, name)
        try:
            group = live.find()
            if group is None:
                return result | {"changed": False, "msg": f"There is no group {name}."}
            scaled_in = group.min_size == group.desired_capacity == 0
            if self._task.check_mode or (scaled_in and not group.instances):
                changed = not scaled_in or bool(group.instances)
                return result | {"changed": changed, "msg": f"{name} has {remaining(group).summary}."}
            if reason := cannot_end(group):
                raise AnsibleActionFail(reason)
            if not scaled_in:
                live.scale_to_zero()
            last, reason = self._wait(live, timeout, known["inventory_hostname"])
        except AwsError as error:
            raise AnsibleActionFail(str(error)) from None
        if last.retained:
            raise AnsibleActionFail(
                f"{name} retains {len(last.retained)} instances: {', '.join(last.retained)}. "
                "A job may be lost, or the agent failed: release_retained.yml lists their last jobs and log lines, and "
                "ends them. Then run this again; or terminate them with the group: -e fleet_force_delete=true"
            )
        if reason:
            raise AnsibleActionFail(reason)
        if not last.drained:
            raise AnsibleActionFail(
                f"{name} still has {last.summary} after {timeout} s. It goes on draining: run this again, "
                "wait longer (fleet_teardown_timeout), or lose what runs there: -e fleet_force_delete=true"
            )
        return result | {"changed": True, "msg": f"{name} is empty."}

    def _wait(self, live: LiveGroup, timeout: int, host: str) -> tuple[Remaining, str]:
        """(what is left, why it never ends)."""
        last, reason, began = remaining(None), "", time.monotonic()

        def progress() -> Progress:
            nonlocal last, reason
            group = live.find()
            last = remaining(group)
            settled = time.monotonic() - began >= SETTLE_SECONDS
            reason = cannot_end(group, scaled_in=settled) if group else ""
            if reason:
                return Progress(True, last.summary)
            if last.protected:  # busy agents protect their instance again, so this is repeated
                live.remove_protection(last.protected)
            for instance in last.standby:
                live.terminate(instance, decrement=False)
            return Progress(last.drained, last.summary)

        def log(line: str) -> None:
            self._display.display(f"[{host}] {live.name}: {line}")

        until_done(progress, timeout, time.monotonic, time.sleep, log)
        return last, reason
