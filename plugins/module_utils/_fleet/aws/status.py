# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that the playbooks create, and its state. Asks through a given `call`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import autoscaling, ec2, iam, other_services
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.aws import prerequisites as read
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import Call
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Group,
    GroupInstance,
    Refresh,
    waiting_since,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.formatting import duration
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import (
    ACTIVE,
    FORWARD,
    LAST_VERSION_TAG,
    STATUSES,
    TAG,
    Rollout,
    last_version,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.status import MISSING, Row

ACTIVITIES = 100  # one page; those in progress come first


def _repository(call: Call, s: read.Settings) -> Iterator[Row]:
    name = s["fleet_repository_name"]
    found = other_services.repository(call, name)
    yield Row("§1", "repository", name, found["repositoryUri"] if found else MISSING)


def _key_pair(call: Call, s: read.Settings) -> Iterator[Row]:
    if s["fleet_key_name"]:
        yield Row("§1", "key pair", s["fleet_key_name"], _present(ec2.key_pair(call, s["fleet_key_name"])))


def _secret(call: Call, s: read.Settings) -> Iterator[Row]:
    secret = read.secret(call, s)
    state = "scheduled for deletion" if secret and secret.deletion_scheduled else _present(secret)
    yield Row("§9", "secret", s["fleet_secret_name"], state)


def _log_group(call: Call, s: read.Settings) -> Iterator[Row]:
    name = s["fleet_log_group_name"]
    found = other_services.log_group(call, name)
    yield Row("§9", "log group", name, f"{found.get('retentionInDays', 'endless')} days" if found else MISSING)


def _identity(call: Call, s: read.Settings) -> Iterator[Row]:
    role, policy, profile = s["fleet_role_name"], s["fleet_policy_name"], s["fleet_instance_profile_name"]
    yield Row("§6", "role", role, _present(iam.role(call, role)))
    yield Row("§6", "policy", policy, _present(iam.role_policy(call, role, policy)))
    found = iam.instance_profile(call, profile)
    roles = ", ".join(r["RoleName"] for r in found["Roles"]) if found else ""
    yield Row("§6", "instance profile", profile, f"carries {roles or 'no role'}" if found else MISSING)


def _security_group(call: Call, s: read.Settings) -> Iterator[Row]:
    found = _own_security_group(call, s)
    state = f"{len(found['IpPermissions'])} ports open" if found else MISSING
    yield Row("§7", "security group", found["GroupId"] if found else s["fleet_security_group_name"], state)


def _own_security_group(call: Call, s: read.Settings) -> Mapping[str, Any] | None:
    name, vpc = s["fleet_security_group_name"], ec2.vpc(call, s["fleet_vpc_id"])
    return next((group for group in ec2.security_groups(call, name) if group.get("VpcId") == vpc), None)


def prevents_deletion(call: Call, s: read.Settings) -> list[str]:
    """Why the fleet cannot be deleted whole, a sentence each. Raises AwsError.

    EC2 deletes no security group that another one in its VPC names, or that a network interface is in
    (API_DeleteSecurityGroup, DependencyViolation), however long one waits.
    """
    own, group = _own_security_group(call, s), read.group(call, s)
    if own is None:
        return []
    id, ids = own["GroupId"], {instance.id for instance in group.instances} if group else set()
    others = ec2.groups_that_name(call, id, own["VpcId"])
    foreign = {card: at for card, at in ec2.interfaces_in(call, id).items() if at not in ids}
    return [
        *(
            f"Security group {other} ({name}) has a rule that names {own['GroupName']} ({id}): remove that rule first."
            for other, name in sorted(others.items())
        ),
        *(
            f"Network interface {card} of {at or 'no instance'} is in {own['GroupName']} ({id}) and not the group's: "
            "give it another security group, or delete it, first."
            for card, at in sorted(foreign.items())
        ),
    ]


def _launch_template(call: Call, s: read.Settings) -> Iterator[Row]:
    found = read.launch_template(call, s)
    if found is None:
        yield Row("§3", "launch template", s["fleet_launch_template_name"], MISSING)
        return
    latest = found["Latest"]
    image = latest["LaunchTemplateData"].get("ImageId", "no image")
    yield Row("§3", "launch template", found["LaunchTemplateId"], f"version {latest['VersionNumber']}, {image}")


def _group(call: Call, s: read.Settings, registry: Registry | None, now: float) -> Iterator[Row]:
    group = read.group(call, s)
    yield Row("§4", "group", s["fleet_group_name"], _group_state(group) if group else MISSING)
    rollout = _rollout_of(group) if group else None
    if group:
        yield from _rollout(call, group, rollout)
    instances = group.instances if group else ()
    without_agent = read.without_agent(call, s)
    told = ec2.instances(call, {ec2.GROUP_TAG: group.name}) if group and instances else {}
    waiting = any(instance.state.endswith(":Wait") for instance in instances)
    activities = autoscaling.activities(call, s["fleet_group_name"], ACTIVITIES) if waiting else ()
    for instance in instances:
        since = waiting_since(activities, instance.id) if instance.state.endswith(":Wait") else 0.0
        worker = registry.worker(instance.id) if registry else None
        unknown = "unknown" if since and registry and not registry.reachable else None
        state = _instance_state(instance, now - since if since else 0.0, worker.job_id if worker else unknown)
        state += ", without the agent" if instance.id in without_agent else ""
        state += f", {told[instance.id].told}" if instance.id in told and told[instance.id].told.wish else ""
        state += ", of the rollout" if rollout and instance.template_version == rollout.version else ""
        yield Row("§4", "instance", instance.id, state)


def _rollout_of(group: Group) -> Rollout | None:
    tag = group.tags.get(TAG)
    return Rollout.parse(tag.value) if tag else None


def _rollout(call: Call, group: Group, rollout: Rollout | None) -> Iterator[Row]:
    """Who rolls what out, the refresh that does it, and where a rollback would go."""
    if rollout:
        there = [i for i in group.instances if i.template_version == rollout.version and i.state == "InService"]
        of = f"{len(there)} of {group.desired_capacity} in service"
        why = f", because of {rollout.why}" if rollout.why else ""
        yield Row("§4", "rollout", rollout.what, f"{of}, since {rollout.since}, by {rollout.by}{why}")
    elif TAG in group.tags:
        yield Row("§4", "rollout", group.tags[TAG].value, "not one of this kit's: see rollout.yml")
    last = next(iter(autoscaling.refreshes(call, group.name, 1)), None)
    if last and (rollout or last.status in ACTIVE):
        yield Row("§4", "refresh", last.id, _refresh_state(last, rollout))
    tag = group.tags.get(LAST_VERSION_TAG)
    if tag and (version := last_version(tag.value, group.template_id)):
        yield Row("§4", "last version", version, "where rollback.yml goes")


def _refresh_state(last: Refresh, rollout: Rollout | None) -> str:
    if last.status == "Cancelled" and rollout and rollout.going == FORWARD:
        return f"Cancelled, to version {last.version}: so it is while the canaries are verified"
    words = [f"{last.status}, {last.percent} %"]
    words += [f"{last.remaining} to replace"] if last.status in ACTIVE and last.remaining else []
    words += [f"to version {last.version}"] if last.version else []
    return f"{', '.join(words)}: {last.reason or STATUSES[last.status].meaning}"


def _group_state(group: Group) -> str:
    sizes = f"{group.min_size} to {group.max_size}, desired {group.desired_capacity}"
    state = f"{sizes}, template version {group.template_version or '-'}"
    words = ["paused"] if group.paused else []
    words += [f"{group.command.text} under way, or interrupted"] if group.command else []
    return ", ".join(filter(None, (state, *words, group.status)))


def _instance_state(i: GroupInstance, waiting: float, job: str | None) -> str:
    words = [
        f"{i.state} for {duration(waiting)}" if waiting else i.state,
        i.health.lower(),
        i.zone,
        f"version {i.template_version or '-'}",
        "protected" if i.protected else "",
        f"job {job}" if job else "",
    ]
    return ", ".join(filter(None, words))


def _hooks(call: Call, s: read.Settings) -> Iterator[Row]:
    names = {"hook": s["fleet_termination_hook_name"]}
    if s["fleet_launch_hook"]:
        names["launch hook"] = s["fleet_launch_hook_name"]
    for resource, name in names.items():
        hook = autoscaling.hook(call, s["fleet_group_name"], name)
        yield Row("§5", resource, name, f"{hook.heartbeat_timeout} s, {hook.default_result}" if hook else MISSING)


def _valet(call: Call, s: read.Settings) -> Iterator[Row]:
    name, user = s["fleet_valet_policy_name"], s["fleet_valet_user_name"]
    policy = iam.managed_policy(call, name)
    yield Row("§10", "VALET's policy", name, f"{policy.get('AttachmentCount', 0)} attached" if policy else MISSING)
    if user:
        yield Row("§10", "VALET's user", user, _present(iam.user(call, user)))


def _present(found: object) -> str:
    return "present" if found else MISSING


PARTS = (
    _hooks,
    _repository,
    _key_pair,
    _secret,
    _log_group,
    _identity,
    _security_group,
    _launch_template,
    _valet,
)


def read_status(
    start: Callable[..., read.Future], call: Call, s: read.Settings, registry: Registry | None, now: float
) -> list[Row]:
    """Everything that the playbooks create, in the runbook's order, missing or not. Raises AwsError.

    :param registry: where instances' jobs are looked up. None: it was not read.
    :param now: seconds since the epoch.
    """
    group = start(lambda: list(_group(call, s, registry, now)))
    parts = [group, *(start(lambda part: list(part(call, s)), part) for part in PARTS)]
    rows = [row for part in parts for row in part.result()]
    return sorted(rows, key=lambda row: int(row.section[1:]))
