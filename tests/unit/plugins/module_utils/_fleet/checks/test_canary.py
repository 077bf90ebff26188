# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts against a canary, and what does not."""

from __future__ import annotations

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.canary import problems
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import (
    Registry,
    WorkerJobs,
    WorkerRow,
)

CANARY, OTHER = "i-0123456789abcdef0", "i-0123456789abcdef1"
BAD = Finding("instances-ec2", "error", f"{CANARY} is stopped.")


def row(instance: str) -> WorkerRow:
    now = "2026-11-27T12:00:00Z"
    return WorkerRow(f"worker of {instance}", "active", None, instance, "10.0.0.1", None, now, now, 0, 0, 3.0)


def with_jobs(*rows: WorkerRow, **jobs: int) -> Registry:
    counted = {rows[0].worker_id: WorkerJobs(**jobs)} if jobs else None
    return Registry(True, "", rows, (), may_write=False, jobs=counted)


def found(*findings: Finding, registry: Registry | None = None) -> list[tuple[str, str]]:
    return [tuple(p) for p in problems([CANARY], [f.as_dict() for f in findings], registry)]  # type: ignore[misc]


def test_an_error_that_names_the_canary_counts() -> None:
    assert found(BAD) == [("instances-ec2", f"{CANARY} is stopped.")]


def test_it_may_be_named_in_the_evidence_alone() -> None:
    finding = Finding("host-docker", "error", "1 host fails.", evidence={"hosts": [CANARY]})
    assert found(finding) == [("host-docker", "1 host fails.")]


@pytest.mark.parametrize(
    "finding",
    [
        BAD._replace(ok=True),
        BAD._replace(severity="warning"),
        BAD._replace(detail=f"{OTHER} is stopped."),
        Finding("secret-exists", "error", "There is no secret."),
    ],
    ids=["passed", "warning", "of another instance", "of the fleet"],
)
def test_anything_else_was_there_before_or_is_no_error(finding: Finding) -> None:
    assert found(finding) == []


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        (with_jobs(row(CANARY)), []),
        (with_jobs(row(CANARY), running=1), []),
        (with_jobs(row(CANARY), completed=3, failed=1, running=1), []),
        (with_jobs(row(CANARY), failed=1), [("canary-job", f"the worker of {CANARY} failed its first job")]),
        (with_jobs(row(CANARY), failed=3), [("canary-job", f"the worker of {CANARY} failed its first 3 jobs")]),
        (
            with_jobs(row(CANARY), completed=5, running=2),
            [("canary-crash", f"the worker of {CANARY} died during a job and was started again")],
        ),
        (with_jobs(row(OTHER)), [("registry-registered", f"{CANARY} has no worker in the registry")]),
        (with_jobs(row(CANARY), row(OTHER), completed=1), []),
    ],
    ids=["not read", "first", "works", "fails", "fails always", "crashes", "unregistered", "another"],
)
def test_the_database_says_whether_its_worker_works(registry: Registry, expected: list[tuple[str, str]]) -> None:
    assert found(registry=registry) == expected


def test_a_registry_that_cannot_be_read_says_nothing() -> None:
    assert found(registry=Registry(False, "no route", (), (), may_write=None)) == []
