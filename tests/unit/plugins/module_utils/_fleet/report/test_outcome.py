# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the findings mean together."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.outcome import (
    SECTIONS,
    conclusion,
    heading,
    outcome,
    results,
    totals,
    worst_first,
)
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report import samples
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report.samples import finding


def test_a_fleet_whose_checks_all_passed_is_right() -> None:
    assert conclusion(*samples.right()) == "The fleet gh-worker is right."


def test_a_note_does_not_make_a_fleet_wrong() -> None:
    assert conclusion({"name": "gh"}, [finding("sizes", severity="info", ok=False)]) == "The fleet gh is right."


def test_a_fleet_without_findings_is_not_called_right() -> None:
    assert conclusion({"name": "gh"}, []) == "Nothing was checked about the fleet gh."


def test_the_conclusion_counts_failures_and_names_the_worst_first() -> None:
    found = [
        finding("late", 4, "warning", False),
        finding("hook", 5, ok=False),
        finding("hook", 5, ok=False),
        finding("role", 6),
    ]
    assert conclusion({"name": "gh"}, found) == "2 errors, 1 warning: hook and late."
    assert conclusion(*samples.faulty()) == "2 errors, 3 warnings: hook-name, host-guard, instances-version and 2 more."


def test_an_unknown_severity_counts_as_an_error() -> None:
    assert outcome(finding("new", severity="fatal", ok=False)) == "error"
    assert totals([finding("new", severity="fatal", ok=False)]) == "1 error"
    assert outcome(finding("new", severity="fatal")) == "ok"


def test_a_skipped_check_has_neither_passed_nor_failed() -> None:
    found = finding("jobs", severity="info", detail="Not looked at: there is no group.", looked=False)
    assert outcome(found) == "skipped"
    assert conclusion({"name": "gh"}, [found]) == "The fleet gh is right."
    assert outcome(found._replace(ok=False)) == "info"


def test_findings_of_one_id_and_outcome_are_one_result_by_section() -> None:
    found = [
        finding("b", 9),
        finding("a", 2, instance="i-1"),
        finding("a", 2, ok=False, instance="i-2"),
        finding("a", 2, instance="i-3"),
    ]
    assert [(c.section, c.id, c.outcome, len(c.findings)) for c in results(found)] == [
        (2, "a", "ok", 2),
        (2, "a", "error", 1),
        (9, "b", "ok", 1),
    ]


def test_a_passed_check_is_not_among_the_worst() -> None:
    found = results(
        [finding("a", 1), finding("b", 2, "info", False), finding("c", 3, "warning", False), finding("d", 4, ok=False)]
    )
    assert [check.id for check in worst_first(found)] == ["d", "c", "b"]


def test_every_section_of_the_runbook_has_its_name() -> None:
    assert list(SECTIONS) == list(range(1, 12))
    assert [heading(2), heading(99)] == ["§2 Golden AMI", "§99"]
