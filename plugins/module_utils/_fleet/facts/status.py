# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What status.yml shows of a fleet. Standard library only."""

from __future__ import annotations

from typing import NamedTuple

MISSING = "missing"


class Row(NamedTuple):
    """One resource."""

    section: str
    """of the runbook"""
    resource: str
    id: str
    state: str
    """MISSING where it does not exist"""
