"""The trace: one JSON line per call, without secrets."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from localcloud.calls import Call


class Trace:
    """A file of calls that can be changed while calls run."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        self.path: Path | None = None
        self.redirect(path)

    def redirect(self, path: Path | None) -> None:
        """Append to another file from now on, or to none.

        Raises:
            OSError: the file cannot be opened; the old one stays.
        """
        file = path.open("a", encoding="utf-8") if path else None
        with self._lock:
            if self._file:
                self._file.close()
            self._file, self.path = file, path

    @property
    def active(self) -> bool:
        """Whether calls are written."""
        return self._file is not None

    def write(self, call: Call, status: int, error: str | None, milliseconds: float) -> None:
        """Write one call and flush it."""
        line = json.dumps(
            {
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "service": call.service,
                "action": call.action,
                "status": status,
                "error": error,
                "ms": round(milliseconds, 1),
                "parameters": call.parameters,
            }
        )
        with self._lock:
            if self._file:
                self._file.write(line + "\n")
                self._file.flush()
