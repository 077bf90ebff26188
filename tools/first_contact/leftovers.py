"""What an interrupted machine or network has left of earlier runs, found by tag and name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from tools.first_contact.account import NAME, TAG, Account, gone


def delete_leftovers(account: Account) -> list[str]:
    """Delete what earlier runs have left, a group first; what could not be deleted."""
    ec2, iam, autoscaling = (account.client(service) for service in ("ec2", "iam", "autoscaling"))
    tagged = [{"Name": "tag-key", "Values": [TAG]}]
    for group in _pages(autoscaling, "describe_auto_scaling_groups", "AutoScalingGroups", Filters=tagged):
        account.name = str(group["AutoScalingGroupName"])
        account.will_delete(f"Auto Scaling group {account.name}", account._delete_group)
        account.clean_up()
    for template in _pages(ec2, "describe_launch_templates", "LaunchTemplates", Filters=tagged):
        _delete(account, ec2.delete_launch_template, LaunchTemplateId=template["LaunchTemplateId"])
    running = [*tagged, {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    for reservation in _pages(ec2, "describe_instances", "Reservations", Filters=running):
        _delete(account, ec2.terminate_instances, InstanceIds=[i["InstanceId"] for i in reservation["Instances"]])
    for volume in _pages(ec2, "describe_volumes", "Volumes", Filters=[*tagged, _AVAILABLE]):
        _delete(account, ec2.delete_volume, VolumeId=volume["VolumeId"])
    for profile in _pages(iam, "list_instance_profiles", "InstanceProfiles"):
        name = str(profile["InstanceProfileName"])
        if name.startswith(f"{NAME}-"):
            for role in profile["Roles"]:
                _delete(
                    account,
                    iam.remove_role_from_instance_profile,
                    InstanceProfileName=name,
                    RoleName=role["RoleName"],
                )
            _delete(account, iam.delete_instance_profile, InstanceProfileName=name)
    for role in _pages(iam, "list_roles", "Roles"):
        name = str(role["RoleName"])
        if name.startswith(f"{NAME}-"):
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                _delete(account, iam.delete_role_policy, RoleName=name, PolicyName=policy)
            _delete(account, iam.delete_role, RoleName=name)
    return [f"{entry['made']}: {entry['deleted']}" for entry in account.log if entry["deleted"] != "yes"]


_AVAILABLE = {"Name": "status", "Values": ["available"]}


def _pages(client: Any, operation: str, key: str, **parameters: Any) -> list[Any]:
    return [one for page in client.get_paginator(operation).paginate(**parameters) for one in page[key]]


def _delete(account: Account, call: Callable[..., object], **parameters: Any) -> None:
    what = f"{call.__name__} {', '.join(map(str, parameters.values()))}"
    try:
        deleted = gone(lambda: call(**parameters))
        account.log.append({"made": what, "deleted": "yes" if deleted else "no: still in use, run this again"})
    except ClientError as error:
        account.log.append({"made": what, "deleted": f"no: {error}"})
