# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§3: the version of the launch template that the group uses."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check


@check("template-exists", 3)
def _exists(view: View) -> str:
    """The launch template has the version that the group uses."""
    if view.fleet.template is None:
        group = view.group  # without a group there is nothing that would launch
        if view.fleet.template_id not in (None, group.template_id):
            raise Skipped("the group uses another one, which group-template reports")
        raise Failed(
            f"Launch template {group.template_name} has no version {group.template_version}: no instance can launch.",
            view.run("site.yml"),
        )
    return f"version {view.template.version} of {view.template.latest_version}"


@check("template-metadata", 3)
def _metadata(view: View) -> str:
    """Instances answer IMDSv2 only."""
    if view.template.http_tokens != "required":
        raise Failed(
            "Instances answer IMDSv1: whoever gets a worker to fetch a page gets the role's credentials.",
            view.run("site.yml"),
        )
    return "IMDSv2 only"


@check("template-volumes", 3)
def _volumes(view: View) -> str:
    """Volumes are encrypted."""
    if view.template.unencrypted:
        raise Failed(f"Volumes are not encrypted: {', '.join(view.template.unencrypted)}.", view.run("site.yml"))
    return "encrypted"


@check("template-profile", 3)
def _profile(view: View) -> str:
    """Instances are launched with the instance profile."""
    found, desired = view.template.profile, view.settings["fleet_instance_profile_name"]
    if found != desired:
        raise Failed(
            f"Instances have {found or 'no instance profile'}, not {desired}: their agents can call nothing.",
            view.run("site.yml"),
            found=found,
        )
    return found


@check("template-key", 3)
def _key(view: View) -> str:
    """The key pair exists, where the launch template names one."""
    name = view.template.key
    if name and name not in view.key_pairs:
        raise Failed(
            f"Key pair {name} of the launch template does not exist: no instance can launch.",
            view.run(
                "site.yml",
                text="Give the public key in fleet_key_public to import it, or set fleet_key_name to '', then run",
            ),
            key=name,
        )
    return name or "none"
