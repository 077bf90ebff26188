# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AWS refuses to answer, as a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread


def unread_where_refused(read: Callable[..., Any], *arguments: Any) -> Any:
    """What `read` returns, or Unread where it raises AwsError."""
    try:
        return read(*arguments)
    except AwsError as error:
        return Unread(str(error))
