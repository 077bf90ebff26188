# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules whose tasks run only where the thing is missing: the parameters count at creation and never again.

Each such task carries a `when` that says so. ec2_key would import a temporary key, secretsmanager_secret read the secret's value, iam_access_key
make another key and autoscaling_group send desired capacity, each on every run.
"""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare import autoscaling_group_settings
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import Resource

EC2_KEY = Resource(
    read=lambda call, p: call(
        "ec2", "describe_key_pairs", "KeyPairs", absent=("InvalidKeyPair.NotFound",), KeyNames=[p["name"]]
    ),
    says=dict.fromkeys(("name", "key_material", "tags", "purge_tags")),
)
SECRET = Resource(
    read=lambda call, p: call(
        "secretsmanager", "describe_secret", absent=("ResourceNotFoundException",), SecretId=p["name"]
    ),
    says=dict.fromkeys(("name", "description", "json_secret", "overwrite", "tags", "purge_tags")),
)
ACCESS_KEY = Resource(
    read=lambda call, p: (
        call("iam", "list_access_keys", "AccessKeyMetadata", absent=("NoSuchEntity",), UserName=p["user_name"]) or None
    ),
    says=dict.fromkeys(("user_name", "state")),
)
GROUP = Resource(
    read=autoscaling_group_settings.RESOURCE.read,
    says=dict.fromkeys(
        (
            "name",
            "launch_template",
            "min_size",
            "max_size",
            "desired_capacity",
            "vpc_zone_identifier",
            "health_check_type",
            "health_check_period",
            "default_cooldown",
            "termination_policies",
            "suspend_processes",
            "wait_for_instances",
            "tags",
        )
    ),
)
