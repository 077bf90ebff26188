"""The display's readiness check, against sockets that behave as X servers do."""

from __future__ import annotations

import importlib.util
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[4] / "roles/xvfb/files/xvfb_ready.py"


@pytest.fixture(scope="module")
def xvfb_ready() -> ModuleType:
    spec = importlib.util.spec_from_file_location("xvfb_ready", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "X99")


def serve(path: str, answer: Callable[[bytes], bytes], ready: threading.Event | None = None) -> threading.Thread:
    """Start a server for one client at `path` that answers its first 12 bytes, after `ready` if given."""

    def run() -> None:
        if ready:
            ready.wait(5)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            server.settimeout(5)
            client = server.accept()[0]
            with client:
                client.sendall(answer(client.recv(12)))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def accept_version_11(request: bytes) -> bytes:
    return b"\1" if request == b"l\0\x0b\0\0\0\0\0\0\0\0\0" else b"\0"


def test_a_server_that_accepts_the_client_is_ready(xvfb_ready: ModuleType, path: str) -> None:
    thread = serve(path, accept_version_11)
    assert xvfb_ready.main(path, 5) == 0
    thread.join(5)


def test_it_waits_for_a_server_that_starts_later(xvfb_ready: ModuleType, path: str) -> None:
    ready = threading.Event()
    thread = serve(path, accept_version_11, ready)
    threading.Timer(0.2, ready.set).start()
    assert xvfb_ready.main(path, 5) == 0
    thread.join(5)


def test_a_server_that_refuses_the_client_is_not_ready(
    xvfb_ready: ModuleType, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    thread = serve(path, lambda request: b"\0")
    assert xvfb_ready.main(path, 0.3) == 1
    assert capsys.readouterr().err.startswith(f"no X server at {path}: ")
    thread.join(5)


def test_the_socket_of_a_killed_server_is_not_ready(
    xvfb_ready: ModuleType, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
    assert Path(path).is_socket()
    assert xvfb_ready.main(path, 0.2) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_a_server_that_never_answers_times_out(
    xvfb_ready: ModuleType, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        assert xvfb_ready.main(path, 0.2) == 1
    assert "timed out" in capsys.readouterr().err
