# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A released worker image, and the launch template that follows it: the version in use with another IMAGE alone.

Instances of the versions that it was released over have the same worker then; the new version's description names
these versions, so that verify.yml does not take such instances for old ones.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling, ec2, iam, launch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import agent_conf
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.released import (
    description,
    released_over,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    untagged,
    worker_image,
)

IMAGE_LINE = re.compile(r"^( *)IMAGE=.*$", re.MULTILINE)
REFRESHES, UNDER_WAY = 1, ("Pending", "InProgress", "Baking", "Cancelling", "RollbackInProgress")


class Release:
    """One image for the workers of a group.

    :param version: the launch template version that the group uses.
    :param image: the agent.conf's IMAGE in it.
    """

    def __init__(self, call: Call, group: Group, version: Mapping[str, Any], image: str, digest: str) -> None:
        self._call, self._group, self._version = call, group, version
        self.before, self.digest = image, digest
        self.repository = untagged(image)

    @property
    def in_template(self) -> bool:
        """Whether new instances have the image already."""
        return self.before == f"{self.repository}@{self.digest}"

    def write_template(self) -> str:
        """Make the version and let the group use it; what was done, for people. Raises AwsError."""
        data, id = self._version["LaunchTemplateData"], self._version["LaunchTemplateId"]
        text = base64.b64decode(data["UserData"]).decode()
        new = IMAGE_LINE.sub(lambda found: f"{found[1]}IMAGE={self.repository}@{self.digest}", text, count=1)
        number = str(self._version["VersionNumber"])
        over = (*released_over(self._version.get("VersionDescription", "")), number)
        made = self._call(
            "ec2",
            "create_launch_template_version",
            "LaunchTemplateVersion",
            LaunchTemplateId=id,
            SourceVersion=number,
            VersionDescription=description(self.digest, over),
            LaunchTemplateData={"UserData": base64.b64encode(new.encode()).decode()},
        )
        version = str(made["VersionNumber"])
        self._call("ec2", "modify_launch_template", LaunchTemplateId=id, DefaultVersion=version)
        if self._group.template_version.isdigit():
            pin = {"LaunchTemplateId": id, "Version": version}
            name = self._group.name
            self._call("autoscaling", "update_auto_scaling_group", AutoScalingGroupName=name, LaunchTemplate=pin)
        return f"launch template version {version}, which is {number} with this image"


def release_of(call: Call, s: Mapping[str, Any], group: Group) -> Release:
    """The release that fleet_worker_image names. Raises ValueError where it cannot be, AwsError."""
    if any(one.status in UNDER_WAY for one in autoscaling.refreshes(call, group.name, REFRESHES)):
        raise ValueError(
            f"An instance refresh of {group.name} is under way: wait for its end, or undo it (rollback.yml)."
        )
    stated = [group.template_version or "$Default"]
    found = ec2.launch_template_versions(call, stated, LaunchTemplateId=group.template_id) if group.template_id else []
    conf = agent_conf(found[0]["LaunchTemplateData"].get("UserData", ""))[0] if found else {}
    if "IMAGE" not in conf:
        raise ValueError(
            f"{group.name} launches no instances with an agent.conf: site.yml makes such a launch template."
        )
    me = iam.caller(call)
    wanted = worker_image(s, me.account, me.dns_suffix)
    if untagged(wanted) != untagged(conf["IMAGE"]):
        raise ValueError(
            f"fleet_worker_image {wanted} is not in {untagged(conf['IMAGE'])}, from which agents pull: another "
            "repository takes a rollout (rollout.yml)."
        )
    return Release(call, group, found[0], conf["IMAGE"], _digest(call, s, wanted))


def _digest(call: Call, s: Mapping[str, Any], image: str) -> str:
    """The digest of an image that exists. Raises ValueError, AwsError."""
    found = launch.image_digest(call, s, image)
    if found is None:
        raise ValueError(f"fleet_worker_image: there is no {image}. Push it first, or name another one.")
    named = image.partition("@")[2]
    if isinstance(found, str):
        return found
    if not named:
        raise ValueError(f"fleet_worker_image {image} is in another registry: name it by its digest, @sha256:...")
    return named
