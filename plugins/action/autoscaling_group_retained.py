# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List retained instances, and end those that are named. ../modules/autoscaling_group_retained.py documents it."""

from __future__ import annotations

import time
from collections.abc import Collection

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.live_group import LiveGroup
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.retained import retained
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import from_result
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.retained import chosen, listing
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars

OPTIONS = {
    "release": {"type": "list", "elements": "str", "default": []},
    "registry": {"type": "dict"},
    "timeout": {"type": "int", "default": 300},
}


class ActionModule(FleetAction):
    """List and end."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/autoscaling_group_retained.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, settings = self._begin(task_vars or {}, OPTIONS)
        registry = None if args["registry"] is None else from_result(args["registry"])
        call = self._account(args).call_now
        live = LiveGroup(call, settings["fleet_group_name"])
        try:
            group = live.read()
            ids = chosen(args["release"], group)
            found = retained(call, settings, group, registry, time.time())
            lines = listing(found, settings["fleet_retained_max"])
            if found and not args["release"]:
                lines.append("To end them: -e fleet_release=ID,ID or -e fleet_release=all")
            self._show(known, *lines)
            result.update(changed=bool(ids), released=ids, instances=[one._asdict() for one in found])
            if self._task.check_mode or not ids:
                return result
            for id in ids:
                live.terminate(id, decrement=False)
            remaining = self._wait(live, ids, args["timeout"], known)
        except (AwsError, ValueError) as error:
            raise AnsibleActionFail(str(error)) from None
        if remaining:
            raise AnsibleActionFail(
                f"{', '.join(remaining)} did not leave {live.name} within {args['timeout']} s. AWS goes on ending "
                "them: run this again to see them leave."
            )
        return result

    def _wait(self, live: LiveGroup, ids: Collection[str], timeout: int, known: Vars) -> list[str]:
        """Wait until the instances have left the group; those that have not."""
        left: list[str] = []

        def progress() -> Progress:
            nonlocal left
            there = live.find()
            left = [i.id for i in there.instances if i.id in ids] if there else []
            return Progress(not left, f"{len(ids) - len(left)} of {len(ids)} have left the group")

        until_done(progress, timeout, time.monotonic, time.sleep, lambda line: self._show(known, line))
        return left

    def _show(self, known: Vars, *lines: str) -> None:
        self._display.display("\n".join(f"[{known['inventory_hostname']}] {line}" for line in lines))
