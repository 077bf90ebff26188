# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""amazon.aws.iam_instance_profile."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import TAGS, listed
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import (
    Call,
    Meaning,
    Parameters,
    Resource,
)


def _read(call: Call, p: Parameters) -> Any:
    return call(
        "iam", "get_instance_profile", "InstanceProfile", absent=("NoSuchEntity",), InstanceProfileName=p["name"]
    )


RESOURCE = Resource(
    read=_read,
    says={
        "name": None,
        "purge_tags": None,
        "role": Meaning(listed, lambda raw, p: [r["RoleName"] for r in raw["Roles"]]),
        "tags": TAGS,
    },
)
