"""docs/checks.md holds what exists: every id is a check's, every proof is a test's or a scenario's."""

from __future__ import annotations

import re

import pytest

from tests.house import tree
from tools.docs import catalogue

BOXES = 21  # of the runbook's section 11
PAGE = tree.ROOT / "docs/checks.md"
ID = re.compile(r"`([a-z0-9]+(?:-[a-z0-9]+)+|account|activities|drill|refresh|price)`")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return cells[2:]


@pytest.mark.parametrize("heading", ["The runbook's boxes", "The runbook's troubleshooting"])
def test_every_row_names_checks_and_tests_that_exist(heading: str) -> None:
    known = catalogue.ids()
    tests = {
        name
        for file in tree.matching("tests/*.py")
        for name in re.findall(r"^def (test_\w+)", tree.text(file), re.MULTILINE)
    }
    found = rows(heading)
    assert found
    for row in found:
        *_, checks, proofs = row
        told = set(ID.findall(checks))
        assert told <= known, row
        assert told or "VALET's own" in checks or "the worker's own" in checks, row
        proven = set(re.findall(r"`(test_\w+)`", proofs))
        scenarios = re.findall(r"molecule/\w+", proofs)
        assert proven | set(scenarios), row
        assert proven <= tests, (proven - tests, row)
        assert all((tree.ROOT / scenario / "verify.yml").is_file() for scenario in scenarios), row


def test_every_box_has_its_row() -> None:
    assert [row[0] for row in rows("The runbook's boxes")] == [str(number) for number in range(1, BOXES + 1)]


def test_the_catalogue_misses_no_check() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in catalogue.CHECKS.glob("*.py"))
    registered = set(re.findall(r'^@check\("([a-z0-9-]+)"', source, re.MULTILINE))
    assert registered
    assert registered == {row.id for row in catalogue.verify()}


def test_the_catalogue_says_of_each_check_what_is_wrong() -> None:
    silent = {
        row.id
        for row in (*catalogue.verify(), *catalogue.doctor(), *catalogue.findings(catalogue.CHECKS / "preflight.py"))
        if not row.says
    }
    assert silent == {"instances-standby"}, "that one only tells"
