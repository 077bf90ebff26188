"""Forwards a TCP port to another, so that instances reach the API, which listens on loopback only."""

from __future__ import annotations

import contextlib
import socket
import threading


class Relay:
    """Forwards connections from ``listen`` to ``target``, both ``(address, port)``, until `close`.

    Raises:
        OSError: nothing can listen there.
    """

    def __init__(self, listen: tuple[str, int], target: tuple[str, int]) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._closed = False
        self._talks: dict[threading.Thread, tuple[socket.socket, ...]] = {}
        self._listening = socket.create_server(listen, backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"relay {listen[0]}:{self.port}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and close what is open."""
        with self._lock:
            self._closed = True
            talks = dict(self._talks)
        _shut(self._listening)  # wakes accept
        self._thread.join()
        self._listening.close()
        for talk, ends in talks.items():
            for end in ends:
                _shut(end)
            talk.join()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listening.accept()
            except OSError:
                continue
            threading.Thread(target=self._talk, args=(near,), name="relay", daemon=True).start()

    def _talk(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(self._target) as far:
            with self._lock:
                if self._closed:
                    return
                self._talks[threading.current_thread()] = (near, far)
            back = threading.Thread(target=_pour, args=(far, near), name="relay back", daemon=True)
            back.start()
            _pour(near, far)
            back.join()
        with self._lock:
            self._talks.pop(threading.current_thread(), None)


def _pour(source: socket.socket, sink: socket.socket) -> None:
    """Copy until the end of the stream and close the other side for writing; an error closes both."""
    try:
        while chunk := source.recv(65536):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        _shut(source)
        _shut(sink)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # shut already
        end.shutdown(socket.SHUT_RDWR)
