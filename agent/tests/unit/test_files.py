"""Files written by rename."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ghosthands_agent import files
from ghosthands_agent.files import GUARD, PUBLIC, SECRET, ProjectFiles, replace
from ghosthands_agent.paths import Paths
from ghosthands_agent.ports import Unavailable
from localcloud.testing import wait_until

SOURCES = Path(files.__file__).parents[1]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def no_room(size: int = 0) -> Iterator[None]:
    """Let writes beyond `size` bytes fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_file_is_written_with_its_final_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert replace(tmp_path / ".env", "A=1\n", SECRET)
        assert replace(tmp_path / "boot.json", "{}\n", PUBLIC)
    finally:
        os.umask(before)
    assert (mode(tmp_path / ".env"), mode(tmp_path / "boot.json")) == (0o600, 0o644)


def test_a_file_with_the_same_content_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert replace(file, "A=1\n", SECRET)
    before = file.stat()
    assert not replace(file, "A=1\n", SECRET)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert replace(file, "A=2\n", SECRET)
    assert file.read_text() == "A=2\n"


def test_a_mode_that_is_too_open_is_corrected(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\n")
    file.chmod(0o644)
    assert replace(file, "A=1\n", SECRET)
    assert mode(file) == 0o600


def test_a_symlink_with_the_files_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("theirs")
    (tmp_path / ".env").symlink_to(target)
    assert replace(tmp_path / ".env", "A=1\n", SECRET)
    assert not (tmp_path / ".env").is_symlink()
    assert target.read_text() == "theirs"


def test_a_symlink_with_the_temporary_files_name_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("theirs")
    (tmp_path / ".env.new").symlink_to(target)
    replace(tmp_path / ".env", "A=1\n", SECRET)
    assert target.read_text() == "theirs"


def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    replace(file, "A=1\n", SECRET)
    with no_room(10), pytest.raises(Unavailable) as caught:
        replace(file, "CANARY=" + "x" * 100, SECRET)
    assert str(caught.value) == "write .env: EFBIG"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(".env", "A=1\n")]


def test_a_missing_directory_is_created_and_a_directory_instead_of_the_file_is_an_error(tmp_path: Path) -> None:
    assert replace(tmp_path / "a" / "b" / "file", "", PUBLIC)
    with pytest.raises(Unavailable, match="write a: EISDIR"):
        replace(tmp_path / "a", "", PUBLIC)


@root_only
def test_a_secret_file_has_the_owner_of_its_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 1000, 1001)
    replace(tmp_path / ".env", "A=1\n", SECRET)
    found = (tmp_path / ".env").stat()
    assert (found.st_uid, found.st_gid) == (1000, 1001)
    os.chown(tmp_path / ".env", 0, 0)
    assert replace(tmp_path / ".env", "A=1\n", SECRET), "an owner who cannot read it is corrected"
    assert (tmp_path / ".env").stat().st_uid == 1000


def test_the_temporary_file_of_a_killed_writer_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".env.new").write_text("half")
    replace(tmp_path / ".env", "A=1\n", SECRET)
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_a_reader_never_sees_a_half_written_file_while_writers_are_killed(tmp_path: Path) -> None:
    """A writer process is killed again and again; what can be read is always one of its complete texts."""
    file, over, bad = tmp_path / ".env", threading.Event(), list[str]()
    writing = (
        f"import sys, pathlib; sys.path.insert(0, {str(SOURCES)!r})\n"
        "from ghosthands_agent.files import SECRET, replace\n"
        "n = 0\n"
        f"while True: n += 1; replace(pathlib.Path({str(file)!r}), f'{{n}}\\n' * 20_000, SECRET)\n"
    )

    def read() -> None:
        while not over.is_set():
            with suppress(FileNotFoundError):
                lines = file.read_text().splitlines()
                if len(set(lines)) != 1:
                    bad.append(f"{len(lines)} lines")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for pause in (0.05, 0.11, 0.2, 0.07):
            file.unlink(missing_ok=True)
            writer = subprocess.Popen([sys.executable, "-c", writing])
            wait_until(file.exists)
            time.sleep(pause)
            writer.kill()
            writer.wait()
    finally:
        over.set()
        reader.join()
    assert bad == []


def test_the_files_of_boot_have_their_paths_and_modes(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    written = ProjectFiles(paths)
    assert written.write("environment", "A=1\n")
    assert written.write("override", "{}\n")
    assert written.write("log_shipper", "{}\n")
    assert (mode(paths.environment), mode(paths.override), mode(paths.log_shipper)) == (0o600, 0o644, 0o644)
    assert not written.write("environment", "A=1\n")


def test_the_workers_guard_may_be_read_by_everybody_whatever_the_umask(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    files, before = ProjectFiles(paths), os.umask(0o077)
    try:
        assert files.install_guard()
    finally:
        os.umask(before)
    assert paths.worker_guard.read_bytes() == GUARD.read_bytes()
    folders = (paths.worker_guard.parent, paths.project)
    assert [mode(path) for path in (paths.worker_guard, *folders)] == [0o644, 0o755, 0o755]
    assert not files.install_guard()


def test_a_file_is_read_back_and_removed(tmp_path: Path) -> None:
    files = ProjectFiles(Paths(tmp_path))
    assert files.read("next_environment") is None
    files.remove("next_environment")
    files.write("next_environment", "KEY='x'\n")
    place = Paths(tmp_path).next_environment
    assert (files.read("next_environment"), place.stat().st_mode & 0o777) == ("KEY='x'\n", 0o600)
    files.remove("next_environment")
    assert not place.exists()
    place.mkdir()
    with pytest.raises(Unavailable):
        files.read("next_environment")
