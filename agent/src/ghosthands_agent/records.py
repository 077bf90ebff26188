"""State as JSON files: until the next boot of the system in /run/ghosthands, each with the boot's id; for longer in
/var/lib/ghosthands.
"""

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
from .ports import BootRecord, Control, Flag, Phase, Replacement, Unavailable

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOCK_SECONDS = 0.8
STATES = ("running", "completed", "failed", "withdrawn")


class RunRecords:
    """ports.Records over the files of `paths`.

    Args:
        boot_id: identifies this boot of the system, for hosts where /run survives a boot.
    """

    def __init__(self, paths: Paths, boot_id: str | None = None) -> None:
        self._boot, self._flags, self._replacement = paths.boot_record, paths.flags, paths.replacement
        self._control, self._wish = paths.control, paths.wish
        self._boot_id = boot_id or BOOT_ID.read_text().strip()

    def boot(self) -> BootRecord | None:
        """See ports.Records."""
        data = self._read(self._boot)
        try:
            record = BootRecord(
                state=data["state"],
                phase=str(data["phase"]),
                reason=str(data["reason"]),
                failures=int(data["failures"]),
                began=float(data["began"]),
                seconds={str(phase): float(seconds) for phase, seconds in data["seconds"].items()},
                image=str(data["image"]),
                guard=str(data.get("guard", "")),
                output=str(data.get("output", "")),
                tries=int(data.get("tries", 0)),
                failure=str(data.get("failure", "")),
                failing_since=float(data.get("failing_since", 0.0)),
                phase_began=float(data.get("phase_began", 0.0)),
            )
        except (LookupError, TypeError, ValueError, AttributeError):
            return None
        return record if record.state in STATES else None

    def write_boot(self, record: BootRecord) -> None:
        """See ports.Records."""
        self._write(self._boot, asdict(record))

    def flags(self) -> dict[Flag, float]:
        """See ports.Records."""
        data = self._read(self._flags)
        return {flag: float(data[flag]) for flag in get_args(Flag) if isinstance(data.get(flag), (int, float))}

    def set_flag(self, flag: Flag, moment: float) -> None:
        """See ports.Records."""
        with self._locked():
            self._write(self._flags, {flag: moment} | self.flags())

    def clear_flag(self, flag: Flag) -> None:
        """See ports.Records."""
        with self._locked():
            flags = self.flags()
            if flags.pop(flag, None) is not None:
                self._write(self._flags, flags)

    def replacement(self) -> Replacement | None:
        """See ports.Records."""
        data = self._read(self._replacement)
        try:
            return Replacement(
                str(data["reason"]), str(data["status"]), until=float(data["until"]), asked=float(data["asked"])
            )
        except (LookupError, TypeError, ValueError):
            return None

    def write_replacement(self, replacement: Replacement | None) -> None:
        """See ports.Records."""
        self._write(self._replacement, {} if replacement is None else asdict(replacement))

    def control(self) -> Control:
        """See ports.Records."""
        data = _content(self._control)
        try:
            control = Control(**{**data, "handled": tuple(data.get("handled", ()))})
        except TypeError:
            return Control()
        return control if _is_valid(control) else Control()

    def write_control(self, control: Control) -> None:
        """See ports.Records."""
        replace(self._control, json.dumps(asdict(control)) + "\n", PUBLIC)

    def wish(self) -> str | None:
        """See ports.Records."""
        text = self._read(self._wish).get("wish")
        return text if isinstance(text, str) else None

    def write_wish(self, text: str) -> None:
        """See ports.Records."""
        self._write(self._wish, {"wish": text})

    def _read(self, path: Path) -> dict[str, Any]:
        """The file's content, or {} if there is no such file, another boot wrote it, or it is not valid."""
        data = _content(path)
        return data if data.get("boot_id") == self._boot_id else {}

    def _write(self, path: Path, value: Mapping[Any, Any]) -> None:
        replace(path, json.dumps({**value, "boot_id": self._boot_id}) + "\n", PUBLIC)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the flags.

        A change takes milliseconds, and the kernel releases the lock of a killed process.
        """
        try:
            self._flags.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._flags.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise Unavailable(f"lock {self._flags.name}", error_name(problem)) from None
        try:
            _acquire(lock, self._flags.name)
            yield
        finally:
            os.close(lock)


def _content(path: Path) -> dict[str, Any]:
    """The object in a file, {} if there is none. Raises Unavailable."""
    try:
        data = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    except OSError as problem:
        raise Unavailable(f"read {path.name}", error_name(problem)) from None
    return data if isinstance(data, dict) else {}


def _is_valid(control: Control) -> bool:
    """Whether its values have the types of their fields."""
    values = asdict(control)
    flags, handled, phase = ("held", "restart", "unverified"), values.pop("handled"), values["phase"]
    texts = [value for name, value in values.items() if name not in flags]
    return (
        all(isinstance(each, str) for each in (*texts, *handled))
        and all(isinstance(values[name], bool) for name in flags)
        and phase in get_args(Phase)
    )


def _acquire(lock: int, name: str) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable(f"lock {name}", "Timeout") from None
            time.sleep(0.002)
