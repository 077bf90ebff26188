# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a policy's statements let in: trust policies, and those of secrets and repositories. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_permissions import (
    listed,
    statements,
)

EVERYBODY = "everybody"
#: Condition keys that name the caller, or for whom a service calls (IAM, "AWS global condition context keys").
OF_THE_CALLER = {
    *("aws:principalaccount", "aws:principalarn", "aws:principalorgid", "aws:principalorgpaths", "aws:userid"),
    *("aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid", "aws:sourceorgpaths", "aws:sourcevpc", "aws:sourcevpce"),
}
READS = ("Get", "BatchGet", "BatchCheck", "Describe", "List")


@dataclass(frozen=True)
class Grant:
    """What one statement allows one principal."""

    statement: Mapping[str, Any]
    principal: str
    """everybody, an account's number, a service, or an identity provider"""

    @property
    def writes(self) -> bool:
        """Whether it allows more than reading."""
        if "Action" not in self.statement:  # NotAction: nearly everything
            return True
        actions = (str(action).rpartition(":")[2] for action in listed(self.statement["Action"]))
        return not all(action.startswith(READS) for action in actions)

    @property
    def names_callers(self) -> bool:
        """Whether its conditions let in only callers that they name, as those of an organisation."""
        return any(
            key.lower() in OF_THE_CALLER and "Not" not in operator and not operator.endswith("IfExists")
            for operator, keys in (self.statement.get("Condition") or {}).items()
            for key in keys
        )


def grants(document: Mapping[str, Any]) -> Iterator[Grant]:
    """Every principal of every statement that allows something."""
    for statement in statements([document], "Allow"):
        named = statement.get("Principal", "*")  # NotPrincipal: everybody else
        for kind, some in ({"AWS": "*"} if named == "*" else named).items():
            for one in listed(some):
                yield Grant(statement, _principal(kind, str(one)))


def _principal(kind: str, name: str) -> str:
    if name == "*":
        return EVERYBODY
    return name.split(":")[4] if kind == "AWS" and name.startswith("arn:") else name
