# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a rollout's canaries are right: what verify.yml's checks and the registry say about these instances. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import Registry


class Problem(NamedTuple):
    """Why a canary is not right."""

    id: str
    """of the finding"""
    text: str
    """one line"""


def problems(
    canaries: Sequence[str], findings: Iterable[Mapping[str, Any]], registry: Registry | None
) -> list[Problem]:
    """What is wrong with the canaries, and with them alone: what the fleet had before does not end a rollout.

    :param findings: as `Finding.as_dict` writes them. Errors that name a canary count.
    :param registry: None: there is none. One that could not be read says nothing about the canaries.
    """
    found = [
        Problem(finding["id"], str(finding["detail"]).strip())
        for finding in findings
        if not finding["ok"] and finding["severity"] == "error" and _names(finding, canaries)
    ]
    if registry is None or not registry.reachable:
        return found
    for canary in canaries:
        row = registry.worker(canary)
        if row is None:
            found.append(Problem("registry-registered", f"{canary} has no worker in the registry"))
        elif (jobs := registry.jobs_of(canary)) and jobs.problem:
            id = "canary-job" if jobs.failed else "canary-crash"
            found.append(Problem(id, f"the worker of {canary} {jobs.problem}"))
    return found


def _names(finding: Mapping[str, Any], canaries: Sequence[str]) -> bool:
    text = f"{finding['detail']} {json.dumps(finding.get('evidence', {}), default=str)}"
    return any(canary in text for canary in canaries)
