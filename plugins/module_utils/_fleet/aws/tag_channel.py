# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tags by which operators and agents speak (facts/command.py), of one group and its instances.

CreateTags takes up to 1,000 ids and recommends smaller batches (API_CreateTags); a tag of a group is propagated to
instances that are launched later only (API_Tag, PropagateAtLaunch).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling, ec2
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.command import COMMAND, WANT, Wish
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group, Instance

INSTANCES_IN_A_CALL = 100


class TagChannel:
    """procedures.command.Channel of the group of this name.

    :param call: sends every request (Account.call_now).
    """

    def __init__(self, call: Call, name: str) -> None:
        self._call, self._name = call, name

    def group(self) -> Group:
        """The group. Raises AwsError also where it does not exist."""
        if (found := autoscaling.group(self._call, self._name)) is None:
            raise AwsError(f"There is no group {self._name}.")
        return found

    def instances(self) -> Mapping[str, Instance]:
        """Those that the group has launched."""
        return ec2.instances(self._call, {ec2.GROUP_TAG: self._name})

    def want(self, instances: Sequence[str], wish: Wish) -> None:
        """CreateTags on instances."""
        for first in range(0, len(instances), INSTANCES_IN_A_CALL):
            some = list(instances[first : first + INSTANCES_IN_A_CALL])
            self._call("ec2", "create_tags", Resources=some, Tags=[{"Key": WANT, "Value": wish.text}])

    def want_of_launches(self, wish: Wish | None) -> None:
        """The group's tag that is propagated."""
        self._tag(WANT, wish, propagated=True)

    def record(self, wish: Wish | None) -> None:
        """The group's own tag."""
        self._tag(COMMAND, wish, propagated=False)

    def _tag(self, key: str, wish: Wish | None, *, propagated: bool) -> None:
        tag = {"ResourceId": self._name, "ResourceType": "auto-scaling-group", "Key": key}
        if wish is None:
            self._call("autoscaling", "delete_tags", Tags=[tag])
        else:
            value = {"Value": wish.text, "PropagateAtLaunch": propagated}
            self._call("autoscaling", "create_or_update_tags", Tags=[tag | value])

    def suspend_launch(self) -> None:
        """SuspendProcesses."""
        self._call("autoscaling", "suspend_processes", AutoScalingGroupName=self._name, ScalingProcesses=["Launch"])

    def resume_launch(self) -> None:
        """ResumeProcesses."""
        self._call("autoscaling", "resume_processes", AutoScalingGroupName=self._name, ScalingProcesses=["Launch"])
