# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Show a fleet's resources and their state as a table. ../modules/fleet_status.py is the documentation."""

from __future__ import annotations

import time

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.status import prevents_deletion, read_status
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import from_result
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.status import MISSING
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.status import table
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars

OPTIONS = {"registry": {"type": "dict"}, "deletion": {"type": "bool", "default": False}}


class ActionModule(FleetAction):
    """Read and show."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/fleet_status.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, settings = self._begin(task_vars or {}, OPTIONS)
        registry = None if args["registry"] is None else from_result(args["registry"])
        account = self._account(args)
        try:
            rows = read_status(account.start, account.call, settings, registry, time.time())
            prevents = prevents_deletion(account.call, settings) if args["deletion"] else []
        except AwsError as error:
            raise AnsibleActionFail(str(error)) from None
        heading = f"[{known['inventory_hostname']}] {settings['fleet_region']}"
        self._display.display("\n".join([heading, *table(rows)]))
        result.update(
            changed=False,
            rows=[row._asdict() for row in rows],
            missing=[row.id for row in rows if row.state == MISSING],
            prevents_deletion=prevents,
        )
        return result
