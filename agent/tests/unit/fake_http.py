"""A small HTTP server with given replies, 599 for other requests. It records all requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    """A request. `method_and_path` is such as `GET /health`; the names of headers are in lower case."""

    method_and_path: str
    headers: Mapping[str, str]
    body: str = ""


@dataclass(frozen=True)
class Reply:
    """A response.

    Attributes:
        trickle: seconds between two of its bytes.
        hang: seconds before it begins.
        close: whether the server closes the connection after it.
    """

    status: int = 200
    body: str = ""
    trickle: float = 0.0
    hang: float = 0.0
    close: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[Request], Reply | None]


class FakeServer(ThreadingHTTPServer):
    """A server whose `respond` gives the reply to a request; with None it closes the connection without one."""

    daemon_threads = True

    def __init__(self, respond: Respond) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond = respond
        self.requests: list[Request] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def calls(self) -> list[str]:
        """Method and path of all requests, in order."""
        return [request.method_and_path for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeServer

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(f"{self.command} {self.path}", headers, body)
        self.server.requests.append(request)
        reply = self.server.respond(request)
        if reply is None:
            self.close_connection = True
            return
        time.sleep(reply.hang)
        self.send_response_only(reply.status)
        for name, value in {"Content-Length": str(len(reply.body.encode())), **reply.headers}.items():
            self.send_header(name, value)
        if reply.close:
            self.send_header("Connection", "close")
        self.end_headers()
        try:
            for byte in reply.body.encode() if reply.trickle else ():
                time.sleep(reply.trickle)
                self.wfile.write(bytes([byte]))
            if not reply.trickle:
                self.wfile.write(reply.body.encode())
        except OSError:
            self.close_connection = True  # the client has gone

    do_GET = do_PUT = do_POST = _reply

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def fake_server(replies: Respond | Mapping[str, Reply | None]) -> Iterator[FakeServer]:
    """A server for the duration of a block; a mapping has replies by method and path, such as `GET /health`."""
    respond = replies if callable(replies) else lambda request: replies.get(request.method_and_path, Reply(599))
    server = FakeServer(respond)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
