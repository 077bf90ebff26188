# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task of site.yml would change. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """What one task would change."""

    section: str
    """the task's playbook: iam, launch_template, ..."""
    task: str
    """its name"""
    module: str
    """the last part of its module's name"""
    missing: bool
    """whether it would create what does not exist"""
    parameters: Mapping[str, tuple[Any, Any]]
    """parameter -> (as it is, as it should be); None stands for absent. Of a task with secrets, both are None."""
