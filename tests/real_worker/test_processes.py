"""Nothing that a run starts outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from localcloud.testing import wait_until

from tools.real_worker.processes import RunFolder, remove_leftovers

ROOT = Path(__file__).parents[2]
RUN = """
import sys, time
from tools.real_worker.processes import RunFolder
run = RunFolder()
print(run.path, run.start("child", ["sleep", "600"]).pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this process and its children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_the_end_of_a_run_ends_its_processes_and_removes_its_folder(temporary: Path) -> None:
    run = RunFolder()
    child = run.start("child", ["sleep", "600"])
    assert child.pid != os.getpgid(0)
    assert os.getpgid(child.pid) == child.pid
    run.close()
    assert not runs(child.pid)
    assert list(temporary.iterdir()) == []


def test_logs_are_kept_on_request(temporary: Path) -> None:
    run = RunFolder(keep=True)
    run.start("child", ["echo", "hello"]).wait()
    run.close()
    assert (run.path / "child.log").read_text() == "hello\n"


def test_the_next_run_ends_what_a_killed_one_left(temporary: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    folder, child = owner.stdout.readline().split()
    assert remove_leftovers() == []  # it runs
    owner.send_signal(signal.SIGKILL)
    owner.communicate()
    assert runs(int(child))
    assert remove_leftovers() == [Path(folder)]
    wait_until(lambda: not runs(int(child)))
    assert not Path(folder).exists()
