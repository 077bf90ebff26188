# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""community.aws.ecs_ecr. What encrypts a repository is settled when it is made."""

from __future__ import annotations

from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.forms import document, same
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.resource import (
    Call,
    Meaning,
    Parameters,
    Resource,
)


def _read(call: Call, p: Parameters) -> Any:
    found = call(
        "ecr",
        "describe_repositories",
        "repositories",
        absent=("RepositoryNotFoundException",),
        repositoryNames=[p["name"]],
    )
    if not found:
        return None
    absent = ("LifecyclePolicyNotFoundException", "RepositoryNotFoundException")
    return {
        **found[0],
        "lifecycle": call(
            "ecr", "get_lifecycle_policy", "lifecyclePolicyText", absent=absent, repositoryName=p["name"]
        ),
    }


RESOURCE = Resource(
    read=_read,
    says={
        "name": None,
        "image_tag_mutability": same("imageTagMutability", str.upper),
        "scan_on_push": Meaning(bool, lambda raw, p: raw["imageScanningConfiguration"]["scanOnPush"]),
        "lifecycle_policy": Meaning(document, lambda raw, p: document(raw["lifecycle"] or "null")),
    },
)
