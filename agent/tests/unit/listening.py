"""A small HTTP server that answers as it was told and refuses, with 599, what it was not told about; it remembers what it was asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    """What came in: `what` is the method and path, such as `GET /health`."""

    what: str
    headers: Mapping[str, str]
    body: str = ""


@dataclass(frozen=True)
class Said:
    """An answer. `trickle`: seconds between its bytes. `hang`: seconds before it begins. `close`: the connection ends with it."""

    status: int = 200
    body: str = ""
    trickle: float = 0.0
    hang: float = 0.0
    close: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


Answering = Callable[[Request], Said | None]


class Listening(ThreadingHTTPServer):
    """Answers by `answering`; None hangs up without an answer."""

    daemon_threads = True

    def __init__(self, answering: Answering) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answering = answering
        self.asked: list[Request] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def calls(self) -> list[str]:
        """What was asked, in order."""
        return [request.what for request in self.asked]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listening

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        request = Request(
            f"{self.command} {self.path}", {name.lower(): value for name, value in self.headers.items()}, body
        )
        self.server.asked.append(request)
        said = self.server.answering(request)
        if said is None:
            self.close_connection = True
            return
        time.sleep(said.hang)
        self.send_response_only(said.status)
        for name, value in {"Content-Length": str(len(said.body.encode())), **said.headers}.items():
            self.send_header(name, value)
        if said.close:
            self.send_header("Connection", "close")
        self.end_headers()
        try:
            for byte in said.body.encode() if said.trickle else ():
                time.sleep(said.trickle)
                self.wfile.write(bytes([byte]))
            if not said.trickle:
                self.wfile.write(said.body.encode())
        except OSError:
            self.close_connection = True  # who asked has left

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pytest shows what a failing test was asked."""


@contextmanager
def listening(answering: Answering | Mapping[str, Said | None]) -> Iterator[Listening]:
    """A server for the time of a block; of a mapping, `METHOD /path` -> its answer."""
    server = Listening(answering if callable(answering) else lambda request: answering.get(request.what, Said(599)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
