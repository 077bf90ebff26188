"""Every check of this checkout as tables of Markdown: verify.yml's, the doctor's, preflight.yml's and a rollout's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import (
    creation,
    launch,
    preflight,
    rollout,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.hosts import ASKED, SECTION
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.verify import MODULES
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS
from ghosthands_agent import doctor

assert MODULES, "they register CHECKS"


class Row(NamedTuple):
    """One check."""

    id: str
    section: int
    severity: str
    text: str
    """What it makes sure of; of the doctor's, what to do when it fails."""


def verify() -> list[Row]:
    """The checks of verify.yml, by section."""
    rows = [
        *map(_row, CHECKS),
        Row(ASKED, SECTION, "warning", "Every host that is to be asked answers."),
        Row("drill", SECTION, "error", "A drill (fleet_drill) launches an instance and drains one."),
    ]
    return sorted(rows, key=lambda row: row.section)


def hosts() -> list[Row]:
    """The checks of `ghosthands-agent doctor`, under verify.yml's ids."""
    return [Row(f"host-{check.id.replace('_', '-')}", SECTION, check.severity, check.remedy) for check in doctor.CHECKS]


def preconditions() -> list[Row]:
    """The checks of preflight.yml."""
    return [_row(check) for module in (preflight, launch, creation) for check in module.CHECKS]


def before_a_rollout() -> list[Row]:
    """The checks of rollout.yml and rollback.yml."""
    return [_row(check) for check in rollout.CHECKS]


def ids() -> set[str]:
    """The ids of all checks."""
    return {row.id for row in (*verify(), *hosts(), *preconditions(), *before_a_rollout())}


def tables() -> str:
    """The catalogue as Markdown."""
    return "\n".join(
        [
            "### Of a fleet: `verify.yml`\n",
            _table(verify(), "what it makes sure of"),
            "### On each instance: `ghosthands-agent doctor`\n",
            _table(hosts(), "what to do when it fails"),
            "### Before anything is created: `preflight.yml`\n",
            _table(preconditions(), "what it makes sure of"),
            "### Before a rollout or a rollback\n",
            _table(before_a_rollout(), "what it makes sure of"),
        ]
    )


def _row(check: Check[Any]) -> Row:
    return Row(check.id, check.section, check.severity, check.description)


def _table(rows: Iterable[Row], text: str) -> str:
    lines = [f"| `{row.id}` | {row.section} | {row.severity} | {row.text.replace('|', '&#124;')} |" for row in rows]
    return "\n".join([f"| id | § | severity | {text} |", "|---|---|---|---|", *lines, ""])
