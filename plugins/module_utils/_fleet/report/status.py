# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a fleet stands, as rows of a table. Asks through a given `call`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import prerequisites as read
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.table import RESOURCES

Settings = Mapping[str, Any]
MISSING = "missing"


class Row(NamedTuple):
    section: str
    resource: str
    id: str
    state: str


def _repository(call: Call, s: Settings) -> Iterator[Row]:
    raw = RESOURCES["community.aws.ecs_ecr"].read(call, {"name": s["fleet_repository_name"]})
    yield Row("§1", "repository", s["fleet_repository_name"], raw["repositoryUri"] if raw else MISSING)


def _key_pair(call: Call, s: Settings) -> Iterator[Row]:
    if s["fleet_key_name"]:
        yield Row("§1", "key pair", s["fleet_key_name"], "present" if read.key_pair(call, s) else MISSING)


def _secret(call: Call, s: Settings) -> Iterator[Row]:
    secret = read.secret(call, s)
    state = MISSING if secret is None else "scheduled for deletion" if secret.being_deleted else "present"
    yield Row("§9", "secret", s["fleet_secret_name"], state)


def _log_group(call: Call, s: Settings) -> Iterator[Row]:
    raw = RESOURCES["amazon.aws.cloudwatchlogs_log_group"].read(call, {"log_group_name": s["fleet_log_group_name"]})
    yield Row(
        "§9",
        "log group",
        s["fleet_log_group_name"],
        f"{raw.get('retentionInDays', 'endless')} days" if raw else MISSING,
    )


def _identity(call: Call, s: Settings) -> Iterator[Row]:
    role, profile = s["fleet_role_name"], s["fleet_instance_profile_name"]
    policy = RESOURCES["amazon.aws.iam_policy"].read(call, {"iam_name": role, "policy_name": s["fleet_policy_name"]})
    carried = RESOURCES["amazon.aws.iam_instance_profile"].read(call, {"name": profile})
    yield Row("§6", "role", role, "present" if read.role(call, s) else MISSING)
    yield Row("§6", "policy", s["fleet_policy_name"], "present" if policy else MISSING)
    yield Row(
        "§6",
        "instance profile",
        profile,
        f"carries {', '.join(r['RoleName'] for r in carried['Roles']) or 'no role'}" if carried else MISSING,
    )


def _security_group(call: Call, s: Settings) -> Iterator[Row]:
    resource, name = RESOURCES["amazon.aws.ec2_security_group"], s["fleet_security_group_name"]
    raw = resource.among(resource.read(call, {"name": name}), {"vpc_id": read.vpc(call, s)})
    yield Row(
        "§7",
        "security group",
        raw["GroupId"] if raw else name,
        f"{len(raw['IpPermissions'])} ports open" if raw else MISSING,
    )


def _launch_template(call: Call, s: Settings) -> Iterator[Row]:
    raw = RESOURCES["amazon.aws.ec2_launch_template"].read(call, {"template_name": s["fleet_launch_template_name"]})
    latest = raw["Latest"] if raw else {}
    state = (
        f"version {latest['VersionNumber']}, {latest['LaunchTemplateData'].get('ImageId', 'no image')}"
        if raw
        else MISSING
    )
    yield Row("§3", "launch template", raw["LaunchTemplateId"] if raw else s["fleet_launch_template_name"], state)


def _group(call: Call, s: Settings) -> Iterator[Row]:
    name = s["fleet_group_name"]
    raw = RESOURCES["amazon.aws.autoscaling_group"].read(call, {"name": name})
    if raw is None:
        yield Row("§4", "group", name, MISSING)
    else:
        version = raw.get("LaunchTemplate", {}).get("Version", "-")
        sizes = f"{raw['MinSize']} to {raw['MaxSize']}, desired {raw['DesiredCapacity']}, template version {version}"
        yield Row("§4", "group", name, f"{sizes}, {raw['Status']}" if raw.get("Status") else sizes)
        for i in sorted(raw["Instances"], key=lambda i: i["InstanceId"]):
            marks = [
                i["HealthStatus"].lower(),
                i["AvailabilityZone"],
                f"version {i.get('LaunchTemplate', {}).get('Version', '-')}",
            ]
            yield Row(
                "§4",
                "instance",
                i["InstanceId"],
                ", ".join([i["LifecycleState"], *marks, *(["protected"] if i.get("ProtectedFromScaleIn") else [])]),
            )
    wanted = [("hook", s["fleet_termination_hook_name"])] + (
        [("launch hook", s["fleet_launch_hook_name"])] if s["fleet_launch_hook"] else []
    )
    for kind, hook in wanted:
        found = RESOURCES["community.aws.autoscaling_lifecycle_hook"].read(
            call, {"autoscaling_group_name": name, "lifecycle_hook_name": hook}
        )
        yield Row("§5", kind, hook, f"{found['HeartbeatTimeout']} s, {found['DefaultResult']}" if found else MISSING)


def _valet(call: Call, s: Settings) -> Iterator[Row]:
    policy = RESOURCES["amazon.aws.iam_managed_policy"].read(call, {"name": s["fleet_valet_policy_name"]})
    yield Row(
        "§10",
        "VALET's policy",
        s["fleet_valet_policy_name"],
        f"{policy.get('AttachmentCount', 0)} attached" if policy else MISSING,
    )
    if s["fleet_valet_user_name"]:
        user = RESOURCES["amazon.aws.iam_user"].read(call, {"name": s["fleet_valet_user_name"]})
        yield Row("§10", "VALET's user", s["fleet_valet_user_name"], "present" if user else MISSING)


PARTS = (_group, _repository, _key_pair, _secret, _log_group, _identity, _security_group, _launch_template, _valet)


def rows(start: Callable[..., read.Answer], call: Call, s: Settings) -> list[Row]:
    """Everything the playbooks make, in the runbook's order, missing or not. Asks for all parts at once."""
    asked = [start(lambda part: list(part(call, s)), part) for part in PARTS]
    found = [row for answer in asked for row in answer.result()]
    return sorted(found, key=lambda row: int(row.section[1:]))


def table(found: list[Row]) -> list[str]:
    """The rows as lines of text."""
    head = Row("runbook", "resource", "id", "state")
    widths = [max(len(row[column]) for row in [head, *found]) for column in range(3)]
    return ["  ".join([*(row[c].ljust(widths[c]) for c in range(3)), row.state]) for row in [head, *found]]
