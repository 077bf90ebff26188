# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""amazon.aws.iam_role, with create_instance_profile: false. Attached managed policies are left to others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import TAGS, document
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import (
    Call,
    Meaning,
    Parameters,
    Resource,
)


def _read(call: Call, p: Parameters) -> Any:
    return call("iam", "get_role", "Role", absent=("NoSuchEntity",), RoleName=p["name"])


def _boundary(raw: Mapping[str, Any], _p: Parameters) -> str:
    return str(raw.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""))


RESOURCE = Resource(
    read=_read,
    says={
        "name": None,
        "create_instance_profile": None,
        "delete_instance_profile": None,
        "purge_tags": None,
        "assume_role_policy_document": Meaning(document, lambda raw, p: document(raw["AssumeRolePolicyDocument"])),
        "description": Meaning(str, lambda raw, p: raw.get("Description", "")),
        "boundary": Meaning(str, _boundary),
        "tags": TAGS,
    },
)
