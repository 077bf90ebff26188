"""The policy that a caller of first contact needs, made of what its probes call."""

from __future__ import annotations

from typing import Any

from tools.first_contact.account import NAME, TAG
from tools.first_contact.catalogue import PROBES

READS = ("Describe", "Get", "List", "Simulate")
#: What making and deleting needs besides the probes' own calls, and what --clean looks for.
ALSO = (
    "ec2:DescribeSubnets ec2:DescribeImages ec2:DescribeInstances ec2:DescribeVolumes ec2:DescribeLaunchTemplates "
    "ec2:DescribeLaunchTemplateVersions ec2:RunInstances ec2:CreateTags ec2:TerminateInstances ec2:DeleteVolume "
    "ec2:CreateLaunchTemplate ec2:DeleteLaunchTemplate ec2:CreateLaunchTemplateVersion iam:ListRoles "
    "iam:ListRolePolicies iam:ListInstanceProfiles iam:DeleteRolePolicy autoscaling:CreateAutoScalingGroup "
    "autoscaling:UpdateAutoScalingGroup autoscaling:DeleteAutoScalingGroup autoscaling:CreateOrUpdateTags "
    "autoscaling:PutLifecycleHook autoscaling:DeleteWarmPool autoscaling:TerminateInstanceInAutoScalingGroup "
    "sts:GetCallerIdentity"
).split()
#: Only on what has our tag; tags also on what is being made.
TAGGED = (
    "ec2:TerminateInstances ec2:DeleteVolume ec2:DeleteLaunchTemplate ec2:CreateLaunchTemplateVersion ec2:CreateTags"
).split()
MAKING = {"StringEquals": {"ec2:CreateAction": ["RunInstances", "CreateVolume", "CreateLaunchTemplate"]}}


def document() -> dict[str, Any]:
    """The policy: reading everything, writing what has our names or our tag."""
    actions = sorted({action for one in PROBES for action in one.actions} | set(ALSO))
    reads = [action for action in actions if action.partition(":")[2].startswith(READS)]
    writes = [action for action in actions if action not in reads]
    named = {
        "autoscaling": f"arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/{NAME}-*",
        "iam": [f"arn:aws:iam::*:{kind}/{NAME}-*" for kind in ("role", "instance-profile")],
        "sts": f"arn:aws:iam::*:role/{NAME}-*",
    }
    statements: list[dict[str, Any]] = [{"Sid": "Read", "Effect": "Allow", "Action": reads, "Resource": "*"}]
    for service, resource in named.items():
        own = [a for a in writes if a.startswith(f"{service}:") and a != "iam:CreateServiceLinkedRole"]
        statements.append({"Sid": f"Own{service.title()}", "Effect": "Allow", "Action": own, "Resource": resource})
    create = [a for a in writes if a.startswith("ec2:") and a not in TAGGED]
    condition = {"StringLike": {f"aws:ResourceTag/{TAG}": "*"}}
    return {
        "Version": "2012-10-17",
        "Statement": [
            *statements,
            {"Sid": "Make", "Effect": "Allow", "Action": create, "Resource": "*"},
            {"Sid": "Tag", "Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "*", "Condition": MAKING},
            {"Sid": "OwnEc2", "Effect": "Allow", "Action": TAGGED, "Resource": "*", "Condition": condition},
            {
                "Sid": "ServiceLinkedRole",
                "Effect": "Allow",
                "Action": "iam:CreateServiceLinkedRole",
                "Resource": "arn:aws:iam::*:role/aws-service-role/autoscaling.amazonaws.com/*",
            },
        ],
    }
