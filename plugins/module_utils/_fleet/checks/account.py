# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§1: the account, and what could be read of it."""

from __future__ import annotations

from dataclasses import fields

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread


@check("readable", 1)
def _readable(view: View) -> str:
    """Everything that the checks look at could be read."""
    parts = {field.name: getattr(view.fleet, field.name) for field in fields(view.fleet)}
    unread = {name.replace("_", " "): part.reason for name, part in parts.items() if isinstance(part, Unread)}
    if unread:
        reasons = list(dict.fromkeys(unread.values()))
        raise Failed(
            f"Not everything could be read ({', '.join(sorted(unread))}): {' '.join(reasons[:3])}",
            "Allow these credentials what docs/iam/verify.json lists.",
            **unread,
        )
    return "everything could be read"


@check("account", 1)
def _account(view: View) -> str:
    """The credentials belong to fleet_account_id, where it is given."""
    desired, found = view.settings["fleet_account_id"], view.account
    if desired not in ("", found):
        raise Failed(
            f"These credentials belong to account {found}, but fleet_account_id is {desired}.",
            "Use the credentials of that account (fleet_profile, AWS_PROFILE), or correct the variable.",
        )
    return found
