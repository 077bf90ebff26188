"""Which container listens on the worker's port, in text of /proc and in a copy of it. With real ones: processes."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from ghosthands_agent.port_owner import PortOwner, container_of, listening_sockets

PORT = 3101  # 0x0C1D
OUTER, INNER = "a" * 64, "b" * 64
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENS = (
    "   0: 00000000:0C1D 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0\n"
)
CONNECTED = (
    "   1: 0100007F:0C1D 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30\n"
)
OTHER_PORT = (
    "   2: 00000000:0C1C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0\n"
)
SYSTEMD = f"0::/system.slice/docker-{INNER}.scope\n"


def test_only_a_socket_that_listens_on_this_port_counts() -> None:
    assert listening_sockets(HEADER + LISTENS + CONNECTED + OTHER_PORT, PORT) == ["4711"]
    assert listening_sockets(HEADER, PORT) == listening_sockets("", PORT) == listening_sockets("\nx y\n", PORT) == []


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        (SYSTEMD, INNER),
        (f"0::/docker/{INNER}\n", INNER),
        (f"4:memory:/docker/{INNER}\n0::/\n", INNER),
        (f"0::/docker/{OUTER}/system.slice/docker-{INNER}.scope\n", INNER),
        ("0::/user.slice/user-1000.slice/session-2.scope\n", ""),
        (f"0::/docker/{INNER}c\n", ""),
        ("", ""),
    ],
)
def test_a_container_is_named_by_the_cgroup_of_its_processes(cgroup: str, container: str) -> None:
    assert container_of(cgroup) == container


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A host's process, and a container's that listens."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net/tcp").write_text(HEADER)
    (tmp_path / "net/tcp6").write_text(HEADER + LISTENS)
    add_process(tmp_path, 1, "0::/init.scope\n", "socket:[4711]")
    add_process(tmp_path, 77, SYSTEMD, "socket:[4711]")
    return tmp_path


def add_process(proc: Path, pid: int, cgroup: str, link: str) -> None:
    (proc / str(pid) / "fd").mkdir(parents=True)
    (proc / str(pid) / "cgroup").write_text(cgroup)
    (proc / str(pid) / "fd/0").symlink_to("/dev/null")
    (proc / str(pid) / "fd/7").symlink_to(link)


def test_the_owner_of_a_port_is_the_container_whose_process_holds_its_socket(proc: Path) -> None:
    assert PortOwner(proc, PORT).container() == INNER
    assert PortOwner(proc, PORT + 1).container() == ""


def test_processes_are_searched_once_per_socket(proc: Path) -> None:
    owner = PortOwner(proc, PORT)
    assert owner.container() == INNER
    (proc / "77/fd/7").unlink()
    assert owner.container() == INNER, "the same socket"
    (proc / "net/tcp6").write_text(HEADER + LISTENS.replace("4711", "4720"))
    assert owner.container() == "", "another one, and nobody is known to hold it"
    (proc / "77/fd/7").symlink_to("socket:[4720]")
    assert owner.container() == INNER
    (proc / "net/tcp6").write_text(HEADER)
    assert owner.container() == ""


def test_the_process_itself_can_be_signalled(proc: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        (proc / "77").rename(proc / str(process.pid))
        assert PortOwner(proc, PORT).terminate()
        assert process.wait(10) == -signal.SIGTERM
    assert not PortOwner(proc, PORT).terminate(), "it has ended"
    assert not PortOwner(proc, PORT + 1).terminate(), "nobody listens"


def test_a_process_that_cannot_be_read_or_has_ended_is_passed_over(proc: Path, tmp_path: Path) -> None:
    (proc / "5").mkdir()
    (proc / "6").mkdir()
    (proc / "6/cgroup").write_text(SYSTEMD)  # its fd is not to be read
    assert PortOwner(proc, PORT).container() == INNER
    assert PortOwner(tmp_path / "no-proc", PORT).container() == ""
