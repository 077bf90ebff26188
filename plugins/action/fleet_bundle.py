# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch support bundles from hosts of the fleet. Its options and results: ../modules/fleet_bundle.py"""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, listed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.bundle import PIECES, fetch
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.host_access import HostAccess

OPTIONS: dict[str, Any] = {
    "by": {"type": "str", "required": True, "choices": ["never", *PIECES]},
    "key_file": {"type": "str", "default": ""},
    "instances": {"type": "list", "elements": "str", "default": []},
    "folder": {"type": "str", "required": True},
}


class ActionModule(FleetAction):
    """All hosts at once; a host without a bundle fails the task after the others have theirs."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/fleet_bundle.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, settings = self._begin(task_vars or {}, OPTIONS)
        name, by, folder = settings["fleet_group_name"], args["by"], Path(args["folder"]).expanduser()

        def log(line: str) -> None:
            self._display.display(f"[{known['inventory_hostname']}] {line}")

        if by == "never":
            raise AnsibleActionFail(
                "fleet_host_checks is never, so there is no way to the hosts: -e fleet_host_checks=ssh (your own SSH "
                "client) or ssm (Run Command)."
            )
        hosts = HostAccess(self._account(args), name, by, args["key_file"])
        try:
            ids = hosts.instances()
        except AwsError as error:
            raise AnsibleActionFail(str(error)) from None
        if strangers := sorted(set(args["instances"]) - set(ids)):
            raise AnsibleActionFail(
                f"fleet_instances: {listed(strangers)} not in {name}. Name some of these, or none for all: "
                f"{', '.join(ids) or 'it has no instance'}."
            )
        chosen = [id for id in ids if id in args["instances"]] or ids
        log(f"collecting from {count(len(chosen), 'host')} by {by}: {', '.join(chosen) or 'there is none'}")
        if self._task.check_mode or not chosen:
            return result | {"changed": False, "files": [], "problems": {}}
        found = fetch(hosts.ask, chosen, PIECES[by], secrets.token_hex(4), log)
        now, files = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"), list[str]()
        for id, bundle in sorted(found.items()):
            if not bundle.problem:
                files.append(_written(folder / f"{id}-{now}.tar.xz", bundle.data))
                log(f"{id}: {files[-1]} ({len(bundle.data) // 1024} KiB)")
        problems = {id: bundle.problem for id, bundle in sorted(found.items()) if bundle.problem}
        if problems:
            said = "; ".join(f"{id}: {problem}" for id, problem in problems.items())
            got = f" The others: {', '.join(files)}." if files else ""
            return result | {"failed": True, "msg": f"No bundle of {said}.{got}", "files": files, "problems": problems}
        return result | {"changed": False, "files": files, "problems": {}}


def _written(file: Path, data: bytes) -> str:
    """Write a bundle that only its owner may read; its path. Raises AnsibleActionFail."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
    except OSError as problem:
        raise AnsibleActionFail(f"fleet_collect_dir: {file} cannot be written: {problem.strerror}.") from None
    return str(file)
