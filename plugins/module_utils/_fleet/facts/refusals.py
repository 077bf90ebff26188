# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS refuses for a while only, and its reason in a message or a traceback. Standard library only."""

from __future__ import annotations

import re
from typing import NamedTuple


class Passing(NamedTuple):
    """A refusal that passes: AWS's services see what another has created some seconds later."""

    pattern: str
    """of the message, in any case"""
    what: str
    """what AWS does not see yet"""
    remedy: str
    """where it does not pass"""


# CreateAutoScalingGroup and UpdateAutoScalingGroup alike.
PASSING = (
    Passing(  # IAM User Guide, "I recently made changes, but they are not always immediately visible"
        r"iam ?instance ?profile",
        "the instance profile",
        "fleet_instance_profile_name has to exist and hold a role: run playbooks/iam.yml.",
    ),
    Passing(  # EC2 API Reference, "Eventual consistency"
        # within one sentence: "... a valid fully-formed launch template. The image id ... does not exist" does not pass
        r"no launch template found|launch template[^.]*(does not exist|not be found)"
        r"|launchtemplate\w+\.(version)?notfound",
        "the launch template or its version",
        "fleet_launch_template_name has to exist: run playbooks/launch_template.yml.",
    ),
    Passing(  # Auto Scaling User Guide, "Service-linked roles": the account's first group creates it
        r"AWSServiceRoleForAutoScaling|service-linked role",
        "Auto Scaling's service-linked role",
        "Create it: aws iam create-service-linked-role --aws-service-name autoscaling.amazonaws.com",
    ),
    Passing(  # Auto Scaling API Reference, ResourceContentionFault
        r"ResourceContention|pending update to",
        "the end of an update that somebody else makes",
        "Run the playbook again.",
    ),
)
REASON = re.compile(
    r"An error occurred \((?P<code>[\w.]+)\) when calling the (?P<operation>\w+) operation"
    r"(?: \(reached max retries: \d+\))?: (?P<text>.+)"
)


def passing(message: str) -> Passing | None:
    """The refusal that a module's message is about; None: one that does not pass by itself."""
    return next((one for one in PASSING if re.search(one.pattern, message, re.IGNORECASE)), None)


def reason(text: str) -> str:
    """AWS's last refusal in a message or a traceback: operation, code and text. Empty: it holds none."""
    found = list(REASON.finditer(text))
    return f"{found[-1]['operation']}: {found[-1]['code']}: {found[-1]['text'].strip()}" if found else ""
