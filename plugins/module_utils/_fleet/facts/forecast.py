# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may stand in a fleet's way once it is built: what only preflight.yml reads. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import Denial


@dataclass(frozen=True)
class Forecast:
    """Each part is Unread where it could not be read."""

    vcpus: int | Unread | None
    """of one instance; None: there is no such instance type"""
    vcpu_quota: float | Unread | None
    """how many vCPUs the account's standard instances may have in total; None: the type falls under another quota"""
    groups: tuple[int, int] | Unread
    """how many Auto Scaling groups exist, and how many may exist"""
    denied: tuple[Denial, ...] | Unread
    """the actions of `site.yml` that the caller may not call"""
