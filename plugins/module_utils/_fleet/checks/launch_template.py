# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""§3: the version of the launch template that the group uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Failed, Skipped
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import View, check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import count, first_of

#: Options that an agent and its worker depend on, in words.
METADATA = {"HttpEndpoint": "endpoint", "HttpTokens": "tokens", "HttpPutResponseHopLimit": "hop limit"}
TAGS = "InstanceMetadataTags"


@check("template-exists", 3)
def _exists(view: View) -> str:
    """The launch template has the version that the group uses."""
    if view.fleet.template is None:
        group = view.group  # without a group there is nothing that would launch
        if view.fleet.template_id not in (None, group.template_id):
            raise Skipped("the group uses another one, which group-template reports")
        if view.fleet.template_id is None:  # only site.yml gives the group the new one
            raise Failed(
                f"Launch template {group.template_name} was deleted: no instance can launch.", view.roll_out(site=True)
            )
        raise Failed(
            f"Launch template {group.template_name} has no version {group.template_version}: no instance can launch.",
            view.roll_out(),
        )
    return f"version {view.template.version} of {view.template.latest_version}"


@check("template-metadata", 3)
def _metadata(view: View) -> str:
    """Instances answer IMDSv2 only."""
    if view.template.metadata.get("HttpTokens") != "required":
        raise Failed(
            "Instances answer IMDSv1: whoever gets a worker to fetch a page gets the role's credentials.",
            view.roll_out(),
        )
    return "IMDSv2 only"


@check("instances-metadata", 3)
def _instances_metadata(view: View) -> str:
    """Running instances have the metadata options of the launch template: anybody may change them on an instance."""
    desired = view.template.metadata
    keys = (*METADATA, *([TAGS] if desired.get(TAGS) == "enabled" else []))
    differs = {
        instance.id: {key: found for key in keys if (found := instance.metadata.get(key)) != desired.get(key)}
        for instance in view.current_instances
    }
    if bad := {id: found for id, found in differs.items() if found}:
        options = f"--http-tokens {desired.get('HttpTokens')} --http-endpoint {desired.get('HttpEndpoint')}"
        options += f" --instance-metadata-tags {desired.get(TAGS) or 'disabled'}"
        modify = f"ec2 modify-instance-metadata-options {options} --http-put-response-hop-limit"
        raise Failed(
            f"{count(len(bad), 'instance')} with other metadata options than the launch template's: "
            f"{first_of(f'{id} ({_options(found)})' for id, found in bad.items())}. {_consequence([*bad.values()])}",
            view.aws(
                "Set them again:",
                *(f"{modify} {desired.get('HttpPutResponseHopLimit')} --instance-id {id}" for id in sorted(bad)[:5]),
            ),
            differs=bad,
        )
    return f"{count(len(differs), 'instance')} as the launch template says"


def _options(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{METADATA.get(key, 'tags')} {value}" for key, value in found.items())


def _consequence(found: Collection[Mapping[str, Any]]) -> str:
    if any(one.get("HttpEndpoint") == "disabled" for one in found):
        return "Without the metadata service their agents know nothing of scale-in, and have no credentials."
    if any("HttpTokens" in one for one in found):
        return "By IMDSv1, whoever gets a worker to fetch a page gets the role's credentials."
    if all({*one} <= {TAGS} for one in found):
        return "Wishes of operators do not reach their agents by a tag: hold, resume, renew, release."
    return "Containers reach the metadata service from one hop farther away than the host."


@check("template-volumes", 3)
def _volumes(view: View) -> str:
    """Volumes are encrypted."""
    if view.template.unencrypted:
        raise Failed(f"Volumes are not encrypted: {', '.join(view.template.unencrypted)}.", view.roll_out())
    return "encrypted"


@check("template-profile", 3)
def _profile(view: View) -> str:
    """Instances are launched with the instance profile."""
    found, desired = view.template.profile, view.settings["fleet_instance_profile_name"]
    if found != desired:
        raise Failed(
            f"Instances have {found or 'no instance profile'}, not {desired}: their agents can call nothing.",
            view.roll_out(),
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
            view.roll_out(
                site=True,
                text="Give the public key in fleet_key_public to import it, or set fleet_key_name to '', then run",
            ),
            key=name,
        )
    return name or "none"
