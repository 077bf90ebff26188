"""The verdict on a ledger, and that the ledger in a file is the ledger in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from schedules.ledger import Entry, Job, Ledger, MemoryLedger, judge
from schedules.shared_ledger import SharedLedger


def history(*lines: tuple[float, str, str, str]) -> list[Entry]:
    return [Entry(0, "put", "a"), *(Entry(at, what, "a", worker, reason) for at, what, worker, reason in lines)]  # type: ignore[arg-type]


def test_a_job_that_its_process_left_for_no_good_reason_is_cut_and_if_it_never_comes_back_lost() -> None:
    left = history((1, "take", "w", ""), (5, "leave", "w", "scale-in"))
    assert (judge(left, 9).lost, judge(left, 9).cut) == ({"a": "scale-in"}, {"a": "scale-in"})
    back = judge([*left, Entry(7, "recover", "a"), Entry(8, "take", "a", "v"), Entry(9, "finish", "a", "v")], 9)
    assert (back.lost, back.cut, back.finished) == ({}, {"a": "scale-in"}, 1)


def test_what_no_drain_can_prevent_is_an_interruption() -> None:
    for reason in ("zone lost", "spot", "worker crashed", "hard limit"):
        verdict = judge(history((1, "take", "w", ""), (5, "leave", "w", reason)), 9)
        assert (verdict.interrupted, verdict.lost, verdict.cut) == ({"a": reason}, {}, {})


def test_a_job_handed_back_is_neither_lost_nor_cut() -> None:
    verdict = judge(history((1, "take", "w", ""), (5, "release", "w", ""), (6, "leave", "w", "whatever")), 9)
    assert (verdict.lost, verdict.cut, verdict.interrupted, verdict.released) == ({}, {}, {}, 1)


def test_two_processes_inside_one_job_are_counted_by_the_time_they_shared() -> None:
    lines = history(
        (1, "take", "w", ""),
        (5, "release", "w", ""),
        (6, "take", "v", ""),
        (16, "leave", "w", "stopped"),
        (50, "finish", "v", ""),
    )
    assert judge(lines, 60, bound=30).doubled == {}
    assert judge(lines, 60, bound=9).doubled == {"a": 10}


def test_two_processes_that_are_still_inside_at_the_end_count_until_then() -> None:
    assert judge(history((1, "take", "w", ""), (5, "release", "w", ""), (6, "take", "v", "")), 60).doubled == {"a": 54}


def run_through(put: Callable[[Job, float], None], ledger: Ledger) -> None:
    """Everything that a worker does to a ledger."""
    for number in range(4):
        put(Job(f"job-{number}", 30.0 + number), float(number))
    assert ledger.take("w", 10) == Job("job-0", 30.0)
    assert ledger.take("v", 11) == Job("job-1", 31.0)
    ledger.finish("w", "job-0", 12)
    ledger.release("v", 13)
    ledger.leave("v", "job-1", "SIGTERM", 14)
    assert ledger.take("w", 15) == Job("job-2", 32.0)
    ledger.leave("w", "job-2", "worker crashed", 16)
    ledger.recover(100, 120)
    assert ledger.take("u", 101) == Job("job-3", 33.0)
    ledger.finish("u", "job-3", 102)
    assert ledger.take("u", 103) == Job("job-1", 31.0)
    ledger.finish("u", "job-1", 104)
    assert not ledger.waiting()
    ledger.recover(200, 120)
    assert ledger.waiting()
    assert ledger.take("u", 201) == Job("job-2", 32.0)
    assert ledger.take("u", 202) is None


def test_the_ledger_in_a_file_is_the_ledger_in_memory(tmp_path: Path) -> None:
    memory, shared = MemoryLedger(), SharedLedger(tmp_path / "ledger")
    run_through(memory.put, memory)
    run_through(shared.put, shared)
    assert shared.entries() == memory.entries
    assert SharedLedger(tmp_path / "ledger").entries() == memory.entries


def test_a_killed_process_is_buried_by_whoever_knows(tmp_path: Path) -> None:
    ledger = SharedLedger(tmp_path / "ledger")
    ledger.put(Job("a", 1), 0)
    ledger.put(Job("b", 1), 0)
    assert ledger.take("w", 1)
    ledger.finish("w", "a", 2)
    assert ledger.take("w", 3)
    ledger.bury("w", "worker crashed", 4)
    ledger.bury("w", "worker crashed", 5)
    assert ledger.entries()[-1] == Entry(4, "leave", "b", "w", "worker crashed")
    assert judge(ledger.entries(), 5).interrupted == {"b": "worker crashed"}


@pytest.mark.parametrize("sort", ["memory", "shared"])
def test_a_process_that_goes_on_after_handing_back_still_writes_its_job_finished(sort: str, tmp_path: Path) -> None:
    memory, shared = MemoryLedger(), SharedLedger(tmp_path / "ledger")
    ledger: Ledger = memory if sort == "memory" else shared
    (memory if sort == "memory" else shared).put(Job("a", 1), 0)
    assert ledger.take("w", 1)
    ledger.release("w", 2)
    ledger.finish("w", "a", 3)
    assert not ledger.waiting()
    assert ledger.take("v", 4) is None
