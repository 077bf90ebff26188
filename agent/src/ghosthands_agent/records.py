"""What outlives the agent and not the boot: two JSON files in /run/ghosthands, each stamped with the boot's id."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from .files import PUBLIC, error_name, replace
from .paths import Paths
from .ports import BootRecord, Mark, Unavailable

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOCK_SECONDS = 0.8
STATES = ("running", "completed", "failed", "withdrawn")


class RunRecords:
    """ports.Records over the files of `paths`.

    Args:
        boot_id: what tells this boot of the system from another; /run is empty after a boot, except where it is no memory file system.
    """

    def __init__(self, paths: Paths, boot_id: str | None = None) -> None:
        self._boot, self._marks = paths.boot_record, paths.marks
        self._boot_id = boot_id or BOOT_ID.read_text().strip()

    def boot(self) -> BootRecord | None:
        """See ports.Records."""
        said = self._read(self._boot)
        try:
            record = BootRecord(
                state=said["state"],
                phase=str(said["phase"]),
                reason=str(said["reason"]),
                failures=int(said["failures"]),
                began=float(said["began"]),
                seconds={str(phase): float(seconds) for phase, seconds in said["seconds"].items()},
                image=str(said["image"]),
            )
        except (LookupError, TypeError, ValueError, AttributeError):
            return None
        return record if record.state in STATES else None

    def keep_boot(self, record: BootRecord) -> None:
        """See ports.Records."""
        self._write(self._boot, asdict(record))

    def marks(self) -> dict[Mark, float]:
        """See ports.Records."""
        said = self._read(self._marks)
        return {mark: float(said[mark]) for mark in get_args(Mark) if isinstance(said.get(mark), (int, float))}

    def set_mark(self, mark: Mark, moment: float) -> None:
        """See ports.Records."""
        with self._alone():
            self._write(self._marks, {mark: moment} | self.marks())

    def clear_mark(self, mark: Mark) -> None:
        """See ports.Records."""
        with self._alone():
            marks = self.marks()
            if marks.pop(mark, None) is not None:
                self._write(self._marks, marks)

    def _read(self, path: Path) -> dict[str, Any]:
        """What the file holds of this boot; {} where there is no such file, or it is another boot's, or it is not ours."""
        try:
            said = json.loads(path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        except OSError as problem:
            raise Unavailable(f"read {path.name}", error_name(problem)) from None
        return said if isinstance(said, dict) and said.get("boot_id") == self._boot_id else {}

    def _write(self, path: Path, value: Mapping[Any, Any]) -> None:
        replace(path, json.dumps({**value, "boot_id": self._boot_id}) + "\n", PUBLIC)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process changes marks meanwhile. A change takes milliseconds; the kernel takes the lock from a process that dies."""
        try:
            self._marks.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._marks.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise Unavailable(f"lock {self._marks.name}", error_name(problem)) from None
        try:
            _take(lock, self._marks.name)
            yield
        finally:
            os.close(lock)


def _take(lock: int, name: str) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable(f"lock {name}", "Timeout") from None
            time.sleep(0.002)
