"""Work on one machine in order, on several at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Task = Callable[[], None]


class TaskQueues:
    """Tasks by key: those of one key run one after the other, as they came; those of different keys side by side.

    A task answers for its own failures: what it raises is lost.
    """

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="lane")
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
        """Drop what waits and return once nothing runs."""
        self._pool.shutdown(cancel_futures=True)

    def _go_on(self, key: str) -> None:
        try:
            self._pool.submit(self._run_next, key)
        except RuntimeError:  # closed meanwhile
            with self._lock:
                self._waiting.pop(key, None)

    def _run_next(self, key: str) -> None:
        """Run a lane's first task, and take a new turn in the pool for the next: a long lane starves nobody."""
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
