# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§6: the instance profile, its role and what the role may do."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Passed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.denials import explained
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import (
    count,
    first_of,
    listed,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.principals import grants
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
    """The role's trust policy lets EC2 assume it, and does not deny it."""
    if not view.profile.role:
        raise Skipped("the instance profile has no role")
    service = service_principal("ec2", view.profile.role_arn.split(":")[1])
    if not trusts(view.profile.trust, service):
        raise Failed(
            f"EC2 may not assume {view.profile.role} (its trust policy): agents have no credentials.",
            view.run(PLAYBOOK),
        )
    return service


@check("role-trust-others", 6)
def _trust_others(view: View) -> str:
    """Nobody but EC2 may assume the role: it reads the worker's secret."""
    if not view.profile.role:
        raise Skipped("the instance profile has no role")
    service = service_principal("ec2", view.profile.role_arn.split(":")[1])
    if not trusts(view.profile.trust, service):
        raise Skipped("not even EC2 may, which role-trust reports")
    others = {grant.principal for grant in grants(view.profile.trust)} - {service}
    if others:
        raise Failed(
            f"{view.profile.role} may be assumed by {listed(sorted(others))}, and reads the worker's secret.",
            view.run(PLAYBOOK),
            others=sorted(others),
        )
    return "nobody else"


@check("role-policies", 6, "warning")
def _policies(view: View) -> str:
    """The role has the fleet's policy and no other, inline or attached."""
    own, found = view.settings["fleet_policy_name"], view.role_policies
    if view.profile.role != view.settings["fleet_role_name"]:
        raise Skipped("the instance profile has another role, which profile-role reports")
    inline = sorted(set(found.inline) - {own})
    if inline or found.attached:
        role = f"--role-name {view.profile.role}"
        raise Failed(
            f"{view.profile.role} has more rights than the agent needs, by {listed([*inline, *found.attached])}: "
            "whoever takes over a worker has them, too.",
            view.aws(
                "Remove them:",
                *(f"iam delete-role-policy {role} --policy-name {name}" for name in inline),
                *(f"iam detach-role-policy {role} --policy-arn {arn}" for arn in sorted(found.attached)),
            ),
            inline=inline,
            attached=list(found.attached),
        )
    return f"{own} alone"


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
    """Every instance of the group has the instance profile, compared by id: a re-created one of its name is another."""
    name = view.settings["fleet_instance_profile_name"]
    if view.template.profile != name:
        raise Skipped("the launch template has not, which template-profile reports")
    in_group = {instance.id for instance in view.group.instances}
    profile = f"--iam-instance-profile Name={name}"
    if without := [i.id for i in view.instances.values() if i.id in in_group and not i.profile]:
        raise Failed(
            f"{count(len(without), 'instance')} without an instance profile: {first_of(without)}. "
            "Their agents can neither protect nor drain.",
            view.aws(
                "Associate it again:",
                *(f"ec2 associate-iam-instance-profile --instance-id {id} {profile}" for id in without[:5]),
            ),
            instances=without,
        )
    if other := {i.id: i.profile for i in view.current_instances if i.profile != name}:
        raise Failed(
            f"{count(len(other), 'instance')} with another instance profile than {name}: {first_of(other)}.",
            view.aws("Replace it:", *(_replace_profile(view, id, profile) for id in sorted(other)[:5])),
            instances=other,
        )
    current = view.profile.id if view.fleet.profile and not isinstance(view.fleet.profile, Unread) else ""
    instances = [i for i in view.instances.values() if i.id in in_group and i.profile_id and current]
    if dead := [instance.id for instance in instances if instance.profile_id != current]:
        raise Failed(
            f"{count(len(dead), 'instance')} with another instance profile than {view.profile.name} ({current}), "
            f"such as a deleted one of that name: {first_of(dead)}. Their agents lose their credentials.",
            view.replace_instances("Replace them:"),
            instances=dead,
        )
    return f"all have {name}"


def _replace_profile(view: View, id: str, profile: str) -> str:
    """A shell command, as only the association's id identifies what is to be replaced."""
    first, region = "--query IamInstanceProfileAssociations[0].AssociationId", view.settings["fleet_region"]
    which = f"--filters Name=instance-id,Values={id} {first} --output text --region {region}"
    association = f"aws ec2 describe-iam-instance-profile-associations {which}"
    return f"ec2 replace-iam-instance-profile-association {profile} --association-id $({association})"
