"""Calls made one after the other in a thread."""

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


def test_a_call_returns_its_result_later() -> None:
    task = Background("test").begin(lambda: 7)
    assert task.result(5) == 7
    assert task.done()


def test_an_exception_of_a_call_is_its_result() -> None:
    def refuse() -> None:
        raise Refused("x", "y")

    calls = Background("test")
    with pytest.raises(Refused):
        calls.begin(refuse).result(5)
    assert calls.begin(lambda: 1).result(5) == 1, "the next call is made"


def test_calls_are_made_in_turn_and_never_two_at_once() -> None:
    order: list[str] = []

    def call(name: str) -> None:
        order.append(f"{name} begins")
        time.sleep(0.05)
        order.append(f"{name} ends")

    calls = Background("test")
    last = [calls.begin(lambda name=name: call(name)) for name in ("a", "b")][-1]  # type: ignore[misc]
    last.result(5)
    assert order == ["a begins", "a ends", "b begins", "b ends"]


def test_a_call_cancelled_before_its_turn_is_never_made() -> None:
    made: list[int] = []
    go = threading.Event()
    calls = Background("test")
    first, second, third = (
        calls.begin(go.wait),
        calls.begin(lambda: made.append(2)),
        calls.begin(lambda: made.append(3)),
    )
    assert second.cancel()
    go.set()
    third.result(5)
    assert made == [3]
    assert not first.cancel()


def test_there_is_no_thread_before_there_is_a_call() -> None:
    before = threading.active_count()
    Background("test")
    assert threading.active_count() == before


def test_a_process_exits_while_a_call_hangs() -> None:
    code = (
        "from ghosthands_agent.background import Background; import time\n"
        "Background('x').begin(lambda: time.sleep(60)); time.sleep(0.2)"
    )
    sources = str(Path(background.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": sources, "PATH": os.environ["PATH"]}, timeout=20, check=True
    )
    assert done.returncode == 0
