"""The report in a real browser: its messages and requests, its looks, and how it prints."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_report import to_html
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report import samples

from tests.report import probes
from tests.report.browser import Browser
from tests.report.conftest import Site

PAGES = {
    "right": to_html(*samples.right()),
    "faulty": to_html(*samples.faulty()),
    "none": to_html(*samples.none()),
    "large": to_html(*samples.large()),
}
HOSTILE = {f"hostile-{place}": to_html(*samples.hostile(words)) for place, words in enumerate(samples.HOSTILE)}
A4_POINTS = (595, 842)


@pytest.fixture
def shown(browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> Browser:
    """The browser with the page of that name opened from a file, as its reader does."""
    file = tmp_path / "report.html"
    file.write_text({**PAGES, **HOSTILE}[request.param], encoding="utf-8")
    browser.look()
    browser.open(file.as_uri())
    return browser


@pytest.mark.parametrize("name", [*PAGES, *HOSTILE])
def test_the_page_writes_nothing_to_the_console_and_requests_nothing(browser: Browser, site: Site, name: str) -> None:
    site.page = {**PAGES, **HOSTILE}[name]
    browser.look()
    browser.open(site.address)
    browser.run(probes.OPEN_ALL)
    assert browser.messages == []
    assert [request for request in browser.requests if request != "data:,"] == [site.address]
    assert site.asked == ["/"]


@pytest.mark.parametrize(
    ("planted", "violated"),
    [
        ("<script>alert(1)</script>", "script-src-elem"),
        ('<img src="/spy">', "img-src"),
        ('<p style="color: red">', "style-src-attr"),
    ],
)
def test_the_policy_stops_injected_content_and_reports_it(
    browser: Browser, site: Site, planted: str, violated: str
) -> None:
    site.page = PAGES["right"].replace("<main>", f"<main>{planted}")
    browser.open(site.address)
    assert violated in str(browser.messages)
    assert site.asked == ["/"]


def test_no_text_from_outside_changes_an_element_that_the_browser_sees(browser: Browser, site: Site) -> None:
    def skeleton(page: str) -> list[str]:
        site.page = page
        browser.open(site.address)
        found: list[str] = browser.run(probes.SKELETON)
        return found

    plain = skeleton(to_html(*samples.hostile("words")))
    assert len(plain) > 500
    for name, page in HOSTILE.items():
        assert skeleton(page) == plain, name


@pytest.mark.parametrize("shown", [*PAGES, *HOSTILE], indirect=True)
@pytest.mark.parametrize("width", [320, 400, 736, 1280])
def test_nothing_overflows_a_narrow_window(shown: Browser, width: int) -> None:
    shown.look(width=width, height=800)
    shown.run(probes.OPEN_ALL)
    assert shown.run(probes.OVERFLOW) == [0, []]


@pytest.mark.parametrize("shown", [*PAGES, "hostile-0"], indirect=True)
@pytest.mark.parametrize(
    ("dark", "paper"), [(False, False), (True, False), (True, True)], ids=["light", "dark", "paper"]
)
def test_text_and_shapes_have_enough_contrast(shown: Browser, dark: bool, paper: bool) -> None:
    shown.look(dark=dark, paper=paper)
    shown.run(probes.OPEN_ALL)
    words = shown.run(probes.CONTRAST)
    assert len(words) > 40
    assert [word for word in words if word[1] < word[2]] == []
    assert [shape for shape in shown.run(probes.SHAPES) if shape[1] < 3] == []


@pytest.mark.parametrize(
    ("shown", "least", "most"),
    [("right", 2, 6), ("faulty", 4, 10), ("none", 1, 2), ("large", 6, 14)],
    indirect=["shown"],
)
def test_the_page_prints_on_a4(shown: Browser, least: int, most: int) -> None:
    printed = shown.print()
    assert printed.startswith(b"%PDF-")
    assert least <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= most
    sizes = {
        tuple(round(float(n)) for n in size.split()[2:]) for size in re.findall(rb"/MediaBox\s*\[([^\]]*)\]", printed)
    }
    assert sizes == {A4_POINTS}


@pytest.mark.parametrize("shown", ["faulty"], indirect=True)
def test_print_shows_what_a_reader_would_have_to_open(shown: Browser) -> None:
    folded = "[...document.querySelectorAll('details > :not(summary)')]"
    height = f"Math.max(...{folded}.map((one) => one.checkVisibility() ? one.offsetHeight : 0))"
    shown.look()
    open_on_screen = shown.run(f"{folded}.some((one) => one.checkVisibility({{contentVisibilityAuto: true}}))")
    assert open_on_screen is False
    shown.look(paper=True)
    assert shown.run(height) > 100


@pytest.mark.parametrize("shown", ["faulty"], indirect=True)
def test_a_keyboard_reaches_and_opens_the_evidence(shown: Browser) -> None:
    focused = "document.activeElement.localName"
    steps: list[str] = []
    while "summary" not in steps and len(steps) < 30:
        shown.press("Tab")
        steps.append(shown.run(focused))
    assert steps == [*["a"] * 11, "summary"]
    assert shown.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    shown.press("Enter")
    assert shown.run("document.activeElement.parentElement.open") is True


@pytest.mark.parametrize("shown", ["faulty"], indirect=True)
def test_one_click_selects_a_whole_command_and_nothing_else(shown: Browser) -> None:
    shown.click(".remedy code")
    assert shown.run("getSelection().toString()") == (
        "ansible-playbook playbooks/launch_template.yml -i staging -e fleet_termination_hook_name=gh-worker-termination"
    )


@pytest.mark.parametrize("shown", [*PAGES, "hostile-0"], indirect=True)
@pytest.mark.parametrize("width", [400, 1280])
def test_a_screen_reader_finds_landmarks_headings_names_and_tables(shown: Browser, width: int) -> None:
    shown.look(width=width)
    shown.run(probes.OPEN_ALL)
    nodes = shown.tree()
    roles = [node["role"]["value"] for node in nodes]
    assert [roles.count(landmark) for landmark in ("banner", "main", "navigation", "contentinfo")] == [1, 1, 1, 1]
    levels = [
        p["value"]["value"]
        for node in nodes
        if node["role"]["value"] == "heading"
        for p in node["properties"]
        if p["name"] == "level"
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    named = [
        node
        for node in nodes
        if node["role"]["value"] in ("image", "table", "region", "link", "columnheader", "navigation")
    ]
    assert [node for node in named if not node.get("name", {}).get("value", "").strip()] == []
    assert roles.count("table") == shown.run("document.querySelectorAll('table').length") > 0
    assert roles.count("rowheader") == shown.run("document.querySelectorAll('tbody th').length")


@pytest.mark.parametrize(
    ("shown", "cells"), [("right", 7), ("faulty", 12), ("none", 0), ("large", 1_025)], indirect=["shown"]
)
@pytest.mark.parametrize("width", [400, 1280])
def test_every_cell_is_large_enough(shown: Browser, cells: int, width: int) -> None:
    shown.look(width=width)
    drawn = """[...document.querySelectorAll('figure use:not([href="#busy"], [href="#unhealthy"])')]"""
    sides = shown.run(f"{drawn}.map((one) => one.getBoundingClientRect().width)")
    assert len(sides) == cells
    assert all(side >= 5 for side in sides)
