# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents of a report, and the page: its elements, its text, and that no text breaks it.

A browser looks at the page in tests/report.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.report.text import visible
from ansible_collections.wekruit.ghosthands.plugins.plugin_utils.fleet_report import documents, to_html
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report import samples
from ansible_collections.wekruit.ghosthands.tests.unit.plugins.module_utils._fleet.report.samples import (
    HOSTILE,
    finding,
    fleet,
)

VOID = {"meta", "link", "br"}


class Reader(HTMLParser):
    """The page as its parser sees it. Fails where an element ends that was not begun last.

    Attributes:
        skeleton: every element with its depth and the names of its attributes.
        words: every text outside the style.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.skeleton: list[tuple[int, str, tuple[str, ...]]] = []
        self.words: list[str] = []
        self._within: list[str] = []
        self.feed(text)
        self.close()
        assert self._within == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.skeleton.append((len(self._within), tag, tuple(name for name, _value in attrs)))
        if tag not in VOID:
            self._within.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.skeleton.append((len(self._within), tag, tuple(name for name, _value in attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._within.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._within:
            self.words.append(data)

    @property
    def text(self) -> str:
        """All that is to be read, blanks made one."""
        return " ".join(" ".join(self.words).split())


PLAIN = Reader(to_html(*samples.hostile("words")))


@pytest.mark.parametrize("words", HOSTILE)
def test_no_text_from_outside_changes_an_element(words: str) -> None:
    page = Reader(to_html(*samples.hostile(words)))
    assert page.skeleton == PLAIN.skeleton
    assert any(visible(words)[:40].strip() in part for part in page.words)


def test_the_page_has_no_script_and_no_address() -> None:
    assert not {
        name
        for _depth, _tag, names in PLAIN.skeleton
        for name in names
        if name.startswith("on") or name in ("src", "style")
    }
    assert not {"script", "img", "iframe", "object", "form"} & {name for _depth, name, _names in PLAIN.skeleton}
    text = to_html(*samples.faulty())
    assert re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[0].startswith(
        "default-src 'none'; style-src 'sha256-"
    )
    assert {href[:1] for href in re.findall(r'href="([^"]*)"', text)} == {"#", "d"}
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {"#stripes"}


def test_the_conclusion_comes_first() -> None:
    assert Reader(to_html(*samples.right())).text.startswith(
        "gh-worker: The fleet gh-worker is right. Fleet report gh-worker"
    )
    assert '<section class="conclusion ok"' in to_html(*samples.right())
    assert '<section class="conclusion error"' in to_html(*samples.faulty())
    assert '<section class="conclusion warning"' in to_html(fleet([]), [finding("a", severity="warning", ok=False)])
    assert '<section class="conclusion info"' in to_html(fleet([]), [])


def test_failed_checks_come_worst_first_with_remedy_and_evidence() -> None:
    text = to_html(*samples.faulty())
    assert text.index("To fix") < text.index("To look at") < text.index("Good to know") < text.index("The fleet</h2>")
    assert "<pre><code>ansible-playbook playbooks/rollout.yml -i staging</code></pre>" in text
    assert "{&#34;instance&#34;: &#34;i-00000000000000006&#34;}" in text
    assert "To fix" not in to_html(*samples.right())


def test_every_check_is_listed_under_its_section() -> None:
    page = Reader(to_html(*samples.right()))
    for found in samples.HOLDING:
        assert f"{found.id} Passed {found.detail}" in page.text
    assert "§2 Golden AMI 3 passed" in page.text


def test_a_thousand_hosts_take_a_row() -> None:
    page = Reader(to_html(*samples.large()))
    assert "host-clock Passed As it should be. And 999 more." in page.text
    assert "12 errors: host-disk." in page.text


def test_a_drain_longer_than_the_limit_is_named_in_words() -> None:
    page = Reader(to_html(*samples.faulty()))
    assert (
        "6 drains, half of them within 3 min 32 s, the longest 46 min. The limit is 35 min; 1 took longer." in page.text
    )
    assert page.text.count("longer than the limit") == 1


def test_unknown_values_are_left_out() -> None:
    bare = fleet(
        [],
        drain_limit_seconds=None,
        hook_timeout_seconds=None,
        desired=None,
        min=None,
        max=None,
        template_version="",
        image="",
    )
    text = Reader(to_html(bare | {"drains": [samples.drain(1, 5.0)]}, [])).text
    assert "None" not in text
    assert "Drain limit" not in text
    assert "Price" not in text


@pytest.mark.parametrize("words", HOSTILE)
def test_each_document_can_be_written_as_utf_8(words: str) -> None:
    made = documents(*samples.hostile(words))
    assert list(made) == ["report.json", "report.xml", "report.html"]
    for text in made.values():
        text.encode("utf-8")
        assert text.endswith("\n")
