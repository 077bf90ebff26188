# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting, with a limit, with progress, with the clock handed in. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

TELL_AGAIN_SECONDS = 30.0  # an unchanged state is told this often, so that nobody takes a long drain for a hang


class Look(NamedTuple):
    """What one look found."""

    done: bool
    says: str


def until_done(
    look: Callable[[], Look],
    timeout: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    tell: Callable[[str], None],
    every: float = 2.0,
) -> Look:
    """Look every `every` seconds until it is done or `timeout` seconds are over; the last look, done or not.

    Tells each state once, and again every half minute, with the seconds gone and allowed.
    """
    began = clock()
    told, told_at = "", began
    while True:
        found, gone = look(), clock() - began
        if found.says != told or clock() - told_at >= TELL_AGAIN_SECONDS:
            tell(f"{found.says} ({gone:.0f} of {timeout:.0f} s)")
            told, told_at = found.says, clock()
        if found.done or gone >= timeout:
            return found
        sleep(min(every, max(0.0, timeout - gone)))
