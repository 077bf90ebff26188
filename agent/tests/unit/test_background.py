"""Calls made one after the other, in a thread that keeps nobody waiting."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ghosthands_agent import background
from ghosthands_agent.background import Background
from ghosthands_agent.ports import Refused


def test_a_call_is_begun_and_its_result_fetched() -> None:
    task = Background("test").begin(lambda: 7)
    assert task.result(5) == 7
    assert task.done()


def test_what_a_call_raises_is_its_result() -> None:
    def refuse() -> None:
        raise Refused("x", "y")

    line = Background("test")
    with pytest.raises(Refused):
        line.begin(refuse).result(5)
    assert line.begin(lambda: 1).result(5) == 1, "the next one is made all the same"


def test_calls_are_made_in_turn_and_never_two_at_once() -> None:
    order: list[str] = []

    def call(name: str) -> None:
        order.append(f"{name} begins")
        time.sleep(0.05)
        order.append(f"{name} ends")

    line = Background("test")
    last = [line.begin(lambda name=name: call(name)) for name in ("a", "b")][-1]  # type: ignore[misc]
    last.result(5)
    assert order == ["a begins", "a ends", "b begins", "b ends"]


def test_a_call_that_is_cancelled_before_its_turn_is_never_made() -> None:
    made: list[int] = []
    go = threading.Event()
    line = Background("test")
    first, second, third = line.begin(go.wait), line.begin(lambda: made.append(2)), line.begin(lambda: made.append(3))
    assert second.cancel()
    go.set()
    third.result(5)
    assert made == [3]
    assert not first.cancel()


def test_there_is_no_thread_before_there_is_a_call() -> None:
    before = threading.active_count()
    Background("test")
    assert threading.active_count() == before


def test_an_agent_ends_while_a_call_hangs() -> None:
    code = "from ghosthands_agent.background import Background; import time; Background('x').begin(lambda: time.sleep(60)); time.sleep(0.2)"
    sources = str(Path(background.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": sources, "PATH": os.environ["PATH"]}, timeout=20, check=True
    )
    assert done.returncode == 0
