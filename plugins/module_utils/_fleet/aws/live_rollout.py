# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One group whose instances a rollout replaces. Every method raises AwsError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.live_group import LiveGroup
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Activity, Group, Refresh

REFRESHES = 20  # the newest come first; a rollout starts two to five
ACTIVITIES = 100  # one page


class LiveRollout(LiveGroup):
    """A group by its name, its instance refreshes and its tags."""

    def refreshes(self) -> tuple[Refresh, ...]:
        """The newest first."""
        return autoscaling.refreshes(self._call, self.name, REFRESHES)

    def activities(self) -> tuple[Activity, ...]:
        """The newest first."""
        return autoscaling.activities(self._call, self.name, ACTIVITIES)

    def start_refresh(self, group: Group, version: str, preferences: dict[str, Any]) -> None:
        """StartInstanceRefresh.

        :param version: of the group's launch template, which the group launches once the refresh has succeeded; empty:
            the one that it launches.
        :param preferences: as the API names them (RefreshPreferences).
        """
        template = {"LaunchTemplateId": group.template_id, "Version": version}
        desired = {"DesiredConfiguration": {"LaunchTemplate": template}} if version else {}
        self._call(
            "autoscaling",
            "start_instance_refresh",
            AutoScalingGroupName=self.name,
            Strategy="Rolling",
            Preferences=preferences,
            **desired,
        )

    def cancel_refresh(self, wait: bool) -> None:
        """CancelInstanceRefresh.

        :param wait: whether launches and terminations under way end first.
        """
        self._call(
            "autoscaling",
            "cancel_instance_refresh",
            AutoScalingGroupName=self.name,
            WaitForTransitioningInstances=wait,
        )

    def roll_back_refresh(self) -> None:
        """RollbackInstanceRefresh."""
        self._call("autoscaling", "rollback_instance_refresh", AutoScalingGroupName=self.name)

    def set_version(self, group: Group, version: str) -> None:
        """UpdateAutoScalingGroup: new instances use this version."""
        self._call(
            "autoscaling",
            "update_auto_scaling_group",
            AutoScalingGroupName=self.name,
            LaunchTemplate={"LaunchTemplateId": group.template_id, "Version": version},
        )

    def write_tag(self, key: str, value: str) -> None:
        """CreateOrUpdateTags: a tag of the group, which instances do not get."""
        tag = self._tag(key) | {"Value": value, "PropagateAtLaunch": False}
        self._call("autoscaling", "create_or_update_tags", Tags=[tag])

    def delete_tags(self, keys: Sequence[str]) -> None:
        """DeleteTags."""
        self._call("autoscaling", "delete_tags", Tags=[self._tag(key) for key in keys])

    def _tag(self, key: str) -> dict[str, Any]:
        return {"ResourceId": self.name, "ResourceType": "auto-scaling-group", "Key": key}
