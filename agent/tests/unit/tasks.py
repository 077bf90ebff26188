"""Waiting for the agent's tasks."""

from __future__ import annotations

from typing import TypeVar

from ghosthands_agent.ports import Task
from localcloud.testing import wait_until

T = TypeVar("T")


def result_of(task: Task[T], timeout: float = 20.0) -> T:
    """Wait until a task is done and return its result. Raises its errors, and TimeoutError."""
    wait_until(task.done, timeout, every=0.01)
    return task.result()
