"""`journal_file.py FILE`: what the journal says of the worker's host, as lines of a file that a log shipper can follow.

amazon-cloudwatch-agent reads the journal itself from 1.300070 on, newer than Amazon Linux 2023's package (1.300069 in release 2023.12.20260817), whose schema
refuses the key and all configuration with it; and what was said before the shipper starts, the boot above all, it would never read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
WORST = ("0", "1", "2", "3", "4")  # of the kernel, which says at 4 or worse that it ends a process for want of memory
#: The file begins anew when it is this long. Cut off where it is, not renamed: the shipper goes on with such a file from its beginning.
LIMIT_BYTES = 10 * 1024 * 1024
CHUNK_BYTES = 65536
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def matches() -> list[str]:
    """journalctl's words for: what the units say, what systemd says of them, and what the kernel warns of."""
    of_units = [word for unit in UNITS for word in (f"_SYSTEMD_UNIT={unit}", "+", "_PID=1", f"UNIT={unit}", "+")]
    return [*of_units, "_TRANSPORT=kernel", *(f"PRIORITY={level}" for level in WORST)]


def journalctl(cursor: str) -> list[str]:
    """The command that prints entries as they come, a JSON object each: those after the cursor, or all of this boot where there is none yet."""
    since = f"--after-cursor={cursor}" if cursor else "--boot"
    fields = "--output-fields=MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,UNIT"
    return ["journalctl", "--follow", "--no-tail", "--quiet", "--all", "--output=json", fields, since, *matches()]


def line(entry: Mapping[str, Any]) -> str:
    """`2026-11-24T02:15:26.135Z ghosthands-boot.service info event=...`: one line, in UTC."""
    when = EPOCH + timedelta(microseconds=int(entry["__REALTIME_TIMESTAMP"]))
    who = entry.get("UNIT") or entry.get("_SYSTEMD_UNIT") or entry.get("SYSLOG_IDENTIFIER") or "?"
    level = LEVELS[int(entry.get("PRIORITY", 6))]
    stamp = when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03}Z"
    return f"{stamp} {who} {level} " + text(entry.get("MESSAGE")).rstrip("\n").replace("\n", "\\n") + "\n"


def text(message: Any) -> str:
    """A message as text; where it is not UTF-8, or has control characters, the journal hands it out as a list of its bytes."""
    return bytes(message).decode(errors="replace") if isinstance(message, list) else str(message or "")


def entries(chunks: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    """Whole entries, as many at a time as have come."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        if whole:
            yield [json.loads(one) for one in whole]


def append(file: Path, lines: str, limit: int = LIMIT_BYTES) -> None:
    """Add lines to the file; where it would become longer than `limit` bytes they begin it anew."""
    said = lines.encode(errors="replace")
    too_long = file.exists() and file.stat().st_size + len(said) > limit
    with file.open("wb" if too_long else "ab") as opened:
        opened.write(said)


def follow(chunks: Iterable[bytes], file: Path, memory: Path) -> None:
    """Write what comes, then where that ended: started again, it goes on there, and what a crash came between is written twice rather than never."""
    for batch in entries(chunks):
        append(file, "".join(map(line, batch)))
        new = memory.with_suffix(".new")
        new.write_text(batch[-1]["__CURSOR"])
        new.rename(memory)


def main(file: Path, memory: Path) -> int:
    """Follow the journal until journalctl ends, which it does only by a fault or at a signal; its exit code."""
    cursor = memory.read_text() if memory.exists() else ""
    with subprocess.Popen(journalctl(cursor), stdout=subprocess.PIPE) as reader:
        assert reader.stdout
        descriptor = reader.stdout.fileno()
        follow(iter(lambda: os.read(descriptor, CHUNK_BYTES), b""), file, memory)
    return reader.returncode or 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(os.environ["STATE_DIRECTORY"]) / "cursor"))
