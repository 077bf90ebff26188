# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS's messages about failed launches, and their causes."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.verify import MODULES
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch_failures import CAUSES, cause

FAILED = "Launching EC2 instance failed."
# "Troubleshoot issues in Amazon EC2 Auto Scaling" and its pages, and EC2's error codes
# (docs.aws.amazon.com/autoscaling/ec2/userguide/CHAP_Troubleshooting.html).
MESSAGES = {
    "EC2 has no room for this type there": [
        "We currently do not have sufficient t3.medium capacity in the Availability Zone you requested "
        "(us-east-1a). Our system will be "
        "working on provisioning additional capacity. You can currently get t3.medium capacity by not specifying "
        "an Availability Zone in your request or choosing us-east-1b. " + FAILED,
        "There is no Spot capacity available that matches your request. " + FAILED,
    ],
    "the account's quota is used up": [
        "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket "
        "that the specified instance type belongs to. "
        "Please visit http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit. " + FAILED,
        "20 instance(s) are already running. " + FAILED,
    ],
    "the image is gone": [
        "The AMI ID ami-0123456789abcdef0 does not exist. " + FAILED,
        "The image id '[ami-0123456789abcdef0]' does not exist. " + FAILED,
        "AMI ami-0123456789abcdef0 is pending, and cannot be run. AMI cannot be run: it is not available. " + FAILED,
    ],
    "the key pair is gone": ["The key pair 'valet-worker' does not exist. " + FAILED],
    "a subnet is full": [
        "There are not enough free addresses in subnet 'subnet-0123456789abcdef0' to satisfy the requested number "
        "of instances. " + FAILED
    ],
    "the security group is gone": ["The security group 'sg-0123456789abcdef0' does not exist. " + FAILED],
    "EC2 could not use the volume's key": [
        "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: "
        "Client.InternalError: Client error on launch",
    ],
    "the instance profile is gone": [
        "Value (gh-worker) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name. "
        + FAILED
    ],
    "the launch template is gone": [
        "The specified launch template, with template ID lt-0123456789abcdef0, does not exist. " + FAILED
    ],
    "Auto Scaling's own role may not do it": [
        "You are not authorized to perform this operation. Encoded authorization failure message: x. " + FAILED
    ],
    "the zone does not offer this type": [
        "Your requested instance type (t3.medium) is not supported in your requested Availability Zone "
        "(us-east-1e). Please retry your request by not "
        "specifying an Availability Zone or choosing us-east-1a. " + FAILED,
        "The requested configuration is currently not supported. Please check the documentation for supported "
        "configurations. " + FAILED,
    ],
    "AWS holds the account back": [
        "Your account is currently blocked. Contact aws-verification@amazon.com if you have questions. " + FAILED
    ],
    "the account's quota for volumes is used up": [
        "VolumeLimitExceeded: You have exceeded your maximum gp3 storage limit. " + FAILED
    ],
}


@pytest.mark.parametrize(
    ("means", "message"), [(means, message) for means, messages in MESSAGES.items() for message in messages]
)
def test_a_message_has_its_cause(means: str, message: str) -> None:
    found = cause(message)
    assert found is not None
    assert found.means == means


def test_every_cause_has_a_message() -> None:
    assert {c.means for c in CAUSES} == set(MESSAGES)


def test_an_unknown_message_has_no_cause() -> None:
    assert cause("Something new has happened.") is None


def test_the_check_of_a_cause_exists() -> None:
    assert MODULES
    assert {c.check for c in CAUSES} - {""} <= {check.id for check in CHECKS}
