# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""community.aws.autoscaling_lifecycle_hook."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import same
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import (
    Call,
    Parameters,
    Resource,
)


def _read(call: Call, p: Parameters) -> Any:
    hooks = call(
        "autoscaling",
        "describe_lifecycle_hooks",
        "LifecycleHooks",
        absent=("ValidationError",),
        AutoScalingGroupName=p["autoscaling_group_name"],
    )
    return next((hook for hook in hooks or [] if hook["LifecycleHookName"] == p["lifecycle_hook_name"]), None)


RESOURCE = Resource(
    read=_read,
    says={
        "autoscaling_group_name": None,
        "lifecycle_hook_name": None,
        "state": None,
        "transition": same("LifecycleTransition"),
        "heartbeat_timeout": same("HeartbeatTimeout", int),
        "default_result": same("DefaultResult"),
    },
)
