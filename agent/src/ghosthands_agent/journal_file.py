"""Copy the journal entries about the worker's host into a file that a log shipper can follow.

amazon-cloudwatch-agent reads the journal itself from 1.300070 on. Amazon Linux 2023's package is older (1.300069 in
release 2023.12.20260817): its schema refuses the key, and with it the whole configuration. And it would never read
entries from before its own start, above all those of the boot.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

UNITS = (
    "ghosthands-boot.service",
    "ghosthands-watch.service",
    "ghosthands-stop.service",
    "ghosthands-registry-login.service",
    "ghosthands-disk-guard.service",
    "docker.service",
    "xvfb.service",
)
LEVELS = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")  # syslog's priorities, 0 to 7
KERNEL_PRIORITIES = ("0", "1", "2", "3", "4")  # the kernel reports that it kills a process for memory at 4 or worse
#: The file is truncated at this size, not renamed: the shipper reads a truncated file from its beginning.
LIMIT_BYTES = 10 * 1024 * 1024
CHUNK_BYTES = 65536
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def matches() -> list[str]:
    """journalctl's matches for entries of the units, systemd's entries about them, and the kernel's warnings."""
    of_units = [word for unit in UNITS for word in (f"_SYSTEMD_UNIT={unit}", "+", "_PID=1", f"UNIT={unit}", "+")]
    return [*of_units, "_TRANSPORT=kernel", *(f"PRIORITY={level}" for level in KERNEL_PRIORITIES)]


def journalctl(cursor: str) -> list[str]:
    """The command that prints entries as they appear, a JSON object each.

    :param cursor: print the entries after it; if empty, all of this boot.
    """
    since = f"--after-cursor={cursor}" if cursor else "--boot"
    fields = "--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,UNIT"
    return ["journalctl", "--follow", "--no-tail", "--quiet", "--all", "--output=json", fields, since, *matches()]


def line(entry: Mapping[str, Any]) -> str:
    """An entry as one line, in UTC: `2026-11-24T02:15:26.135Z ghosthands-boot.service info event=...`."""
    when = EPOCH + timedelta(microseconds=int(entry["__REALTIME_TIMESTAMP"]))
    source = entry.get("UNIT") or entry.get("_SYSTEMD_UNIT") or entry.get("SYSLOG_IDENTIFIER") or "?"
    level = LEVELS[int(entry.get("PRIORITY", 6))]
    stamp = when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03}Z"
    return f"{stamp} {source} {level} " + text(entry.get("MESSAGE")).rstrip("\n").replace("\n", "\\n") + "\n"


def text(message: Any) -> str:
    """A message as text. If it is not UTF-8 or has control characters, journalctl prints a list of its bytes."""
    return bytes(message).decode(errors="replace") if isinstance(message, list) else str(message or "")


def entries(chunks: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    """Complete entries, as many at a time as each chunk completes."""
    remaining = b""
    for chunk in chunks:
        *whole, remaining = (remaining + chunk).split(b"\n")
        if whole:
            yield [json.loads(one) for one in whole]


def append(file: Path, lines: str, limit: int = LIMIT_BYTES) -> None:
    """Append lines to the file, or replace its content if it would become longer than `limit` bytes."""
    content = lines.encode(errors="replace")
    too_long = file.exists() and file.stat().st_size + len(content) > limit
    with file.open("wb" if too_long else "ab") as opened:
        opened.write(content)


def follow(chunks: Iterable[bytes], file: Path, cursor_file: Path) -> None:
    """Append each batch of entries, then save its cursor, from which the next start goes on.

    A crash between the two writes entries twice, rather than never.
    """
    for batch in entries(chunks):
        append(file, "".join(map(line, batch)))
        new = cursor_file.with_suffix(".new")
        new.write_text(batch[-1]["__CURSOR"])
        new.rename(cursor_file)


def main(file: Path, cursor_file: Path) -> int:
    """Follow the journal until journalctl exits, which is a fault or a signal; its exit code, or 1 for 0."""
    cursor = cursor_file.read_text() if cursor_file.exists() else ""
    with subprocess.Popen(journalctl(cursor), stdout=subprocess.PIPE) as reader:
        assert reader.stdout
        descriptor = reader.stdout.fileno()
        follow(iter(lambda: os.read(descriptor, CHUNK_BYTES), b""), file, cursor_file)
    return reader.returncode or 1
