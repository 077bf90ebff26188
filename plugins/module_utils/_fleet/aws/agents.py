# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a group's instances have no agent of this kit. Asks through a given `call`.

An agent needs an image that has it (its tag) and user data that writes agent.conf. Both are those of the launch
template version that an instance came from. Where the tag cannot be seen the user data decides: of an image that is
gone, and of one of another account that is trusted. Of a fleet whose instances are all of the version in use it
takes no call more than that version did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import ec2
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.agent_conf import agent_conf
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, GroupInstance, Image

Settings = Mapping[str, Any]
Version = tuple[str, str]
"""the template's id, and the version's number"""


def may_have_agent(image: Image, account: str, s: Settings) -> bool:
    """Whether an image has an agent, as far as that can be known: of one that does not say, whether it is trusted."""
    known = image.has_agent(account)
    return image.is_trusted(s) if known is None else known


def without_agent(
    call: Call, s: Settings, group: Group, known: Iterable[Mapping[str, Any]], image: Callable[[str], Image | None]
) -> tuple[str, ...]:
    """The ids of the instances that are not on their way out already.

    :param known: versions of launch templates that were read anyway.
    :param image: the image of this id; None: it was deregistered.
    """
    there = [each for each in group.instances if not each.state.startswith(("Terminat", "Detach"))]
    data = {(v["LaunchTemplateId"], str(v["VersionNumber"])): v["LaunchTemplateData"] for v in known}
    launched = dict[str, str]()

    def has_agent(version: Version, one: GroupInstance) -> bool:
        if version not in data and all(version):
            id, number = version
            found = ec2.launch_template_versions(call, [number], LaunchTemplateId=id)
            data.update({version: found[0]["LaunchTemplateData"]} if found else {})
        if version in data:
            its = image(data[version].get("ImageId", ""))
            has_conf = bool(agent_conf(data[version].get("UserData", ""))[0])
            return has_conf and (its is None or may_have_agent(its, group.account, s))
        # Attached by hand, or of a version that was deleted: only the instance itself tells.
        if not launched:
            launched.update({i.id: i.image for i in ec2.instances(call, {ec2.GROUP_TAG: group.name}).values()})
        its = image(launched[one.id]) if one.id in launched else None
        return bool(its and its.has_agent(group.account))

    return tuple(one.id for one in there if not has_agent((one.template_id, one.template_version), one))
