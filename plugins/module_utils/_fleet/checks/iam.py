# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§6: the instance profile, its role and what the role may do."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Passed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, first_of
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import trusts

PLAYBOOK = "iam.yml"


@check("profile-exists", 6)
def _profile(view: View) -> str:
    """The instance profile exists."""
    if view.fleet.profile is None:
        name = view.settings["fleet_instance_profile_name"]
        raise Failed(f"There is no instance profile {name}: no instance can launch.", view.run(PLAYBOOK))
    return view.profile.name


@check("profile-role", 6)
def _role(view: View) -> str:
    """The instance profile has the worker role."""
    found, desired = view.profile.role, view.settings["fleet_role_name"]
    if found != desired:
        raise Failed(
            f"Instance profile {view.profile.name} has {found or 'no role'}, not {desired}: agents can call nothing.",
            view.run(PLAYBOOK),
            found=found,
        )
    return found


@check("role-trust", 6)
def _trust(view: View) -> str:
    """The role's trust policy lets EC2 assume it."""
    if not view.profile.role:
        raise Skipped("the instance profile has no role")
    if not trusts(view.profile.trust, "ec2.amazonaws.com"):
        raise Failed(
            f"EC2 may not assume {view.profile.role} (its trust policy): agents have no credentials.",
            view.run(PLAYBOOK),
        )
    return "ec2.amazonaws.com"


@check("role-actions", 6)
def _actions(view: View) -> Passed:
    """The role may call everything that the agent calls."""
    permissions = view.permissions
    if permissions.denied:
        raise Failed(
            f"{view.profile.role} may not call {', '.join(permissions.denied)}, says {permissions.source}.",
            view.run(PLAYBOOK),
            missing=list(permissions.denied),
            how=permissions.source,
        )
    return Passed(f"all that the agent calls, says {permissions.source}", {"how": permissions.source})


@check("instances-profile", 6)
def _instances(view: View) -> str:
    """Every instance of the group has an instance profile."""
    if not view.template.profile:
        raise Skipped("the launch template has none, which template-profile reports")
    in_group = {instance.id for instance in view.group.instances}
    if without := [
        instance.id for instance in view.instances.values() if instance.id in in_group and not instance.has_profile
    ]:
        profile = f"--iam-instance-profile Name={view.settings['fleet_instance_profile_name']}"
        raise Failed(
            f"{count(len(without), 'instance')} without an instance profile: {first_of(without)}. "
            "Their agents can neither protect nor drain.",
            view.aws(
                "Associate it again:",
                *(f"ec2 associate-iam-instance-profile --instance-id {id} {profile}" for id in without[:5]),
            ),
            instances=without,
        )
    return "all have one"
