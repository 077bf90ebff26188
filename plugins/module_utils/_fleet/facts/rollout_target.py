# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launch template version that a rollout goes to, as frozen values. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Image, LaunchTemplate, Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import InstanceType


@dataclass(frozen=True)
class Target:
    """A version of the fleet's launch template. None: it does not exist."""

    version: str
    """its number"""
    template: LaunchTemplate | None = None
    image: Image | None = None
    instance_type: InstanceType | None = None
    digest: str | Unread | None = None
    """of the worker image that its agents run"""
