#!/usr/bin/python
# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: autoscaling_group_settings
version_added: 0.1.0
short_description: Create an Auto Scaling group with its hooks, or set its settings and nothing else
description:
  - Reads the group, compares, and sends only what differs. A group whose settings are right is not written to.
  - Never sends a desired capacity, so that no run can undo the work of a scaler. AWS adjusts the desired capacity where
    O(min_size) or O(max_size) exclude it.
  - Also sets what M(amazon.aws.autoscaling_group) has no options for, such as the instance lifecycle policy, the
    instance maintenance policy, the default instance warmup and deletion protection.
  - Settings without an option in the task are left alone.
  - A group that does not exist is created if there is O(creation), in one call with its lifecycle hooks, so that the
    hooks hold its first instances too. A hook can otherwise be added only to a group that already launches.
author:
  - WeKruit (@WeKruit)
options:
  name:
    description: The group's name.
    type: str
    required: true
  creation:
    description: What a new group gets beside the other options. Ignored where the group exists.
    type: dict
    suboptions:
      min_size:
        description: The minimum number of instances.
        type: int
        required: true
      max_size:
        description: The maximum number of instances.
        type: int
        required: true
      desired_capacity:
        description: The number of instances to launch.
        type: int
        required: true
      lifecycle_hooks:
        description: The hooks, as C(name), C(transition), C(heartbeat_timeout) in seconds, and C(default_result).
        type: list
        elements: dict
        required: true
  min_size:
    description: The minimum number of instances.
    type: int
  max_size:
    description: The maximum number of instances.
    type: int
  launch_template:
    description: The launch template that new instances come from.
    type: dict
    suboptions:
      id:
        description: The template's id. A name would hide that the group uses a deleted template of the same name.
        type: str
        required: true
      version:
        description: A version's number, C($Latest) or C($Default).
        type: str
        required: true
  subnet_ids:
    description: All subnets of the group.
    type: list
    elements: str
  health_check_type:
    description: Which health checks count, such as C(EC2).
    type: str
  health_check_grace_seconds:
    description: How long a new instance's health check is ignored, in seconds.
    type: int
  cooldown_seconds:
    description: The default cooldown, in seconds.
    type: int
  warmup_seconds:
    description: The default instance warmup, in seconds.
    type: int
  max_lifetime_seconds:
    description: After how long instances are replaced, in seconds; 0 for never.
    type: int
  termination_policies:
    description: By which policies scale-in chooses an instance, in this order.
    type: list
    elements: str
  new_instances_protected:
    description: Whether new instances are protected from scale-in.
    type: bool
  maintenance_policy:
    description: How many healthy instances a replacement keeps and may reach, in percent of desired capacity.
    type: dict
    suboptions:
      min_healthy_percentage:
        description: The lower bound, 0-100.
        type: int
        required: true
      max_healthy_percentage:
        description: The upper bound, 100-200, at most 100 above the lower one.
        type: int
        required: true
  deletion_protection:
    description: Whether AWS refuses to delete the group.
    type: str
    choices: [none, prevent-force-deletion, prevent-all-deletion]
  on_hook_abandon:
    description: What happens to an instance whose termination hook is abandoned (InstanceLifecyclePolicy).
    type: str
    choices: [retain, terminate]
  suspended_processes:
    description: All processes that are suspended. Others are resumed.
    type: list
    elements: str
  metrics:
    description: Whether the group's metrics are collected.
    type: bool
  protected_instances:
    description: Instances in service that are protected from scale-in. The protection of others is left alone.
    type: list
    elements: str
  tags:
    description: Tags of the group that are propagated to its instances. Other tags stay.
    type: dict
attributes:
  check_mode:
    description: Reports what it would change, and changes nothing.
    support: full
  diff_mode:
    description: Shows what differs, by the names of the options.
    support: full
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Retain instances whose hook was abandoned, and never terminate busy workers to balance zones
  wekruit.ghosthands.autoscaling_group_settings:
    name: gh-worker-asg
    on_hook_abandon: retain
    suspended_processes: [AZRebalance]
"""

RETURN = r"""
calls:
  description: The calls that were made, or would be made in check mode.
  returned: always
  type: list
  elements: str
  sample: [update_auto_scaling_group, suspend_processes]
before:
  description: What differed, as it was.
  returned: always
  type: dict
after:
  description: What differed, as it should be.
  returned: always
  type: dict
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws.autoscaling import group
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.autoscaling_group_settings import (
    COMPARISON,
    creation,
    requests,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import compare

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    pass  # AnsibleAWSModule reports it

OPTIONS = {
    "name": {"type": "str", "required": True},
    "creation": {
        "type": "dict",
        "options": {
            "min_size": {"type": "int", "required": True},
            "max_size": {"type": "int", "required": True},
            "desired_capacity": {"type": "int", "required": True},
            "lifecycle_hooks": {"type": "list", "elements": "dict", "required": True},
        },
    },
    "min_size": {"type": "int"},
    "max_size": {"type": "int"},
    "launch_template": {
        "type": "dict",
        "options": {"id": {"type": "str", "required": True}, "version": {"type": "str", "required": True}},
    },
    "subnet_ids": {"type": "list", "elements": "str"},
    "health_check_type": {"type": "str"},
    "health_check_grace_seconds": {"type": "int"},
    "cooldown_seconds": {"type": "int"},
    "warmup_seconds": {"type": "int"},
    "max_lifetime_seconds": {"type": "int"},
    "termination_policies": {"type": "list", "elements": "str"},
    "new_instances_protected": {"type": "bool"},
    "maintenance_policy": {
        "type": "dict",
        "options": {
            "min_healthy_percentage": {"type": "int", "required": True},
            "max_healthy_percentage": {"type": "int", "required": True},
        },
    },
    "deletion_protection": {"type": "str", "choices": ["none", "prevent-force-deletion", "prevent-all-deletion"]},
    "on_hook_abandon": {"type": "str", "choices": ["retain", "terminate"]},
    "suspended_processes": {"type": "list", "elements": "str"},
    "metrics": {"type": "bool"},
    "protected_instances": {"type": "list", "elements": "str"},
    "tags": {"type": "dict"},
}


def run(module: AnsibleAWSModule) -> dict[str, Any]:
    """Read, compare and send what differs. Returns the result, the same in check mode."""
    client = module.client("autoscaling", retry_decorator=AWSRetry.jittered_backoff())
    p = {name: module.params[name] for name in OPTIONS if module.params[name] is not None}

    def call(_service: str, operation: str, key: str | None = None, **request: Any) -> Any:
        answer = getattr(client, operation)(aws_retry=True, **request)
        return answer.get(key) if key else answer

    found = group(call, p["name"])
    if found is None and "creation" not in p and not module.check_mode:
        module.fail_json(msg=f"There is no Auto Scaling group {p['name']}: create it first.")
    before, after = compare(COMPARISON, p, found) or ({}, {})
    created = creation(p) if "creation" in p else []
    calls = requests(p, before, after) if found else created
    if not module.check_mode:
        for operation, request in calls:
            call("autoscaling", operation, **request)
    return {
        "changed": bool(before or after),
        "calls": [c for c, _request in calls],
        "before": before,
        "after": after,
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    """Run by Ansible."""
    module = AnsibleAWSModule(argument_spec=OPTIONS, supports_check_mode=True)
    try:
        module.exit_json(**run(module))
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"The settings of {module.params['name']} could not be set")


if __name__ == "__main__":
    main()
