"""The agent's log: one line per step, `event=... key=value`, to stderr and so to the journal."""

from __future__ import annotations

import json
import os
import re
import select

from .ports import Level, Scalar

PRIORITIES = {"info": 6, "warning": 4, "error": 3}  # syslog's, sd-daemon(3)
#: A writable pipe takes this much at once (PIPE_BUF: 4096 on Linux, at least 512 in POSIX), so a line never blocks.
LINE_BYTES = 4096
BARE = re.compile(r"[A-Za-z0-9_./:@+-]+")


class StderrJournal:
    """Lines to a file descriptor.

    Args:
        descriptor: where they go.
        priorities: begin each line with its syslog priority, such as `<6>`, for journald.
    """

    def __init__(self, descriptor: int = 2, *, priorities: bool = True) -> None:
        self._descriptor, self._priorities = descriptor, priorities

    def step(self, event: str, level: Level = "info", **fields: Scalar) -> None:
        """See ports.Journal."""
        text = line(event, **fields)
        text = f"<{PRIORITIES[level]}>{text}" if self._priorities else text
        try:
            if select.select([], [self._descriptor], [], 0)[1]:
                os.write(self._descriptor, text.encode(errors="replace")[: LINE_BYTES - 1] + b"\n")
        except OSError:
            pass  # nobody reads the log: the agent goes on


def line(event: str, **fields: Scalar) -> str:
    """`event=drained seconds=12.5 reason="exit 1"`: words unquoted, anything else as JSON; always one line."""
    return " ".join(f"{key}={_value(value)}" for key, value in {"event": event, **fields}.items())


def _value(value: Scalar) -> str:
    if isinstance(value, str):
        return value if BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(round(value, 3) if isinstance(value, float) else value)
