# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§6: the instance profile, its role and what the role may do."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Passed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.denials import explained
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, first_of
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    Denial,
    service_principal,
    trusts,
)

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
    service = service_principal("ec2", view.profile.role_arn.split(":")[1])
    if not trusts(view.profile.trust, service):
        raise Failed(
            f"EC2 may not assume {view.profile.role} (its trust policy): agents have no credentials.",
            view.run(PLAYBOOK),
        )
    return service


@check("role-actions", 6)
def _actions(view: View) -> Passed:
    """The role may call everything that the agent calls."""
    permissions = view.permissions
    if permissions.denied:
        detail, remedy = explained(
            view.profile.role,
            permissions.denied,
            lambda denial: _is_iam_playbooks(view, denial),
            view.run(PLAYBOOK),
            permissions.boundary,
        )
        raise Failed(
            f"{detail} (By {permissions.source}.)",
            remedy,
            missing=[denial.action for denial in permissions.denied],
            reasons=sorted({denial.reason for denial in permissions.denied}),
            how=permissions.source,
        )
    return Passed(f"all that the agent calls, says {permissions.source}", {"how": permissions.source})


def _is_iam_playbooks(view: View, denial: Denial) -> bool:
    """Whether iam.yml repairs it: it writes the inline policy and the boundary, and nothing else decides."""
    if denial.reason == "boundary":
        return view.permissions.boundary != str(view.settings["fleet_permissions_boundary_arn"])
    own = view.settings["fleet_policy_name"]  # the simulator names an inline policy role_ROLE_POLICY
    return denial.reason == "missing" or (denial.reason == "policy" and denial.policy.endswith(own))


@check("instances-profile", 6)
def _instances(view: View) -> str:
    """Every instance of the group has the instance profile, compared by id: one made anew under its name is another."""
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
    current = view.profile.id if view.fleet.profile and not isinstance(view.fleet.profile, Unread) else ""
    instances = [i for i in view.instances.values() if i.id in in_group and i.profile_id and current]
    if dead := [instance.id for instance in instances if instance.profile_id != current]:
        raise Failed(
            f"{count(len(dead), 'instance')} with another instance profile than {view.profile.name} ({current}), "
            f"such as a deleted one of that name: {first_of(dead)}. Their agents lose their credentials.",
            view.start_refresh("Replace them:"),
            instances=dead,
        )
    return "all have one"
