# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an instance needs before its worker can boot, as frozen values. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_secret import SecretKeys


@dataclass(frozen=True)
class Launch:
    """None: it does not exist."""

    worker_image: str
    """its name, as agent.conf has it"""
    repository: bool | Unread
    """whether the fleet's repository exists"""
    digest: str | Unread | None
    """of the worker image"""
    secret: SecretKeys | Unread | None
    """of its value nothing else is kept"""
