# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§6: who the workers are, and what they may do."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import (
    NotLookedAt,
    Seen,
    View,
    Wrong,
    check,
    count,
    named,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import trusts

BOOK = "iam.yml"


@check("profile-exists", 6)
def _profile(v: View) -> str:
    name = v.s["fleet_instance_profile_name"]
    if v.fleet.profile is None:
        raise Wrong(f"There is no instance profile {name}: no instance can launch.", v.play(BOOK))
    return v.profile.name


@check("profile-role", 6)
def _role(v: View) -> str:
    found, wanted = v.profile.role, v.s["fleet_role_name"]
    if found != wanted:
        raise Wrong(
            f"Instance profile {v.profile.name} carries {found or 'no role'}, not {wanted}: agents can call nothing.",
            v.play(BOOK),
            found=found,
        )
    return found


@check("role-trust", 6)
def _trust(v: View) -> str:
    if not v.profile.role:
        raise NotLookedAt("the instance profile carries no role")
    if not trusts(v.profile.trust, "ec2.amazonaws.com"):
        raise Wrong(f"EC2 may not take {v.profile.role} (its trust policy): agents have no credentials.", v.play(BOOK))
    return "ec2.amazonaws.com"


@check("role-actions", 6)
def _actions(v: View) -> Seen:
    if missing := v.permissions.denied:
        raise Wrong(
            f"{v.profile.role} may not call {', '.join(missing)}, says {v.permissions.how}.",
            v.play(BOOK),
            missing=list(missing),
            how=v.permissions.how,
        )
    return Seen(f"all that the agent calls, says {v.permissions.how}", {"how": v.permissions.how})


@check("instances-profile", 6)
def _carried(v: View) -> str:
    name = v.s["fleet_instance_profile_name"]
    if not v.template.profile:
        raise NotLookedAt("the launch template gives none, which is template-profile's to say")
    members = {m.id for m in v.group.members}
    if without := [m.id for m in v.machines.values() if m.id in members and not m.profile]:
        raise Wrong(
            f"{count(len(without), 'instance')} without an instance profile: {named(without)}. Their agents can neither shield nor drain.",
            "Give it back: "
            + " ".join(
                v.aws(f"ec2 associate-iam-instance-profile --instance-id {i} --iam-instance-profile Name={name}")
                for i in without[:5]
            ),
            instances=without,
        )
    return "all carry one"
