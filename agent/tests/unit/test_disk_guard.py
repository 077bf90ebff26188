"""What the disk guard may remove, when, and what it remembers."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from ghosthands_agent.disk_guard import History, Image, fullness, make_room, removable

OLD, NEW, NEWEST = (
    Image("sha256:1", "2026-01-01T00:00:00Z"),
    Image("sha256:2", "2026-02-01T00:00:00Z"),
    Image("sha256:3", "2026-03-01T00:00:00Z"),
)


def test_the_oldest_image_goes_first() -> None:
    assert removable([NEWEST, OLD, NEW], {NEW.id}, {OLD.id, NEW.id, NEWEST.id}) == [OLD, NEWEST]


def test_an_image_pulled_since_the_last_run_is_kept() -> None:
    assert removable([OLD, NEWEST], set(), {OLD.id}) == [OLD]


def test_the_running_and_the_previous_image_are_remembered() -> None:
    history = History().seen({"a"}).seen({"b"})
    assert (history.running, history.previous) == (("b",), ("a",))


@pytest.mark.parametrize("running", [set(), {"b"}])
def test_a_stopped_worker_and_one_that_still_runs_change_nothing(running: set[str]) -> None:
    history = History(("b",), ("a",))
    assert history.seen(running) == history


def test_going_back_to_the_previous_image_keeps_the_one_that_was_left() -> None:
    assert History(("b",), ("a",)).seen({"a"}) == History(("a",), ("b",))


def disk(blocks: int, free: int, available: int, inodes: int, inodes_free: int) -> os.statvfs_result:
    return os.statvfs_result((4096, 4096, blocks, free, available, inodes, inodes_free, inodes_free, 0, 255))


@pytest.mark.parametrize(
    ("found", "percent"),
    [
        (disk(100, 40, 40, 100, 90), 60),
        (disk(100, 90, 90, 100, 5), 95),
        (disk(100, 20, 10, 100, 90), 80 / 90 * 100),  # root's reserve counts for nobody, as df has it
        (disk(100, 40, 40, 0, 0), 60),  # a file system without a fixed number of inodes
        (disk(0, 0, 0, 0, 0), 0),
    ],
)
def test_the_fuller_of_bytes_and_inodes_counts(found: os.statvfs_result, percent: float) -> None:
    assert fullness(found) == pytest.approx(percent)


def steps(full: list[float], done: list[int]) -> list[Callable[[], None]]:
    def step(number: int, after: float) -> Callable[[], None]:
        def take() -> None:
            done.append(number)
            full[0] = after

        return take

    return [step(1, 90.0), step(2, 80.0), step(3, 70.0)]


@pytest.mark.parametrize(("limit", "taken", "made"), [(99, [], True), (85, [1, 2], True), (50, [1, 2, 3], False)])
def test_no_more_is_removed_than_needed(limit: float, taken: list[int], made: bool) -> None:
    full, done = [95.0], list[int]()
    assert make_room(lambda: full[0], limit, steps(full, done)) == made
    assert done == taken
