# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launch template version that a rollout goes to. Asks through a given `call`."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import ec2
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.fleet import launch_template_of
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.launch import image_digest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.prerequisites import Settings
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.refused import unread_where_refused
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout_target import Target


def rollout_target(call: Call, s: Settings, version: str) -> Target:
    """That version of the fleet's launch template, and what its instances boot with.

    :param version: a number. Raises AwsError; where the registry refuses to answer, the digest is Unread.
    """
    template = ec2.launch_template(call, s["fleet_launch_template_name"])
    if template is None:
        return Target(version)
    latest = template["Latest"]["VersionNumber"]
    found: list[dict[str, Any]] = ec2.launch_template_versions(
        call, [version], LaunchTemplateId=template["LaunchTemplateId"]
    )
    if not found:
        return Target(version)
    its = launch_template_of(template["LaunchTemplateId"], int(version), latest, found[0]["LaunchTemplateData"])
    return Target(
        version=version,
        template=its,
        image=ec2.image(call, its.image) if its.image else None,
        instance_type=ec2.instance_type(call, its.type) if its.type else None,
        digest=unread_where_refused(image_digest, call, s, its.agent_conf.get("IMAGE", "")),
    )
