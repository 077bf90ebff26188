# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§10: VALET's IAM user."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, listed

PLAYBOOK = "valet.yml"


@check("valet-user", 10)
def _user(view: View) -> str:
    """VALET's IAM user exists, and has VALET's policy, where fleet_valet_user_name names one."""
    name, policy = view.settings["fleet_valet_user_name"], view.settings["fleet_valet_policy_name"]
    if not name:
        raise Skipped("fleet_valet_user_name is empty")
    if view.fleet.valet_user is None:
        raise Failed(f"There is no IAM user {name}: VALET cannot scale the group.", view.run(PLAYBOOK))
    if policy not in map(_name, view.valet_user.attached):
        raise Failed(f"IAM user {name} lacks {policy}: VALET cannot scale the group.", view.run(PLAYBOOK))
    return str(name)


@check("valet-rights", 10, "warning")
def _rights(view: View) -> str:
    """VALET's IAM user has VALET's policy and no other right, of its own or by a group: its key is at Fly.io."""
    user, own = view.valet_user, view.settings["fleet_valet_policy_name"]
    attached = sorted(arn for arn in user.attached if _name(arn) != own)
    if extra := [*sorted(user.inline), *attached, *(f"group {group}" for group in sorted(user.groups))]:
        named = f"--user-name {user.name}"
        raise Failed(
            f"IAM user {user.name} has more rights than VALET needs, by {listed(extra)}.",
            view.aws(
                "Remove them:",
                *(f"iam delete-user-policy {named} --policy-name {name}" for name in sorted(user.inline)),
                *(f"iam detach-user-policy {named} --policy-arn {arn}" for arn in attached),
                *(f"iam remove-user-from-group {named} --group-name {group}" for group in sorted(user.groups)),
            ),
            extra=extra,
        )
    return f"{own} alone"


@check("valet-keys", 10, "warning")
def _keys(view: View) -> str:
    """VALET's IAM user has at most one active access key."""
    user = view.valet_user
    if len(user.active_keys) > 1:
        raise Failed(
            f"IAM user {user.name} has {count(len(user.active_keys), 'active access key')}: VALET uses one.",
            view.aws(
                "See which one is used, deactivate the other (iam update-access-key --status Inactive), and delete it "
                "once VALET still scales:",
                *(f"iam get-access-key-last-used --access-key-id {key}" for key in user.active_keys),
            ),
            keys=list(user.active_keys),
        )
    return count(len(user.active_keys), "active access key")


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]
