# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interrupts of a task that has something to say or to restore before it ends. Runs on the controller."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """The first interrupt raises KeyboardInterrupt.

    Ansible's own handler would end this process at once. Ansible sends up to three interrupts, a moment or seconds
    apart: the others are ignored, or what the task still does would stop half-way.
    """

    def interrupt(_number: int, _frame: Any) -> None:
        ignore_interrupts()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_interrupts() -> None:
    """By a handler that does nothing: Python complains about a pending signal that is then set to SIG_IGN."""
    for number in INTERRUPTS:
        signal.signal(number, lambda _number, _frame: None)
