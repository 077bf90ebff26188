"""The journal as a file: which entries, in what words, never longer than its limit, never from the beginning twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ghosthands_agent import journal_file
from ghosthands_agent.journal_file import UNITS, append, entries, follow, journalctl, line, main, matches


def entry(message: Any, cursor: str = "c", **fields: str) -> dict[str, Any]:
    return {"__CURSOR": cursor, "__REALTIME_TIMESTAMP": "1795486526135999", "MESSAGE": message, **fields}


def chunk(*said: dict[str, Any]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in said).encode()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"_SYSTEMD_UNIT": "docker.service", "SYSLOG_IDENTIFIER": "dockerd", "PRIORITY": "4"},
            "docker.service warning",
        ),
        (
            {"_SYSTEMD_UNIT": "init.scope", "UNIT": "xvfb.service", "PRIORITY": "6"},
            "xvfb.service info",
        ),  # systemd, of a unit
        ({"SYSLOG_IDENTIFIER": "kernel", "PRIORITY": "3"}, "kernel err"),
        ({}, "? info"),
    ],
)
def test_a_line_has_time_unit_priority_and_message(fields: dict[str, str], words: str) -> None:
    assert line(entry("it is so", **fields)) == f"2026-11-24T02:15:26.135Z {words} it is so\n"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("one\ntwo\n", "one\\ntwo"),
        (list(b"\x1b[1mbold \xff"), "\x1b[1mbold \N{REPLACEMENT CHARACTER}"),
        (None, ""),
        ("ü", "ü"),
    ],
)
def test_any_message_becomes_one_line(message: Any, said: str) -> None:
    assert line(entry(message)).split(" info ")[1] == said + "\n"


def test_the_messages_of_and_about_units_and_warnings_of_the_kernel_are_selected() -> None:
    groups = " ".join(matches()).split(" + ")
    assert groups == [
        *(group for unit in UNITS for group in (f"_SYSTEMD_UNIT={unit}", f"_PID=1 UNIT={unit}")),
        "_TRANSPORT=kernel PRIORITY=0 PRIORITY=1 PRIORITY=2 PRIORITY=3 PRIORITY=4",
    ]


def test_a_first_start_reads_all_of_this_boot_and_a_later_one_goes_on() -> None:
    assert "--boot" in journalctl("")
    assert "--after-cursor=c1" in journalctl("c1")
    assert "--boot" not in journalctl("c1")


def test_entries_that_arrive_in_pieces_are_joined() -> None:
    said = chunk(entry("a"), entry("b"), entry("c"))
    assert [[one["MESSAGE"] for one in batch] for batch in entries([said[:5], said[5:-3], said[-3:]])] == [
        ["a", "b"],
        ["c"],
    ]


def test_a_file_that_is_too_long_is_truncated_in_place(tmp_path: Path) -> None:
    file = tmp_path / "journal.log"
    append(file, "one\n", limit=8)
    append(file, "two\n", limit=8)
    before = file.stat().st_ino
    assert file.read_text() == "one\ntwo\n"
    append(file, "three\n", limit=8)
    assert (file.read_text(), file.stat().st_ino) == ("three\n", before)


def test_the_cursor_is_written_after_the_lines(tmp_path: Path) -> None:
    file, memory = tmp_path / "journal.log", tmp_path / "cursor"
    follow([chunk(entry("a", "c1"), entry("b", "c2"))], file, memory)
    assert (len(file.read_text().splitlines()), memory.read_text()) == (2, "c2")
    with pytest.raises(IsADirectoryError):
        follow([chunk(entry("c", "c3"))], tmp_path, memory)
    assert memory.read_text() == "c2"


@pytest.mark.parametrize(("code", "ended"), [(0, 1), (3, 3)])
def test_a_journalctl_that_ends_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, ended: int
) -> None:
    (tmp_path / "said").write_bytes(chunk(entry("a", "c1")))
    program = f"cat {tmp_path}/said; exit {code}"
    monkeypatch.setattr(journal_file, "journalctl", lambda cursor: ["sh", "-c", f"[ '{cursor}' = '' ] && {program}"])
    assert main(tmp_path / "journal.log", tmp_path / "cursor") == ended
    assert (tmp_path / "journal.log").read_text().endswith("info a\n")
    assert (tmp_path / "cursor").read_text() == "c1"
