"""What outlives the agent and not the boot."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest
from ghosthands_agent import records
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import BootRecord, Unavailable
from ghosthands_agent.records import RunRecords

SOURCES = Path(records.__file__).parents[1]
RECORD = BootRecord(
    "failed", "pull", "docker pull: exit 1", 2, 1_700_000_000.0, {"facts": 0.1, "pull": 3.5}, "registry/name:tag"
)


def test_a_boot_record_comes_back(tmp_path: Path) -> None:
    kept = RunRecords(Paths(tmp_path), "this boot")
    assert kept.boot() is None
    kept.keep_boot(RECORD)
    assert RunRecords(Paths(tmp_path), "this boot").boot() == RECORD


def test_the_first_mark_stays_until_it_is_taken_back(tmp_path: Path) -> None:
    kept = RunRecords(Paths(tmp_path), "this boot")
    kept.set_mark("terminated", 5.0)
    kept.set_mark("terminated", 9.0)
    kept.set_mark("asked", 7.5)
    assert kept.marks() == {"terminated": 5.0, "asked": 7.5}
    kept.clear_mark("terminated")
    kept.clear_mark("spot")
    kept.set_mark("terminated", 9.0)
    assert kept.marks() == {"terminated": 9.0, "asked": 7.5}


def test_what_another_boot_wrote_is_not_seen(tmp_path: Path) -> None:
    """Its moments are of a clock that began anew."""
    before = RunRecords(Paths(tmp_path), "the boot before")
    before.set_mark("terminated", 5.0)
    before.keep_boot(RECORD)
    now = RunRecords(Paths(tmp_path), "this boot")
    assert now.marks() == {}
    assert now.boot() is None
    now.set_mark("asked", 1.0)
    assert now.marks() == {"asked": 1.0}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"boot_id": "this boot"}', '{"boot_id": "this boot", "state": "odd"}', "\udcff"]
)
def test_what_cannot_be_understood_counts_as_nothing(tmp_path: Path, text: str) -> None:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    for file in (paths.boot_record, paths.marks):
        file.write_bytes(text.encode(errors="surrogateescape"))
    kept = RunRecords(paths, "this boot")
    assert kept.boot() is None
    assert kept.marks() == {}


def test_two_processes_that_set_marks_at_once_lose_none(tmp_path: Path) -> None:
    setting = (
        f"import sys, pathlib, time; sys.path.insert(0, {str(SOURCES)!r})\n"
        "from ghosthands_agent.paths import Paths\n"
        "from ghosthands_agent.records import RunRecords\n"
        f"kept = RunRecords(Paths(pathlib.Path({str(tmp_path)!r})), 'this boot')\n"
        "for n in range(60): kept.clear_mark(sys.argv[1]); kept.set_mark(sys.argv[1], n); time.sleep(0.005)\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", setting, mark]) for mark in ("terminated", "asked")]
    assert [process.wait(60) for process in both] == [0, 0]
    assert RunRecords(Paths(tmp_path), "this boot").marks() == {"terminated": 59.0, "asked": 59.0}


def test_a_lock_that_nobody_gives_back_is_given_up(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    kept = RunRecords(paths, "this boot")
    kept.set_mark("spot", 1.0)
    with paths.marks.with_suffix(".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match=r"lock marks\.json: Timeout"):
            kept.set_mark("asked", 2.0)
    kept.set_mark("asked", 2.0)


def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in the way")
    kept = RunRecords(Paths(tmp_path), "this boot")
    with pytest.raises(Unavailable):
        kept.set_mark("asked", 1.0)
    with pytest.raises(Unavailable):
        kept.keep_boot(RECORD)


def test_the_boot_is_told_by_the_kernel(tmp_path: Path) -> None:
    RunRecords(Paths(tmp_path)).set_mark("asked", 1.0)
    assert json.loads(Paths(tmp_path).marks.read_text())["boot_id"] == records.BOOT_ID.read_text().strip()
