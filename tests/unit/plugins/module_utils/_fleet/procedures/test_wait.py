# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting, on a clock that moves only by sleeping."""

from __future__ import annotations

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.procedures.wait import Progress, until_done


class Time:
    """A clock of the test's own; `slow` seconds pass during each check."""

    def __init__(self, slow: float = 0) -> None:
        self.now, self.slow = 1000.0, slow
        self.slept: list[float] = []
        self.logged: list[str] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds

    def until(self, checks: list[Progress], timeout: float) -> Progress:
        """until_done over these checks; the last one stays."""
        left = iter(checks)
        last = checks[-1]

        def check() -> Progress:
            self.now += self.slow
            return next(left, last)

        return until_done(check, timeout, lambda: self.now, self.sleep, self.logged.append)


def test_what_is_done_at_once_takes_no_time() -> None:
    time = Time()
    assert time.until([Progress(True, "empty")], 10) == Progress(True, "empty")
    assert time.slept == []
    assert time.logged == ["empty (0 of 10 s)"]


def test_each_summary_is_logged_once() -> None:
    time = Time()
    found = time.until(
        [Progress(False, "2 left"), Progress(False, "2 left"), Progress(False, "1 left"), Progress(True, "empty")], 60
    )
    assert found.done
    assert time.logged == ["2 left (0 of 60 s)", "1 left (4 of 60 s)", "empty (6 of 60 s)"]


def test_an_unchanged_summary_is_logged_every_half_minute() -> None:
    time = Time()
    time.until([Progress(False, "1 left")], 100)
    assert time.logged == [f"1 left ({gone} of 100 s)" for gone in (0, 30, 60, 90)]


def test_the_limit_is_kept_to_the_second_and_the_last_look_returned() -> None:
    time = Time()
    assert time.until([Progress(False, "1 left")], 5) == Progress(False, "1 left")
    assert time.slept == [2, 2, 1]


def test_it_is_checked_once_even_without_any_time() -> None:
    time = Time()
    assert time.until([Progress(True, "empty")], 0).done
    assert time.slept == []


def test_slow_looks_count_as_waiting() -> None:
    time = Time(slow=4)
    time.until([Progress(False, "1 left")], 10)
    assert time.now - 1000 <= 10 + 4
