"""A line per step."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from ghosthands_agent.journal import LINE_BYTES, StderrJournal, line


def heard(speak: Callable[[StderrJournal], None], *, priorities: bool = True) -> str:
    """What comes out of the pipe that it writes to."""
    out, into = os.pipe()
    try:
        speak(StderrJournal(into, priorities=priorities))
    finally:
        os.close(into)
    with os.fdopen(out) as reading:
        return reading.read()


def test_a_line_has_a_priority_an_event_and_its_fields() -> None:
    said = heard(
        lambda journal: journal.step(
            "drained", "warning", seconds=12.3456, clean=True, why="job ended", worker=None, jobs=0
        )
    )
    assert said == '<4>event=drained seconds=12.346 clean=true why="job ended" worker=null jobs=0\n'


def test_on_a_terminal_there_is_no_priority() -> None:
    assert heard(lambda journal: journal.step("drained"), priorities=False) == "event=drained\n"


@pytest.mark.parametrize("value", ["a\nb", 'a"b', "a b", "a=b\r", "", "\x00", "ü\u2028", "\udcff"], ids=ascii)
def test_whatever_a_value_holds_it_stays_one_line(value: str) -> None:
    said = heard(lambda journal: journal.step("odd", value=value))
    assert said.count("\n") == 1
    assert said.endswith("\n")


def test_a_word_stands_as_it_is() -> None:
    assert (
        line("pulled", image="registry.example:5000/name@sha256:ab")
        == "event=pulled image=registry.example:5000/name@sha256:ab"
    )


def test_a_long_line_is_cut() -> None:
    said = heard(lambda journal: journal.step("long", text="x" * 10_000))
    assert len(said) == LINE_BYTES


def test_nobody_who_reads_stops_nothing() -> None:
    out, into = os.pipe()
    journal = StderrJournal(into)
    for _ in range(1000):  # far more than a pipe holds
        journal.step("unread", text="x" * 200)
    os.close(out)
    journal.step("nobody there")
    os.close(into)
    journal.step("closed")
