# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""amazon.aws.iam_user. Policies that others attached stay (purge_policies is off)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import TAGS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import (
    Call,
    Meaning,
    Parameters,
    Resource,
)


def _read(call: Call, p: Parameters) -> Any:
    user = call("iam", "get_user", "User", absent=("NoSuchEntity",), UserName=p["name"])
    if user is None:
        return None
    return {**user, "Attached": call("iam", "list_attached_user_policies", "AttachedPolicies", UserName=p["name"])}


def _attached(raw: Mapping[str, Any], p: Parameters) -> list[str]:
    return sorted(a["PolicyArn"] for a in raw["Attached"] if a["PolicyArn"] in p["managed_policies"])


RESOURCE = Resource(
    read=_read,
    says={
        "name": None,
        "state": None,
        "purge_tags": None,
        "purge_policies": None,
        "managed_policies": Meaning(sorted, _attached),
        "boundary": Meaning(str, lambda raw, p: raw.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")),
        "tags": TAGS,
    },
)
