# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One Auto Scaling group to read and to change: what drain and drill work on. Every method raises AwsError."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError, Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Group

ACTIVITIES = 20  # the newest come first; a drill starts one or two
INSTANCES_IN_A_CALL = 50  # SetInstanceProtection


class LiveGroup:
    """A group by its name.

    :param call: sends every request (Account.call_now).
    """

    def __init__(self, call: Call, name: str, region: str = "", hook_name: str = "") -> None:
        self.name = name
        self._call, self._region, self._hook_name = call, region, hook_name

    def find(self) -> Group | None:
        """The group; None: it does not exist."""
        return autoscaling.group(self._call, self.name)

    def read(self) -> Group:
        """The group. Raises AwsError also where it does not exist."""
        if (found := self.find()) is None:
            raise AwsError(f"There is no group {self.name}.")
        return found

    def has_hook(self) -> bool:
        """Whether its termination hook exists."""
        return autoscaling.hook(self._call, self.name, self._hook_name) is not None

    def failed_launches(self) -> Mapping[str, str]:
        """Its latest launches that failed: activity id -> the reason that AWS gives."""
        return {
            activity.id: activity.message or "no reason given"
            for activity in autoscaling.activities(self._call, self.name, ACTIVITIES)
            if activity.status == "Failed" and activity.description.startswith("Launching")
        }

    def set_desired_capacity(self, desired: int) -> None:
        self._call("autoscaling", "set_desired_capacity", AutoScalingGroupName=self.name, DesiredCapacity=desired)

    def set_sizes(self, min_size: int, max_size: int, desired: int) -> None:
        """Set all three, which AWS accepts or refuses together."""
        self._call(
            "autoscaling",
            "update_auto_scaling_group",
            AutoScalingGroupName=self.name,
            MinSize=min_size,
            MaxSize=max_size,
            DesiredCapacity=desired,
        )

    def scale_to_zero(self) -> None:
        self._call(
            "autoscaling", "update_auto_scaling_group", AutoScalingGroupName=self.name, MinSize=0, DesiredCapacity=0
        )

    def terminate(self, instance: str, decrement: bool) -> None:
        """Terminate this instance, after its hook.

        :param decrement: whether desired capacity is lowered by one.
        """
        self._call(
            "autoscaling",
            "terminate_instance_in_auto_scaling_group",
            InstanceId=instance,
            ShouldDecrementDesiredCapacity=decrement,
        )

    def enter_standby(self, instance: str) -> None:
        """Take it out of service, where it goes on; another one is launched in its place."""
        self._call(
            "autoscaling",
            "enter_standby",
            AutoScalingGroupName=self.name,
            InstanceIds=[instance],
            ShouldDecrementDesiredCapacity=False,
        )

    def complete_hook(self, instance: str) -> None:
        """Let it terminate now: nobody on it completes its termination hook."""
        self._call(
            "autoscaling",
            "complete_lifecycle_action",
            AutoScalingGroupName=self.name,
            LifecycleHookName=self._hook_name,
            InstanceId=instance,
            LifecycleActionResult="CONTINUE",
        )

    def remove_protection(self, instances: Iterable[str]) -> None:
        """Let scale-in choose these instances, the first 50 of them."""
        self._call(
            "autoscaling",
            "set_instance_protection",
            AutoScalingGroupName=self.name,
            InstanceIds=list(instances)[:INSTANCES_IN_A_CALL],
            ProtectedFromScaleIn=False,
        )

    def cli_command(self, words: str) -> str:
        """The AWS CLI's `autoscaling` command, for people."""
        named = words if "--instance-id " in words else f"{words} --auto-scaling-group-name {shlex.quote(self.name)}"
        return f"aws autoscaling {named} --region {self._region}"
