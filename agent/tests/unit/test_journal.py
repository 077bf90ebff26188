"""The lines of the journal."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from ghosthands_agent.journal import LINE_BYTES, StderrJournal, line


def written(write: Callable[[StderrJournal], None], *, priorities: bool = True) -> str:
    """What it writes."""
    out, into = os.pipe()
    try:
        write(StderrJournal(into, priorities=priorities))
    finally:
        os.close(into)
    with os.fdopen(out) as reading:
        return reading.read()


def test_a_line_has_a_priority_an_event_and_its_fields() -> None:
    output = written(
        lambda journal: journal.step(
            "drained", "warning", seconds=12.3456, clean=True, why="job ended", worker=None, jobs=0
        )
    )
    assert output == '<4>event=drained seconds=12.346 clean=true why="job ended" worker=null jobs=0\n'


def test_on_a_terminal_there_is_no_priority() -> None:
    assert written(lambda journal: journal.step("drained"), priorities=False) == "event=drained\n"


@pytest.mark.parametrize("value", ["a\nb", 'a"b', "a b", "a=b\r", "", "\x00", "ü\u2028", "\udcff"], ids=ascii)
def test_any_value_becomes_one_line(value: str) -> None:
    output = written(lambda journal: journal.step("odd", value=value))
    assert output.count("\n") == 1
    assert output.endswith("\n")


def test_a_simple_value_is_not_quoted() -> None:
    assert (
        line("pulled", image="registry.example:5000/name@sha256:ab")
        == "event=pulled image=registry.example:5000/name@sha256:ab"
    )


def test_a_long_line_is_truncated() -> None:
    output = written(lambda journal: journal.step("long", text="x" * 10_000))
    assert len(output) == LINE_BYTES


def test_a_full_pipe_does_not_block() -> None:
    out, into = os.pipe()
    journal = StderrJournal(into)
    for _ in range(1000):  # far more than a pipe holds
        journal.step("unread", text="x" * 200)
    os.close(out)
    journal.step("nobody there")
    os.close(into)
    journal.step("closed")
