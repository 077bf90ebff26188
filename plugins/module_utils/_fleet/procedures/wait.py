# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting with a time limit and a log of the progress; the clock is handed in. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

LOG_AGAIN_SECONDS = 30.0  # unchanged progress is logged this often, so that a long drain does not look like a hang


class Progress(NamedTuple):
    """How far something has come."""

    done: bool
    summary: str


def until_done(
    check: Callable[[], Progress],
    timeout: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    log: Callable[[str], None],
    every: float = 2.0,
) -> Progress:
    """Check every `every` seconds until it is done or `timeout` seconds are over; the last progress, done or not.

    Each new summary is logged, and again every half minute, with the seconds passed and allowed.
    """
    began = clock()
    logged, logged_at = "", began
    while True:
        progress, passed = check(), clock() - began
        if progress.summary != logged or clock() - logged_at >= LOG_AGAIN_SECONDS:
            log(f"{progress.summary} ({passed:.0f} of {timeout:.0f} s)")
            logged, logged_at = progress.summary, clock()
        if progress.done or passed >= timeout:
            return progress
        sleep(min(every, max(0.0, timeout - passed)))
