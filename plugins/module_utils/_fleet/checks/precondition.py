# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A precondition of a fleet: what `preflight.yml` and every playbook look at before they change anything. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding, Remedy
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.forecast import Forecast
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.prerequisites import Prerequisites

EVERYTHING = frozenset(
    {"foundation", "iam", "security_group", "launch_template", "autoscaling_group", "lifecycle_hook", "valet"}
)


@dataclass(frozen=True)
class Inputs:
    """Everything that a precondition may look at."""

    settings: Mapping[str, Any]
    """Every fleet_* variable."""
    prerequisites: Prerequisites
    fly: bool
    """Whether the `fly` command is installed here."""
    forecast: Forecast | None = None
    """None: only preflight.yml asks for it."""
    valet_policy: Mapping[str, Any] | None = None
    """The document of VALET's policy. None: there is none."""


class Problem(NamedTuple):
    """Why a precondition is not met."""

    detail: str
    remedy: Remedy = Remedy()
    severity: str = ""
    """Where it is not the precondition's own."""
    ok: bool = False
    """It is not a problem but something that the operator should know."""
    evidence: Mapping[str, Any] = {}


Look = Callable[[Inputs], Iterator[Problem]]


@dataclass(frozen=True)
class Precondition:
    """One precondition. `look` yields the problems; none where it is met."""

    id: str
    section: int
    severity: str
    needed_by: frozenset[str]
    """The playbooks that an error stops."""
    look: Look

    @property
    def description(self) -> str:
        """What it makes sure of, one sentence."""
        return " ".join((self.look.__doc__ or "").split())

    def findings(self, inputs: Inputs) -> Iterator[Finding]:
        """A finding for each problem."""
        for problem in self.look(inputs):
            severity = problem.severity or self.severity
            yield Finding(
                self.id,
                severity,
                problem.detail,
                problem.remedy,
                self.needed_by if severity != "info" else frozenset(),
                problem.ok,
                self.section,
                problem.evidence,
            )


def precondition(
    registry: list[Precondition],
    id: str,
    severity: str = "error",
    needed_by: frozenset[str] = frozenset(),
    section: int = 1,
) -> Callable[[Look], Look]:
    """Register a function as a precondition under a stable id."""

    def register(look: Look) -> Look:
        registry.append(Precondition(id, section, severity, needed_by, look))
        return look

    return register
