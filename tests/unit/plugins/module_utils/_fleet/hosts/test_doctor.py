# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts may print: a doctor's findings, and everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import (
    MOST_CHARACTERS,
    MOST_FINDINGS,
    Output,
    host,
    parsed,
    plain,
)

GOOD: dict[str, Any] = {"id": "disk", "severity": "error", "ok": True, "detail": "/opt: 12.0 GiB free", "remedy": ""}


def printed(*findings: Any) -> str:
    return json.dumps({"findings": findings})


def test_a_doctors_findings_are_taken_as_they_are() -> None:
    bad = {**GOOD, "id": "complete_lifecycle_action", "ok": False, "remedy": "Run iam.yml."}
    assert host("i-1", Output(printed(GOOD, bad))) == {"instance": "i-1", "findings": [GOOD, bad], "problem": ""}


def test_unknown_keys_of_a_finding_are_dropped() -> None:
    assert parsed(printed({**GOOD, "__ansible_unsafe": "x", "evidence": ["y" * 100_000]})) == [GOOD]


def test_a_host_without_an_answer_says_why() -> None:
    assert host("i-1", Output("", "Connection refused")) == {
        "instance": "i-1",
        "findings": [],
        "problem": "Connection refused",
    }


HOSTILE: dict[str, tuple[str, str]] = {
    "nothing": ("", "it is empty"),
    "blanks": (" \n ", "it is empty"),
    "words": (
        "bash: ghosthands-agent: command not found",
        "it is not JSON: 'bash: ghosthands-agent: command not found'",
    ),
    "escapes": ("\x1b[2J\x1b]0;owned\x07", "it is not JSON: '"),
    "half an answer": (printed(GOOD)[:40], "it is not JSON:"),
    "a list": ("[]", "it has no list of findings"),
    "no findings": ('{"findings": []}', "it has no list of findings"),
    "findings of another kind": ('{"findings": {"id": "disk"}}', "it has no list of findings"),
    "a number": ("1e999", "it has no list of findings"),
    "too deep": ('{"findings":' * 100_000, "it is nested too deeply"),
    "too many": (printed(*[GOOD] * (MOST_FINDINGS + 1)), f"it has {MOST_FINDINGS + 1} findings"),
    "a finding that is a text": (printed("disk"), "a finding is not a mapping"),
    "an id with a tag": (printed({**GOOD, "id": "<script>"}), "a finding's id is '<script>'"),
    "an id that is too long": (printed({**GOOD, "id": "a" * 65}), "a finding's id is"),
    "no id": (printed({k: v for k, v in GOOD.items() if k != "id"}), "a finding's id is 'None'"),
    "a severity of its own": (printed({**GOOD, "severity": "critical"}), "disk has no severity"),
    "a severity that is a list": (printed({**GOOD, "severity": ["error"]}), "disk has no severity"),
    "ok as a text": (printed({**GOOD, "ok": "yes"}), "disk has no severity, or does not say whether it is ok"),
    "detail as a number": (printed({**GOOD, "detail": 1}), "disk has no detail or no remedy"),
    "remedy left out": (printed({k: v for k, v in GOOD.items() if k != "remedy"}), "disk has no detail or no remedy"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_anything_but_findings_is_a_problem_that_quotes_it(what: str) -> None:
    text, why = HOSTILE[what]
    found = host("i-1", Output(text, "exit code 127"))
    if text:
        assert found["problem"].startswith(f"its answer cannot be parsed: {why}")
        assert "(exit code 127)" in found["problem"]
    assert found["findings"] == []
    assert found["problem"].isprintable()
    assert len(found["problem"]) <= MOST_CHARACTERS


def test_sentences_become_one_printable_line_of_a_limited_length() -> None:
    (found,) = parsed(
        printed({**GOOD, "detail": "a\x1b[31mred\n\nb\x00\u202ec\ud800" + "x" * 10_000, "remedy": "\t{{ 1 }}\r\n"})
    )
    assert found["detail"].startswith("a [31mred b c x")
    assert found["detail"].endswith("...")
    assert len(found["detail"]) == MOST_CHARACTERS
    assert found["remedy"] == "{{ 1 }}"


@pytest.mark.parametrize("text", ["", "plain words", "é ü 漢"])
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text
