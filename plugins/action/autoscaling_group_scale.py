# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set a group's sizes by hand, and wait for them. Its options and results: ../modules/autoscaling_group_scale.py"""

from __future__ import annotations

import time

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.live_group import LiveGroup
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.scaling import (
    KEEP,
    Sizes,
    progress,
    sizes_of,
    target,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.instance_jobs import InstanceJobs

OPTIONS = {
    **{name: {"type": "int", "default": KEEP} for name in Sizes._fields},
    "timeout": {"type": "int", "default": 2700},
}
OWNER = {
    "valet": "VALET sets the sizes: what is set here lasts until its next evaluation, unless its limits "
    "(AUTOSCALE_ASG_MIN, AUTOSCALE_ASG_MAX) are changed too, or it is stopped (AUTOSCALE_ASG_ENABLED=false).",
    "playbook": "site.yml sets min and max size back to fleet_min_size and fleet_max_size (fleet_size_owner: "
    "playbook): change them there too.",
}


class ActionModule(FleetAction):
    """Scale and wait."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/autoscaling_group_scale.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, settings = self._begin(task_vars or {}, OPTIONS)
        live = LiveGroup(self._account(args).call_now, settings["fleet_group_name"])

        def log(line: str) -> None:
            self._display.display(f"[{known['inventory_hostname']}] {line}")

        given = Sizes(*(args[name] for name in Sizes._fields))
        try:
            group = live.read()
            if given == Sizes(KEEP, KEEP, KEEP):
                raise AnsibleActionFail(
                    f"{live.name} has {sizes_of(group)}. Say what to set: -e fleet_scale_desired=N, fleet_scale_min=N, "
                    "fleet_scale_max=N"
                )
            goal = target(group, given)
            changed = goal != sizes_of(group)
            log(f"{live.name}: {sizes_of(group)} -> {goal if changed else 'unchanged'}")
            log(OWNER[settings["fleet_size_owner"]])
            result.update(changed=changed, before=sizes_of(group)._asdict(), after=goal._asdict(), reached=False)
            if self._task.check_mode:
                return result
            if changed:
                live.set_sizes(*goal)
            jobs = InstanceJobs(settings)

            def check() -> Progress:
                found = live.read()
                draining = [one.id for one in found.in_state("Terminating:Wait")]
                return progress(found, goal, {id: jobs.job(id) for id in draining[:5]})

            last = until_done(check, args["timeout"], time.monotonic, time.sleep, log)
        except (AwsError, ValueError) as error:
            raise AnsibleActionFail(str(error)) from None
        if not last.done:
            raise AnsibleActionFail(
                f"{live.name} has not its sizes after {args['timeout']} s: {last.summary}. The sizes are set, and AWS "
                "goes on: run this again to see it, or wait longer (fleet_scale_timeout). A scale-in waits for "
                "instances that are protected while they have a job."
            )
        return result | {"reached": True, "msg": f"{live.name}: {last.summary}."}
