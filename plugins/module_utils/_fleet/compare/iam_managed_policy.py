# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""amazon.aws.iam_managed_policy. Its description cannot be changed once it is made."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import TAGS, document
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import (
    Call,
    Meaning,
    Parameters,
    Resource,
)


def _read(call: Call, p: Parameters) -> Any:
    me = call("sts", "get_caller_identity")
    arn = f"arn:{me['Arn'].split(':')[1]}:iam::{me['Account']}:policy/{p['name']}"
    policy = call("iam", "get_policy", "Policy", absent=("NoSuchEntity",), PolicyArn=arn)
    if policy is None:
        return None
    version = call("iam", "get_policy_version", "PolicyVersion", PolicyArn=arn, VersionId=policy["DefaultVersionId"])
    return {**policy, "Document": version["Document"]}


RESOURCE = Resource(
    read=_read,
    says={
        "name": None,
        "description": None,
        "purge_tags": None,
        "policy": Meaning(document, lambda raw, p: document(raw["Document"])),
        "tags": TAGS,
    },
    gives=lambda raw, differs: {"policy": {"arn": raw["Arn"]}},
)
