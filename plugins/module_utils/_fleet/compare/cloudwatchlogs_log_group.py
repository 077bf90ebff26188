# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""amazon.aws.cloudwatchlogs_log_group."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import TAGS, same
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import (
    Call,
    Parameters,
    Resource,
)


def _read(call: Call, p: Parameters) -> Any:
    name = p["log_group_name"]
    group = next(
        (
            g
            for g in call("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name)
            if g["logGroupName"] == name
        ),
        None,
    )
    if group is None:
        return None
    arn = group["arn"][:-2] if group["arn"].endswith(":*") else group["arn"]
    return {**group, "Tags": call("logs", "list_tags_for_resource", "tags", resourceArn=arn)}


RESOURCE = Resource(
    read=_read,
    says={"log_group_name": None, "purge_tags": None, "retention": same("retentionInDays", int), "tags": TAGS},
)
