"""The job queue as a file that processes share."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from model.job_queue import JobEvent, MemoryJobQueue, Row

READS = ("available_at", "waits")  # methods that change nothing


class FileJobQueue:
    """A `MemoryJobQueue` in a file, whose methods any number of processes may call. Times are seconds since 1970."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._transaction():
            pass

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A method of the queue, as one transaction."""
        if name.startswith("_") or not callable(getattr(MemoryJobQueue, name, None)):
            raise AttributeError(name)

        def call(*arguments: Any, **options: Any) -> Any:
            if name in READS:
                return getattr(self.copy(), name)(*arguments, **options)
            with self._transaction() as queue:
                return getattr(queue, name)(*arguments, **options)

        return call

    def copy(self) -> MemoryJobQueue:
        """The queue as it is now."""
        return cast("MemoryJobQueue", pickle.loads(self._path.read_bytes()))

    @property
    def rows(self) -> Mapping[str, Row]:
        return self.copy().rows

    @property
    def taken_over(self) -> Mapping[str, float]:
        return self.copy().taken_over

    @property
    def down_until(self) -> float:
        return self.copy().down_until

    def events(self) -> list[JobEvent]:
        """All events, in order."""
        return self.copy().events

    def registered(self) -> dict[str, str]:
        """The workers and their status."""
        return {worker: status for worker, (status, _) in self.copy().registry.items()}

    def record_death(self, process: str, reason: str, now: float) -> None:
        """Record that a killed process has left its job, which it cannot do itself."""
        with self._transaction() as queue:
            for job in [row.job.id for row in queue.rows.values() if process in row.inside]:
                queue.leave(process, job, reason, now)
            queue.silent(process.partition("/")[0], now)

    @contextmanager
    def _transaction(self) -> Iterator[MemoryJobQueue]:
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            queue = self.copy() if self._path.exists() else MemoryJobQueue()
            yield queue
            new = self._path.with_suffix(".new")
            new.write_bytes(pickle.dumps(queue))
            new.rename(self._path)
        finally:
            os.close(lock)  # without the rename: as if it had not been
