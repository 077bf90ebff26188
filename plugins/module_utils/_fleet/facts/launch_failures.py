# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why AWS could not launch an instance: what its messages mean, and what to do. Standard library only."""

from __future__ import annotations

import re
from typing import NamedTuple


class Cause(NamedTuple):
    """What AWS says when a launch fails, and what that means."""

    pattern: str
    """Of AWS's message."""
    means: str
    remedy: str
    check: str = ""
    """The id of the check that reports the cause itself while it lasts."""


# The messages of https://docs.aws.amazon.com/autoscaling/ec2/userguide/CHAP_Troubleshooting.html and its pages,
# and EC2's error codes.
CAUSES = (
    Cause(
        r"InsufficientInstanceCapacity|do not have sufficient|no Spot capacity|insufficient capacity",
        "EC2 has no room for this type there",
        "Name another fleet_instance_type or more zones in fleet_subnet_ids, then run site.yml; or wait.",
    ),
    Cause(
        r"InstanceLimitExceeded|VcpuLimitExceeded|more vCPU capacity than|MaxSpotInstanceCountExceeded"
        r"|instance\(s\) are already running",
        "the account's quota is used up",
        "Ask for more (Service Quotas, EC2), or lower the group's max size.",
    ),
    Cause(
        r"InvalidAMIID|AMI .*(does not exist|is not available)|image id .* does not exist",
        "the image is gone",
        "Set fleet_image to newest (image-exists).",
        "image-exists",
    ),
    Cause(
        r"InvalidKeyPair|key pair .* does not exist",
        "the key pair is gone",
        "Import it again by fleet_key_public (template-key).",
        "template-key",
    ),
    Cause(
        r"InsufficientFreeAddressesInSubnet|not enough (free|IP) addresses|insufficient free addresses",
        "a subnet is full",
        "Name larger or more subnets in fleet_subnet_ids, then run autoscaling_group.yml.",
    ),
    Cause(
        r"InvalidGroup|security group .* does not exist",
        "the security group is gone",
        "Run security_group.yml and launch_template.yml (security-group).",
        "security-group",
    ),
    Cause(
        r"KMS|Client\.InternalError|KMSKeyNotAccessible|InvalidKMSKey",
        "EC2 could not use the volume's key",
        "Grant it to Auto Scaling's role: preflight.yml gives the command (volume-key-grant).",
    ),
    Cause(
        r"Invalid IAM Instance Profile|iamInstanceProfile|instance profile .* (not found|does not exist)",
        "the instance profile is gone",
        "Run iam.yml (profile-exists).",
        "profile-exists",
    ),
    Cause(
        r"launch template\b.*(not found|does not exist)|InvalidLaunchTemplate",
        "the launch template is gone",
        "Run site.yml (template-exists).",
        "template-exists",
    ),
    Cause(
        r"UnauthorizedOperation|not authorized|AccessDenied|AuthFailure",
        "Auto Scaling's own role may not do it",
        "Let AWSServiceRoleForAutoScaling launch (service control policies, the image's and the key's sharing).",
    ),
    Cause(
        r"Unsupported|not supported in your requested Availability Zone|configuration is currently not supported",
        "the zone does not offer this type",
        "Take its subnet out of fleet_subnet_ids.",
    ),
    Cause(
        r"PendingVerification|Blocked|OptInRequired|account is currently blocked",
        "AWS holds the account back",
        "See the account's messages from AWS.",
    ),
    Cause(
        r"VolumeLimitExceeded|MaxIOPSLimitExceeded",
        "the account's quota for volumes is used up",
        "Ask for more in Service Quotas (EBS).",
    ),
)


def cause(message: str) -> Cause | None:
    """The cause behind a failed activity's StatusMessage. None: the message is unknown."""
    return next((c for c in CAUSES if re.search(c.pattern, message, re.IGNORECASE)), None)
