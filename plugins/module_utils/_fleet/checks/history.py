# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the group did lately: refreshes, and launches that failed, with what AWS says put into what to do."""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import (
    CHECKS,
    NotLookedAt,
    Seen,
    View,
    Wrong,
    check,
    count,
    span,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Activity

RECENT_SECONDS = 86400.0


class Cause(NamedTuple):
    """What AWS says when a launch fails, and what that comes to."""

    pattern: str
    means: str
    remedy: str
    check: str = ""
    """the id of the check that names the thing itself, while it is so"""


# The sentences of https://docs.aws.amazon.com/autoscaling/ec2/userguide/CHAP_Troubleshooting.html and its pages, and of EC2's error codes.
CAUSES = (
    Cause(
        r"InsufficientInstanceCapacity|do not have sufficient|no Spot capacity|insufficient capacity",
        "EC2 has no room for this type there",
        "Name another fleet_instance_type or more zones in fleet_subnet_ids, then run site.yml; or wait.",
    ),
    Cause(
        r"InstanceLimitExceeded|VcpuLimitExceeded|more vCPU capacity than|MaxSpotInstanceCountExceeded|instance\(s\) are already running",
        "the account's quota is used up",
        "Ask for more: `aws service-quotas request-service-quota-increase`, or lower the group's max size.",
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
    """What a failed activity's StatusMessage comes to; None where nobody here knows it."""
    return next((c for c in CAUSES if re.search(c.pattern, message, re.IGNORECASE)), None)


def failed_launches(v: View) -> list[Activity]:
    """Those of the last day that no successful one has followed, the newest first."""
    launches = [a for a in v.activities if a.description.startswith("Launching") and (a.ended or a.status == "Failed")]
    since = itertools.takewhile(lambda a: a.status != "Successful", launches)
    return [a for a in since if a.status == "Failed" and v.now - a.began < RECENT_SECONDS]


@check("activities", 4)
def _activities(v: View) -> Seen:
    if failed := failed_launches(v):
        said, known = failed[0].message or "no reason", cause(failed[0].message)
        if known and any(c.id == known.check and not c.finding(v).ok for c in CHECKS):
            raise NotLookedAt(f"launches fail, and {known.check} says why")
        means = f"{known.means}: {said}" if known else said
        raise Wrong(
            f"{count(len(failed), 'launch') if len(failed) == 1 else f'{len(failed)} launches'} failed, the last {span(v.now - failed[0].began)} ago: {means}",
            known.remedy
            if known
            else "Look that message up; AWS's guide lists them under troubleshooting Auto Scaling.",
            messages=sorted({a.message for a in failed}),
            cause=known.means if known else "",
        )
    last = v.activities[0] if v.activities else None
    return Seen(f"the last, {span(v.now - last.began)} ago: {last.description or last.status}" if last else "none yet")


@check("refresh", 4, "warning")
def _refresh(v: View) -> Seen:
    last = max(v.refreshes, key=lambda r: r.began, default=None)
    if last is None:
        return Seen("none yet")
    if last.status in ("Failed", "RollbackFailed"):
        raise Wrong(
            f"The last instance refresh {'failed' if last.status == 'Failed' else 'could not be rolled back'} at {last.percent} %: "
            f"{last.reason or 'AWS gives no reason'}.",
            "When the reason is gone, start it again: "
            + v.aws(f"autoscaling start-instance-refresh --auto-scaling-group-name {v.group.name}"),
            refresh=last.id,
            reason=last.reason,
        )
    return Seen(f"the last: {last.status}, {last.percent} %", {"refresh": last.id, "status": last.status})
