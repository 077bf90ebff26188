# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""amazon.aws.iam_*."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import (
    Comparison,
    Meaning,
    Parameters,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import TAGS, document, listed


def _boundary(raw: Mapping[str, Any], _p: Parameters) -> str:
    return str(raw.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""))


def _attached(raw: Mapping[str, Any], p: Parameters) -> list[str]:
    return sorted(a["PolicyArn"] for a in raw["Attached"] if a["PolicyArn"] in p["managed_policies"])


BOUNDARY = Meaning(str, _boundary)
# iam_role with create_instance_profile: false. Attached managed policies are left alone.
ROLE = Comparison(
    {
        "name": None,
        "create_instance_profile": None,
        "delete_instance_profile": None,
        "purge_tags": None,
        "assume_role_policy_document": Meaning(document, lambda raw, p: document(raw["AssumeRolePolicyDocument"])),
        "description": Meaning(str, lambda raw, p: raw.get("Description", "")),
        "boundary": BOUNDARY,
        "tags": TAGS,
    },
)
# iam_policy of a role.
ROLE_POLICY = Comparison(
    {
        "iam_type": None,
        "iam_name": None,
        "policy_name": None,
        "policy_json": Meaning(document, lambda raw, p: document(raw["PolicyDocument"])),
    },
)
INSTANCE_PROFILE = Comparison(
    {
        "name": None,
        "purge_tags": None,
        "role": Meaning(listed, lambda raw, p: [r["RoleName"] for r in raw["Roles"]]),
        "tags": TAGS,
    },
)
# A managed policy's description cannot be changed once it exists.
MANAGED_POLICY = Comparison(
    {
        "name": None,
        "description": None,
        "purge_tags": None,
        "policy": Meaning(document, lambda raw, p: document(raw["Document"])),
        "tags": TAGS,
    },
    outputs=lambda raw, differs: {"policy": {"arn": raw["Arn"]}},
)
# iam_user with purge_policies off: policies that others attached stay.
USER = Comparison(
    {
        "name": None,
        "state": None,
        "purge_tags": None,
        "purge_policies": None,
        "managed_policies": Meaning(sorted, _attached),
        "boundary": BOUNDARY,
        "tags": TAGS,
    },
)
