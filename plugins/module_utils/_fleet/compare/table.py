# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module that the playbooks' tasks use, by its full name, and what its parameters mean. Pure.

A module whose parameters mean nothing here (`_created`) is used in tasks that run only where the thing is missing, as
their `when` states: the parameters count at creation and never again. On every run, ec2_key would import a temporary
key, and iam_access_key create another key.
"""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare import (
    autoscaling_group_settings,
    ec2_launch_template,
    ec2_security_group,
    iam,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import Comparison, Meaning
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import (
    TAGS,
    attribute,
    document,
    same,
)


def _created(*parameters: str) -> Comparison:
    return Comparison(dict.fromkeys(parameters))


COMPARISONS = {
    "amazon.aws.cloudwatchlogs_log_group": Comparison(
        {"log_group_name": None, "purge_tags": None, "retention": same("retentionInDays", int), "tags": TAGS}
    ),
    "amazon.aws.ec2_key": _created("name", "key_material", "tags", "purge_tags"),
    "amazon.aws.ec2_launch_template": ec2_launch_template.COMPARISON,
    "amazon.aws.ec2_security_group": ec2_security_group.COMPARISON,
    # It runs only where the user has not the key that is in use, which another key is not.
    "amazon.aws.iam_access_key": Comparison(
        {"user_name": None, "state": None},
        unstated=lambda keys, p: {"access_key": [key["AccessKeyId"] for key in keys]},
    ),
    "amazon.aws.iam_instance_profile": iam.INSTANCE_PROFILE,
    "amazon.aws.iam_managed_policy": iam.MANAGED_POLICY,
    "amazon.aws.iam_policy": iam.ROLE_POLICY,
    "amazon.aws.iam_role": iam.ROLE,
    "amazon.aws.iam_user": iam.USER,
    "ansible.builtin.copy": Comparison({"dest": None, "content": same("content"), "mode": same("mode")}),
    "ansible.builtin.file": Comparison({"path": None, "state": same("state"), "mode": same("mode")}),
    "community.aws.autoscaling_lifecycle_hook": Comparison(
        {
            "autoscaling_group_name": None,
            "lifecycle_hook_name": None,
            "state": None,
            "transition": attribute("transition"),
            "heartbeat_timeout": attribute("heartbeat_timeout", int),
            "default_result": attribute("default_result"),
        }
    ),
    # What encrypts a repository is settled when it is created.
    "community.aws.ecs_ecr": Comparison(
        {
            "name": None,
            "image_tag_mutability": same("imageTagMutability", str.upper),
            "scan_on_push": Meaning(bool, lambda raw, p: raw["imageScanningConfiguration"]["scanOnPush"]),
            "lifecycle_policy": Meaning(document, lambda raw, p: document(raw["lifecycle"] or "null")),
        }
    ),
    "wekruit.ghosthands.autoscaling_group_settings": autoscaling_group_settings.COMPARISON,
}
