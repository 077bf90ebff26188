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
    kept.write_boot(RECORD)
    assert RunRecords(Paths(tmp_path), "this boot").boot() == RECORD


def test_the_first_mark_stays_until_it_is_taken_back(tmp_path: Path) -> None:
    kept = RunRecords(Paths(tmp_path), "this boot")
    kept.set_flag("terminated", 5.0)
    kept.set_flag("terminated", 9.0)
    kept.set_flag("requested", 7.5)
    assert kept.flags() == {"terminated": 5.0, "requested": 7.5}
    kept.clear_flag("terminated")
    kept.clear_flag("spot")
    kept.set_flag("terminated", 9.0)
    assert kept.flags() == {"terminated": 9.0, "requested": 7.5}


def test_what_another_boot_wrote_is_not_seen(tmp_path: Path) -> None:
    """Its moments are of a clock that began anew."""
    before = RunRecords(Paths(tmp_path), "the boot before")
    before.set_flag("terminated", 5.0)
    before.write_boot(RECORD)
    now = RunRecords(Paths(tmp_path), "this boot")
    assert now.flags() == {}
    assert now.boot() is None
    now.set_flag("requested", 1.0)
    assert now.flags() == {"requested": 1.0}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"boot_id": "this boot"}', '{"boot_id": "this boot", "state": "odd"}', "\udcff"]
)
def test_what_cannot_be_understood_counts_as_nothing(tmp_path: Path, text: str) -> None:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    for file in (paths.boot_record, paths.flags):
        file.write_bytes(text.encode(errors="surrogateescape"))
    kept = RunRecords(paths, "this boot")
    assert kept.boot() is None
    assert kept.flags() == {}


def test_two_processes_that_set_marks_at_once_lose_none(tmp_path: Path) -> None:
    setting = (
        f"import sys, pathlib, time; sys.path.insert(0, {str(SOURCES)!r})\n"
        "from ghosthands_agent.paths import Paths\n"
        "from ghosthands_agent.records import RunRecords\n"
        f"kept = RunRecords(Paths(pathlib.Path({str(tmp_path)!r})), 'this boot')\n"
        "for n in range(60): kept.clear_flag(sys.argv[1]); kept.set_flag(sys.argv[1], n); time.sleep(0.005)\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", setting, mark]) for mark in ("terminated", "requested")]
    assert [process.wait(60) for process in both] == [0, 0]
    assert RunRecords(Paths(tmp_path), "this boot").flags() == {"terminated": 59.0, "requested": 59.0}


def test_a_lock_that_nobody_gives_back_is_given_up(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    kept = RunRecords(paths, "this boot")
    kept.set_flag("spot", 1.0)
    with paths.flags.with_suffix(".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match=r"lock flags\.json: Timeout"):
            kept.set_flag("requested", 2.0)
    kept.set_flag("requested", 2.0)


def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in the way")
    kept = RunRecords(Paths(tmp_path), "this boot")
    with pytest.raises(Unavailable):
        kept.set_flag("requested", 1.0)
    with pytest.raises(Unavailable):
        kept.write_boot(RECORD)


def test_the_boot_is_told_by_the_kernel(tmp_path: Path) -> None:
    RunRecords(Paths(tmp_path)).set_flag("requested", 1.0)
    assert json.loads(Paths(tmp_path).flags.read_text())["boot_id"] == records.BOOT_ID.read_text().strip()
