# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of AWS's refusals pass by themselves, and where a module's error holds AWS's reason."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.refusals import passing, reason

CREATE = "An error occurred (ValidationError) when calling the CreateAutoScalingGroup operation: "
UPDATE = (
    "An error occurred (ValidationError) when calling the UpdateAutoScalingGroup operation (reached max retries: 4): "
)
FORMED = "You must use a valid fully-formed launch template. "


@pytest.mark.parametrize("what", [CREATE, UPDATE])
@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("Invalid IamInstanceProfile: gh-worker-instance-profile", "instance profile"),
        (
            f"{FORMED}Value (p) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
            "instance profile",
        ),
        (f"{FORMED}The specified launch template, with template name gh-worker-lt, does not exist.", "template"),
        (f"{FORMED}The launch template version 7 could not be found.", "template"),
        ("InvalidLaunchTemplateId.VersionNotFound: Could not find the specified version 7", "template"),
        (f"{FORMED}The image id '[ami-0123456789abcdef0]' does not exist", ""),
        (f"{FORMED}The key pair 'valet-worker' does not exist", ""),
        ("No launch template found matching: {'launch_template_name': 'gh-worker-lt'}", "template"),
        (
            "Access denied when attempting to assume role arn:aws:iam::123456789012:role/aws-service-role/"
            "autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling. Validating load balancer configuration failed.",
            "service-linked role",
        ),
        ("You already have a pending update to an Auto Scaling resource", "update"),
        ("Max bound, 10, must be greater than or equal to min bound, 11", ""),
        ("User is not authorized to perform: iam:PassRole on resource: role/gh-worker-role", ""),
    ],
)
def test_what_aws_does_not_see_yet_passes_at_creation_and_at_updates(what: str, text: str, thing: str) -> None:
    found = passing(f"Failed: {what}{text}")
    assert thing in found.what if found else not thing, found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Unable to create security group: Failed to create security group", ""),
        (
            f"Failed to create Autoscaling Group.: {CREATE}Too many.",
            "CreateAutoScalingGroup: ValidationError: Too many.",
        ),
        (f"{UPDATE}No.\n", "UpdateAutoScalingGroup: ValidationError: No."),
        (
            f"Traceback\n{CREATE}a\n\nThe above exception\n{UPDATE}b: c\n",
            "UpdateAutoScalingGroup: ValidationError: b: c",
        ),
    ],
)
def test_the_last_reason_of_a_message_or_traceback_is_awss(text: str, found: str) -> None:
    assert reason(text) == found
