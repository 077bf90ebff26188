# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module that the playbooks' tasks use, by its full name."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare import (
    autoscaling_group_settings,
    autoscaling_lifecycle_hook,
    cloudwatchlogs_log_group,
    creation,
    ec2_launch_template,
    ec2_security_group,
    ecs_ecr,
    iam_instance_profile,
    iam_managed_policy,
    iam_policy,
    iam_role,
    iam_user,
    local_file,
)

RESOURCES = {
    "amazon.aws.autoscaling_group": creation.GROUP,
    "amazon.aws.cloudwatchlogs_log_group": cloudwatchlogs_log_group.RESOURCE,
    "amazon.aws.ec2_key": creation.EC2_KEY,
    "amazon.aws.ec2_launch_template": ec2_launch_template.RESOURCE,
    "amazon.aws.ec2_security_group": ec2_security_group.RESOURCE,
    "amazon.aws.iam_access_key": creation.ACCESS_KEY,
    "amazon.aws.iam_instance_profile": iam_instance_profile.RESOURCE,
    "amazon.aws.iam_managed_policy": iam_managed_policy.RESOURCE,
    "amazon.aws.iam_policy": iam_policy.RESOURCE,
    "amazon.aws.iam_role": iam_role.RESOURCE,
    "amazon.aws.iam_user": iam_user.RESOURCE,
    "ansible.builtin.copy": local_file.COPY,
    "ansible.builtin.file": local_file.FILE,
    "community.aws.autoscaling_lifecycle_hook": autoscaling_lifecycle_hook.RESOURCE,
    "community.aws.ecs_ecr": ecs_ecr.RESOURCE,
    "community.aws.secretsmanager_secret": creation.SECRET,
    "wekruit.ghosthands.autoscaling_group_settings": autoscaling_group_settings.RESOURCE,
}
