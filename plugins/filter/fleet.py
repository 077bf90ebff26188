# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters of the playbooks, defined in module_utils/_fleet/compare/{agent_conf,desired}.py."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.agent_conf import agent_conf, user_data
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.desired import (
    ingress_rules,
    managed_tags,
    pinned_version,
)


def _failing(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except ValueError as error:
            raise AnsibleFilterError(str(error)) from error

    return wrapped


class FilterModule:
    """The collection's filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """name -> function"""
        functions = (agent_conf, user_data, ingress_rules, pinned_version, managed_tags)
        return {f.__name__: _failing(f) for f in functions}
