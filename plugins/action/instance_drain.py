# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""End one instance after its drain. Its options and results: ../modules/instance_drain.py"""

from __future__ import annotations

import time

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling, prerequisites
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.live_group import LiveGroup
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import LISTED_ACTIVITIES
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures import instance_drain
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.drain import RETAINED
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.instance_jobs import InstanceJobs

OPTIONS = {
    "instance": {"type": "str", "required": True},
    "replace": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 2700},
}


class ActionModule(FleetAction):
    """Terminate and wait."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/instance_drain.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, s = self._begin(task_vars or {}, OPTIONS)
        account, id, replace = self._account(args), args["instance"], args["replace"]
        live = LiveGroup(account.call_now, s["fleet_group_name"], s["fleet_region"], s["fleet_termination_hook_name"])
        jobs = InstanceJobs(s)

        def log(line: str) -> None:
            self._display.display(f"[{known['inventory_hostname']}] {line}")

        try:
            group = live.read()
            one = instance_drain.member(group, id)
            if one is None:
                history = autoscaling.activities(account.call, live.name, LISTED_ACTIVITIES)
                if not any(activity.instance == id for activity in history):
                    ids = ", ".join(each.id for each in group.instances) or "none"
                    raise AnsibleActionFail(f"fleet_drain is {id!r}, no instance of {live.name}. Name one of: {ids}.")
                return result | {"changed": False, "msg": f"{id} has left {live.name} already."}
            agent = id not in prerequisites.without_agent(account.call, s)
            if why := instance_drain.refusal(group, one, replace=replace, hook=live.has_hook(), agent=agent):
                raise AnsibleActionFail(why)
            changed = not instance_drain.is_ending(one)
            how = "and another one launched in its place" if replace else "and the group one smaller"
            what = f"to be drained and ended, {how}" if changed else "ending already"
            log(f"{id} is {one.state}, {jobs.sentence(id)}; {what}")
            if self._task.check_mode:
                return result | {"changed": changed, "msg": f"{id} would be drained."}
            if changed:
                live.terminate(id, decrement=not replace and one.state == "InService")

            def check() -> Progress:
                return instance_drain.progress(live.read(), id, replace=replace, job=lambda: jobs.sentence(id))

            last = until_done(check, args["timeout"], time.monotonic, time.sleep, log)
            left = instance_drain.member(live.read(), id)
        except AwsError as error:
            raise AnsibleActionFail(str(error)) from None
        if left is not None and left.state == RETAINED:
            raise AnsibleActionFail(f"{last.summary}: release_retained.yml shows its journal and ends it.")
        if not last.done:
            raise AnsibleActionFail(
                f"{last.summary} after {args['timeout']} s. It goes on by itself: run this again to see its end, or "
                "wait longer (fleet_drain_timeout)."
            )
        return result | {"changed": changed, "msg": f"{last.summary}."}
