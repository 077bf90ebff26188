"""Queues of tasks: in order for each machine, several machines at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Task = Callable[[], None]


class TaskQueues:
    """Tasks by key: those of one key run one after the other, those of different keys at the same time.

    A task has to handle its own errors: what it raises is lost.
    """

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="task queue")
        self._waiting: dict[str, deque[Task]] = {}
        self._lock = threading.Lock()

    def put(self, key: str, task: Task) -> None:
        """Queue a task; after `close` it is dropped."""
        with self._lock:
            if (queue := self._waiting.get(key)) is not None:
                queue.append(task)
                return
            self._waiting[key] = deque([task])
        self._go_on(key)

    def close(self) -> None:
        """Drop waiting tasks and return once none runs."""
        self._pool.shutdown(cancel_futures=True)

    def _go_on(self, key: str) -> None:
        try:
            self._pool.submit(self._run_next, key)
        except RuntimeError:  # closed meanwhile
            with self._lock:
                self._waiting.pop(key, None)

    def _run_next(self, key: str) -> None:
        """Run a queue's first task, and submit the next one, so that a long queue does not block others."""
        with self._lock:
            task = self._waiting[key].popleft()
        try:
            task()
        finally:
            with self._lock:
                more = bool(self._waiting[key])
                if not more:
                    del self._waiting[key]
            if more:
                self._go_on(key)
