# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give a command to the agents of a fleet. Its options and results: ../modules/fleet_command.py"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.released import Release, release_of
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.tag_channel import TagChannel
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import VERBS, Wish
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, listed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.command import (
    Command,
    Look,
    Policy,
    Refused,
    Stopped,
)
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.instance_jobs import InstanceJobs

OPTIONS: dict[str, Any] = {
    "verb": {"type": "str", "required": True, "choices": list(VERBS)},
    "instances": {"type": "list", "elements": "str", "default": []},
    "canary": {"type": "int", "default": 1},
    "batch": {"type": "int", "default": 5},
    "timeout": {"type": "int", "default": 2700},
}
VALET = {
    "hold": "VALET may go on setting the desired capacity: nothing is launched for it until resume.yml, and a scale-in "
    "still ends instances. It sees the workers as draining, so it sends them no jobs.",
    "resume": "Launch is resumed: the group launches at once what VALET has asked for meanwhile.",
}


class ActionModule(FleetAction):
    """Tell, and wait for the answers."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/fleet_command.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, s = self._begin(task_vars or {}, OPTIONS)
        account, verb, only = self._account(args), args["verb"], args["instances"]
        channel = TagChannel(account.call_now, s["fleet_group_name"])

        def log(line: str) -> None:
            self._display.display(f"[{known['inventory_hostname']}] {line}")

        try:
            before = channel.group()
            release = release_of(account.call_now, s, before) if verb == "release" else None
            command = Command(
                channel,
                Wish(verb, secrets.token_hex(4), release.digest if release else ""),
                only,
                Policy(args["canary"], args["batch"]),
                InstanceJobs(s).sentence,
                time.monotonic,
                time.sleep,
                log,
                finish=release is None,
                keep_suspended="Launch" in s["fleet_suspended_processes"],
            )
            look = command.plan()
            self._announce(command, look, release, log)
            follows = release is not None and not only and not release.in_template
            changed = bool(look.untold or command.changes_group() or follows)
            result.update(changed=changed, id=command.wish.id, told=list(look.untold))
            if self._task.check_mode:
                return result
            told = command.run(args["timeout"])
            if release is not None and not only:
                self._follow_up(command, release, args["timeout"], log)
        except (AwsError, Refused, Stopped, ValueError) as error:
            raise AnsibleActionFail(str(error)) from None
        return result | {"told": told, "msg": f"{command.wish.text}: every instance has done it."}

    @staticmethod
    def _follow_up(command: Command, release: Release, timeout: float, log: Callable[[str], None]) -> None:
        """Let new instances have the image as well; then those that were launched with the former one meanwhile."""
        if not release.in_template:
            log(f"new instances: {release.write_template()}")
        command.finish = True
        command.run(timeout)

    @staticmethod
    def _announce(command: Command, look: Look, release: Release | None, log: Callable[[str], None]) -> None:
        verb = command.wish.verb
        if release is not None:
            log(f"{release.before or 'no image'} -> {release.digest} of {release.repository}")
        words = [f"{command.wish.text}: {count(len(look.untold), 'instance')} to tell"]
        words += [f"{len(look.running)} told before"] if look.running else []
        words += [f"{len(look.done)} have done it"] if look.done else []
        log(listed(words))
        if command.changes_group():
            log(VALET[verb])
