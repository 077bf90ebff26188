"""What the API tests create and expect: a launch template, a group, a refusal."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from botocore.exceptions import ClientError

SUBNETS = ("subnet-010ca1c10d00000a1", "subnet-010ca1c10d00000b2")
IMAGE, ARM_IMAGE = "ami-010ca1c10d000a001", "ami-010ca1c10d000a002"
USER_DATA = base64.b64encode(b"#cloud-config\n").decode()
TEMPLATE: dict[str, Any] = {
    "ImageId": IMAGE,
    "InstanceType": "t3.medium",
    "UserData": USER_DATA,
    "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "HttpEndpoint": "enabled"},
    "BlockDeviceMappings": [
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 40, "VolumeType": "gp3", "Encrypted": True}}
    ],
    "TagSpecifications": [
        {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "worker"}]},
        {"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "disk"}]},
    ],
}


def refused(code: str, match: str = "") -> Any:
    """Expect AWS's error."""
    return pytest.raises(ClientError, match=rf"\({code}\).*{match}")


def make_template(ec2: Any, name: str = "workers", **data: Any) -> str:
    """Create a launch template and return its id."""
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={**TEMPLATE, **data})
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def make_group(cloud: Any, name: str = "fleet", template: dict[str, Any] | None = None, **options: Any) -> Any:
    """Create a group (with its template, unless one is named) and return the client."""
    if template is None:
        make_template(cloud.client("ec2"), f"{name}-template", **options.pop("data", {}))
    autoscaling = cloud.client("autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate=template or {"LaunchTemplateName": f"{name}-template", "Version": "1"},
        VPCZoneIdentifier=",".join(SUBNETS),
        **{"MinSize": 0, "MaxSize": 4, **options},
    )
    return autoscaling


def described(autoscaling: Any, name: str = "fleet") -> dict[str, Any]:
    """A group as DescribeAutoScalingGroups shows it."""
    return dict(autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"][0])


def instances(ec2: Any, name: str = "fleet") -> list[dict[str, Any]]:
    """A group's instances as EC2 describes them, with terminated ones."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "tag:aws:autoscaling:groupName", "Values": [name]}]
    )
    return [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
