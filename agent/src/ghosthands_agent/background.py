"""Calls that may take long, made one after the other in a thread of their own, so that whoever polls goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """One thread, made when first needed. It is a daemon: an agent that ends waits for no call (an executor of the library would)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, call: Callable[[], T]) -> Future[T]:
        """Have `call` made after those that are waiting; the future is its ports.Task. Cancelled before its turn, it is never made."""
        future: Future[T] = Future()
        self._calls.put((call, future))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        return future

    def _work(self) -> None:
        while True:
            call, future = self._calls.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as problem:
                    future.set_exception(problem)
            del call, future  # a result may be a secret: nothing here holds it on
