# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""amazon.aws.iam_policy, of a role."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import document
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import (
    Call,
    Meaning,
    Parameters,
    Resource,
)


def _read(call: Call, p: Parameters) -> Any:
    return call("iam", "get_role_policy", absent=("NoSuchEntity",), RoleName=p["iam_name"], PolicyName=p["policy_name"])


RESOURCE = Resource(
    read=_read,
    says={
        "iam_type": None,
        "iam_name": None,
        "policy_name": None,
        "policy_json": Meaning(document, lambda raw, p: document(raw["PolicyDocument"])),
    },
)
