"""Records, which survive a restart of the agent and not a boot of the system."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ghosthands_agent import records
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import BootRecord, Control, Unavailable
from ghosthands_agent.records import RunRecords

SOURCES = Path(records.__file__).parents[1]
RECORD = BootRecord(
    "failed",
    "pull",
    "docker pull: exit 1",
    2,
    1_700_000_000.0,
    {"facts": 0.1, "pull": 3.5},
    "registry/name:tag",
    "attached",
)


def test_a_boot_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    run_records = RunRecords(Paths(tmp_path), "this boot")
    assert run_records.boot() is None
    run_records.write_boot(RECORD)
    assert RunRecords(Paths(tmp_path), "this boot").boot() == RECORD


def test_a_boot_record_of_an_agent_before_the_guard_is_read(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    RunRecords(paths, "this boot").write_boot(RECORD)
    written = json.loads(paths.boot_record.read_text())
    del written["guard"]
    paths.boot_record.write_text(json.dumps(written))
    assert RunRecords(paths, "this boot").boot() == replace(RECORD, guard="")


def test_a_flag_keeps_its_first_time_until_it_is_cleared(tmp_path: Path) -> None:
    run_records = RunRecords(Paths(tmp_path), "this boot")
    run_records.set_flag("terminated", 5.0)
    run_records.set_flag("terminated", 9.0)
    run_records.set_flag("requested", 7.5)
    assert run_records.flags() == {"terminated": 5.0, "requested": 7.5}
    run_records.clear_flag("terminated")
    run_records.clear_flag("spot")
    run_records.set_flag("terminated", 9.0)
    assert run_records.flags() == {"terminated": 9.0, "requested": 7.5}


def test_records_of_another_boot_are_ignored(tmp_path: Path) -> None:
    """Its times are of another clock."""
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
def test_unreadable_records_are_ignored(tmp_path: Path, text: str) -> None:
    paths = Paths(tmp_path)
    paths.run.mkdir(parents=True)
    for file in (paths.boot_record, paths.flags):
        file.write_bytes(text.encode(errors="surrogateescape"))
    run_records = RunRecords(paths, "this boot")
    assert run_records.boot() is None
    assert run_records.flags() == {}


def test_two_processes_that_set_flags_at_once_lose_none(tmp_path: Path) -> None:
    setting = (
        f"import sys, pathlib, time; sys.path.insert(0, {str(SOURCES)!r})\n"
        "from ghosthands_agent.paths import Paths\n"
        "from ghosthands_agent.records import RunRecords\n"
        f"run_records = RunRecords(Paths(pathlib.Path({str(tmp_path)!r})), 'this boot')\n"
        "for n in range(60):\n"
        "    run_records.clear_flag(sys.argv[1]); run_records.set_flag(sys.argv[1], n); time.sleep(0.005)\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", setting, flag]) for flag in ("terminated", "requested")]
    assert [process.wait(60) for process in both] == [0, 0]
    assert RunRecords(Paths(tmp_path), "this boot").flags() == {"terminated": 59.0, "requested": 59.0}


def test_a_lock_that_is_never_released_is_a_timeout(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    run_records = RunRecords(paths, "this boot")
    run_records.set_flag("spot", 1.0)
    with paths.flags.with_suffix(".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match=r"lock flags\.json: Timeout"):
            run_records.set_flag("requested", 2.0)
    run_records.set_flag("requested", 2.0)


def test_a_directory_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file in the way")
    run_records = RunRecords(Paths(tmp_path), "this boot")
    with pytest.raises(Unavailable):
        run_records.set_flag("requested", 1.0)
    with pytest.raises(Unavailable):
        run_records.write_boot(RECORD)


def test_the_boot_id_is_the_kernels(tmp_path: Path) -> None:
    RunRecords(Paths(tmp_path)).set_flag("requested", 1.0)
    assert json.loads(Paths(tmp_path).flags.read_text())["boot_id"] == records.BOOT_ID.read_text().strip()


CONTROL = Control(
    "i-0123456789abcdef0",
    held=True,
    image="registry/name@sha256:1",
    template_image="registry/name:1",
    wish="renew@00000001",
    phase="switch",
    answer="renew@00000001 begun",
    handled=("00000000", "00000001"),
)


def test_the_record_of_wishes_survives_a_boot_of_the_system_and_a_wish_on_the_host_does_not(tmp_path: Path) -> None:
    before, after = RunRecords(Paths(tmp_path), "this boot"), RunRecords(Paths(tmp_path), "the next boot")
    assert (before.control(), before.wish()) == (Control(), None)
    before.write_control(CONTROL)
    before.write_wish("hold@00000002")
    assert (before.control(), before.wish()) == (CONTROL, "hold@00000002")
    assert (after.control(), after.wish()) == (CONTROL, None)


@pytest.mark.parametrize(
    "change",
    [{"held": "yes"}, {"phase": "other"}, {"handled": [1]}, {"unknown": 1}, {"wish": None}, {"instance": 1}],
    ids=str,
)
def test_a_record_of_wishes_that_is_not_valid_is_empty(tmp_path: Path, change: dict[str, object]) -> None:
    records, paths = RunRecords(Paths(tmp_path), "this boot"), Paths(tmp_path)
    records.write_control(CONTROL)
    paths.control.write_text(json.dumps(json.loads(paths.control.read_text()) | change))
    assert records.control() == Control()
