# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repeat what AWS refused, or say why it refuses. ../modules/aws_retry.py is the documentation."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.refusals import passing, reason
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import CONNECTION, Vars

OPTIONS: dict[str, Any] = {
    "module": {"type": "str", "required": True},
    "arguments": {"type": "dict", "required": True},
    "refusal": {"type": "str", "required": True},
    "timeout": {"type": "int", "default": 120},
    "delay": {"type": "int", "default": 5},
    **{name: {"type": "str", "no_log": name == "secret_key"} for name in CONNECTION},
}


class ActionModule(ActionBase):
    """Run a module again."""

    TRANSFERS_FILES = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/aws_retry.py documents."""
        super().run(tmp, task_vars)
        _valid, args = self.validate_argument_spec(OPTIONS)
        known, message, began = task_vars or {}, str(args["refusal"]), time.monotonic()
        connection = {name: args[name] for name in CONNECTION if args[name]}
        waits_for = ""
        while why := passing(message):
            waited = time.monotonic() - began
            if waited + args["delay"] > args["timeout"]:
                raise AnsibleActionFail(
                    f"AWS still does not see {why.what} after {waited:.0f} s. {message} {why.remedy}"
                )
            if why.what != waits_for:
                waits_for = why.what
                text = f"AWS does not see {why.what} yet: trying again for {args['timeout'] - waited:.0f} s at most"
                self._display.display(f"[{known.get('inventory_hostname')}] {text} ({reason(message) or message}).")
            time.sleep(args["delay"])
            result = self._again(args, connection, known)
            if not result.get("failed"):
                return result
            message = str(result.get("msg", ""))
        if not reason(message):  # the module has kept it to itself
            result = self._again(args, connection, known)
            if not result.get("failed"):
                return result
            message, own = str(result.get("msg", "")), reason(f"{result.get('msg', '')}\n{_traceback(result)}")
            message += f". AWS's reason: {own}" if own and own not in message else ""
        raise AnsibleActionFail(message)

    def _again(self, args: Vars, connection: Vars, known: Vars) -> Vars:
        result: Vars = self._execute_module(
            module_name=args["module"], module_args={**args["arguments"], **connection}, task_vars=known
        )
        return result

    def _update_module_args(self, module_name: Any, module_args: Vars, *arguments: Any, **named: Any) -> None:
        """Let the module add its traceback: some modules keep AWS's reason there alone."""
        super()._update_module_args(module_name, module_args, *arguments, **named)
        module_args["_ansible_tracebacks_for"] = ["error"]


def _traceback(result: Vars) -> str:
    """A failed module's traceback as text."""
    exception = result.get("exception", "")
    event = getattr(exception, "event", None)
    return str(getattr(event, "formatted_traceback", "") or exception)
