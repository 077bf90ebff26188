# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the worker's secret. ../modules/worker_secret.py is the documentation.

The value stays in this process: it is read, compared and sent, and no result, message or command line has it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import iam, other_services
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.worker_secret import (
    Plan,
    from_environment,
    planned,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import worker_secret
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_action import FleetAction, Vars

OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "source": {"type": "str", "choices": ["file", "environment"], "default": "file"},
    "file": {"type": "str", "default": ""},
    "replace": {"type": "bool", "default": False},
    "required": {"type": "list", "elements": "str", "default": []},
    "allowed": {"type": "list", "elements": "str", "default": []},
    "tags": {"type": "dict"},
}


class ActionModule(FleetAction):
    """Reads the source, compares with the secret, and writes what differs."""

    def run(self, tmp: str | None = None, task_vars: Vars | None = None) -> Vars:
        """The result that ../modules/worker_secret.py documents."""
        result: Vars = super().run(tmp, task_vars)
        known, args, settings = self._begin(task_vars or {}, OPTIONS)
        try:
            exists, plan = self._write(args, settings)
        except (AwsError, worker_secret.BadSecret) as error:
            raise AnsibleActionFail(f"Nothing was written. {error}") from None
        what = f"{args['name']}: {plan}" if exists else f"{args['name']} is created: {plan}"
        if plan.differs and exists:
            what += ". Running workers see it at their next boot"
        self._display.display(f"[{known['inventory_hostname']}] {what}.")
        return result | {
            "changed": plan.differs or not exists,
            "created": not exists,
            "added": list(plan.added),
            "changed_keys": list(plan.changed),
            "removed": list(plan.removed),
            "diff": {**plan.diff, "before_header": args["name"], "after_header": args["name"]},
        }

    def _write(self, args: Vars, settings: Vars) -> tuple[bool, Plan]:
        """(whether the secret existed, what changed or, in check mode, would). Raises AwsError and BadSecret."""
        given = _given(args)
        account, name = self._account(args), args["name"]
        _check_account(account, settings["fleet_account_id"])
        secret = other_services.secret(account.call_now, name)
        if secret and secret.deletion_scheduled:
            command = f"aws secretsmanager restore-secret --region {account.region} --secret-id {name}"
            raise AwsError(f"Secret {name} is scheduled for deletion. Keep it: `{command}`")
        present = other_services.secret_text(account.call_now, name) if secret else None
        plan = planned(present, given, args["required"], args["allowed"], args["replace"])
        if not self._task.check_mode and secret is None:
            other_services.create_secret(account.call_now, name, plan.text, args["tags"] or {})
        elif not self._task.check_mode and plan.differs:
            other_services.put_secret(account.call_now, name, plan.text)
        return secret is not None, plan


def _check_account(account: Any, expected: str) -> None:
    found = iam.caller(account.call).account
    if expected not in ("", found):
        raise AwsError(f"These credentials belong to account {found}, but fleet_account_id is {expected}.")


def _given(args: Vars) -> dict[str, Any]:
    """The keys and values of the source. Raises BadSecret."""
    if args["source"] == "environment":
        if args["file"]:
            raise worker_secret.BadSecret("fleet_secret_file and fleet_secret_from=environment exclude each other.")
        return from_environment(os.environ, args["required"], args["allowed"])
    if not args["file"]:
        raise worker_secret.BadSecret(
            "Name a file with the worker's keys (-e fleet_secret_file=worker.env), "
            "or take them from this shell (-e fleet_secret_from=environment)."
        )
    try:
        return worker_secret.parsed(_content(Path(args["file"]).expanduser()))
    except worker_secret.BadSecret as error:
        raise worker_secret.BadSecret(f"fleet_secret_file {args['file']} cannot be used. {error}") from None


def _content(file: Path) -> str:
    """Of a file that its owner alone may read. Raises BadSecret."""
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):
            raise worker_secret.BadSecret("It is not a file.")
        if mode & 0o077:
            raise worker_secret.BadSecret(f"Others than its owner may read or change it: `chmod 600 {file}`")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise worker_secret.BadSecret(f"{error.strerror}.") from None
    except UnicodeDecodeError:
        raise worker_secret.BadSecret("It is not UTF-8 text.") from None
