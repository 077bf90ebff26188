"""Documents: what they link to exists, and they name test files, never tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import REFUSALS, STATUSES

from tests.house import repository
from tools.docs import catalogue

BOXES = 21  # of the runbook's section 11
DOCUMENTS = repository.matching("*.md")
LINK = re.compile(r"\[[^]]*\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
ID = re.compile(r"`([a-z0-9]+(?:-[a-z0-9]+)+|account|activities|drill|refresh|price)`")
PROOF = re.compile(r"\]\(\.\./((?:tests|agent/tests|localcloud/tests|molecule)/[\w./-]+)\)")


def headings(document: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", CODE.sub("", repository.text(document)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def section(document: str, heading: str) -> str:
    """The text under a heading of the second level. Raises AssertionError where there is none."""
    _, found, text = repository.text(document).partition(f"## {heading}\n")
    assert found, f"{document} has no section {heading}"
    return text.partition("\n## ")[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table in a section of docs/checks.md, without the table's head."""
    lines = [line for line in section("docs/checks.md", heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading(document: str) -> None:
    broken = []
    for path, anchor in LINK.findall(CODE.sub("", repository.text(document))):
        target = (repository.ROOT / document).parent / path if path else repository.ROOT / document
        if not target.exists():
            broken.append(path)
        elif anchor and target.suffix == ".md" and anchor not in headings(str(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


def test_no_document_names_a_test() -> None:
    names = {document: re.findall(r"\btest_\w+\b(?!\.py)", repository.text(document)) for document in DOCUMENTS}
    assert {document: found for document, found in names.items() if found} == {}


def test_the_four_walks_name_files_that_exist() -> None:
    walks = re.split(r"^### ", section("docs/architecture.md", "Four walks"), flags=re.MULTILINE)[1:]
    assert len(walks) == 4
    for walk in walks:
        paths = re.findall(r"(?<![\w/.-])(?:[\w.-]+/)+[\w.-]+\.\w+", walk)
        assert len(paths) >= 3, walk
        assert [path for path in paths if not Path(repository.ROOT, path).is_file()] == []


@pytest.mark.parametrize("heading", ["The runbook's boxes", "The runbook's troubleshooting"])
def test_every_row_of_the_checks_page_names_checks_and_proofs_that_exist(heading: str) -> None:
    known = catalogue.ids()
    found = rows(heading)
    assert found
    for row in found:
        *_, checks, proofs = row
        named = set(ID.findall(checks))
        assert named <= known, row
        assert named or "VALET's own" in checks or "the worker's own" in checks, row
        assert PROOF.search(proofs), row


def test_every_box_of_the_runbook_has_its_row() -> None:
    assert [row[0] for row in rows("The runbook's boxes")] == [str(number) for number in range(1, BOXES + 1)]


def test_docs_rollout_lists_everything_that_aws_may_answer() -> None:
    listed = set(re.findall(r"`(\w+)`", section("docs/rollout.md", "What AWS answers")))
    assert {*STATUSES, *REFUSALS} - listed == set()
