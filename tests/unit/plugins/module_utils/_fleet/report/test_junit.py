# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report for CI systems."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.junit import to_junit
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report import samples
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report.samples import (
    HOSTILE,
    finding,
    fleet,
)

#: What Jenkins' xUnit plugin (junit-10.xsd) lets stand in what, and which attributes it wants, as far as we write it.
SHAPE: dict[str, tuple[set[str], set[str], set[str]]] = {
    # element: children, attributes that must be there, attributes that may
    "testsuites": ({"testsuite"}, {"name", "tests", "failures", "errors", "time"}, set()),
    "testsuite": (
        {"properties", "testcase"},
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"},
        set(),
    ),
    "properties": ({"property"}, set(), set()),
    "property": (set(), {"name", "value"}, set()),
    "testcase": ({"failure", "skipped", "system-out"}, {"name", "classname", "time"}, set()),
    "failure": (set(), {"message", "type"}, set()),
    "skipped": (set(), {"message", "type"}, set()),
    "system-out": (set(), set(), set()),
}


def misshapen(element: ElementTree.Element) -> list[str]:
    """Each breach of the shape in an element and all beneath it."""
    children, must, may = SHAPE[element.tag]
    found = [f"{element.tag} holds {child.tag}" for child in element if child.tag not in children]
    found += [f"{element.tag} lacks {name}" for name in must - set(element.attrib)]
    found += [f"{element.tag} has {name}" for name in set(element.attrib) - must - may]
    return found + [breach for child in element if child.tag in SHAPE for breach in misshapen(child)]


@pytest.mark.parametrize(
    "sample",
    [samples.right(), samples.faulty(), samples.none(), samples.large(60)],
    ids=["right", "faulty", "none", "large"],
)
def test_the_document_has_the_shape_that_readers_expect(sample: tuple[samples.Fleet, list[Finding]]) -> None:
    root = ElementTree.fromstring(to_junit(*sample))
    assert root.tag == "testsuites"
    assert misshapen(root) == []
    assert int(root.attrib["tests"]) == len(list(root.iter("testcase"))) == len(sample[1])
    for suite in root:
        assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped"))


def test_an_error_fails_a_warning_is_skipped_a_note_passes() -> None:
    found = [finding("a", ok=False), finding("b", 4, "warning", False), finding("c", 4, "info", False), finding("d")]
    cases = {
        case.attrib["name"]: [child.tag for child in case]
        for case in ElementTree.fromstring(to_junit(fleet([]), found)).iter("testcase")
    }
    assert cases == {"a": ["failure"], "b": ["skipped"], "c": ["system-out"], "d": ["system-out"]}


def test_a_skipped_check_is_skipped_and_counted() -> None:
    root = ElementTree.fromstring(to_junit(fleet([]), [finding("jobs", severity="info", looked=False)]))
    assert root.find("testsuite").attrib["skipped"] == "1"  # type: ignore[union-attr]
    assert root.find(".//skipped").attrib["type"] == "skipped"  # type: ignore[union-attr]


def test_the_detail_is_in_the_message_and_the_text_which_has_the_remedy_too() -> None:
    found = [finding("a", ok=False, detail="No hook.", remedy="Run", commands=("x",), group="g")]
    failure = next(ElementTree.fromstring(to_junit(fleet([]), found)).iter("failure"))
    assert failure.attrib == {"type": "error", "message": "error: No hook."}
    assert failure.text == 'No hook.\nRun\nx\n{\n  "group": "g"\n}'


def test_one_suite_for_each_section_with_the_fleets_properties() -> None:
    root = ElementTree.fromstring(to_junit(*samples.right()))
    assert [suite.attrib["name"] for suite in root][:2] == ["§1 Prerequisites", "§2 Golden AMI"]
    assert {p.attrib["name"]: p.attrib["value"] for p in root[0].iter("property")}["region"] == "us-east-1"


def test_no_two_cases_share_a_name() -> None:
    found = [
        *(finding("host-disk", 8, instance=f"i-{n}") for n in range(3)),
        finding("subnet", 1, ok=False),
        finding("subnet", 1),
    ]
    names = [case.attrib["name"] for case in ElementTree.fromstring(to_junit(fleet([]), found)).iter("testcase")]
    assert names == ["subnet", "subnet (2)", "host-disk [i-0]", "host-disk [i-1]", "host-disk [i-2]"]


@pytest.mark.parametrize("words", HOSTILE)
def test_no_text_from_outside_breaks_the_document(words: str) -> None:
    def skeleton(text: str) -> list[tuple[str, list[str]]]:
        return [(element.tag, list(element.attrib)) for element in ElementTree.fromstring(text.encode("utf-8")).iter()]

    assert skeleton(to_junit(*samples.hostile(words))) == skeleton(to_junit(*samples.hostile("words")))
