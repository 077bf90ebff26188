# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet may meet once it is made, as frozen values: what `preflight.yml` asks besides. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread


@dataclass(frozen=True)
class Forecast:
    """Each part is Unread where nobody could look."""

    vcpus: int | Unread | None
    """of one instance; None: there is no such type"""
    vcpu_quota: float | Unread | None
    """how many the account's standard instances may have at once; None: the type falls under another quota"""
    groups: tuple[int, int] | Unread
    """how many Auto Scaling groups there are, how many there may be"""
    denied: tuple[str, ...] | Unread
    """what `site.yml` calls and the caller may not"""
