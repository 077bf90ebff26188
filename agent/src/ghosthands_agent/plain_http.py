"""One kept HTTP/1.1 connection to one host, with a time limit for every exchange.

The metadata service and the worker get two requests a second for months: no new connections, no threads, and only the
standard library.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: No answer that the agent reads is longer.
RESPONSE_BYTES = 65536


class NoResponse(Exception):
    """There was no usable response in time. The text names the cause, and quotes nothing of a response."""


@dataclass(frozen=True)
class Response:
    """A response; `body` is decoded as UTF-8."""

    status: int
    body: str


class PlainHttp:
    """A connection that is opened when needed, kept, and opened again if the server has closed it.

    Args:
        host: name or address.
        port: TCP port.
        timeout: limit for one exchange in seconds, with connecting and a retry.
    """

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._connection: _Connection | None = None
        self._host, self._port, self._timeout = host, port, timeout

    def request(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """One exchange, without a request body.

        Raises:
            NoResponse: no connection, no response in time, or not HTTP.
        """
        deadline = time.monotonic() + self._timeout
        kept = self._connection is not None
        try:
            try:
                return self._exchange(method, path, headers or {}, deadline)
            except ConnectionError:
                if not kept:
                    raise
            # A server may close a kept connection at any time. Only then the request is repeated, once.
            return self._exchange(method, path, headers or {}, deadline)
        except (OSError, http.client.HTTPException, UnicodeError) as problem:
            raise NoResponse("time-out" if isinstance(problem, TimeoutError) else type(problem).__name__) from None

    def close(self) -> None:
        """Close the connection, if there is one. The next request opens another."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def __del__(self) -> None:
        self.close()

    def _exchange(self, method: str, path: str, headers: Mapping[str, str], deadline: float) -> Response:
        connection, self._connection = self._connection or _Connection(self._host, self._port), None
        connection.deadline = deadline
        try:
            connection.request(method, path, headers=dict(headers))
            response = connection.getresponse()
            body = response.read(RESPONSE_BYTES + 1)
            if len(body) > RESPONSE_BYTES:
                raise http.client.HTTPException("the answer is too long")
            result = Response(response.status, body.decode())
        except BaseException:
            connection.close()
            raise
        self._connection = connection if connection.sock else None  # None: the response had "Connection: close"
        return result


class _Connection(http.client.HTTPConnection):
    """An HTTPConnection with one deadline instead of a time-out per system call, so a slow trickle ends too."""

    deadline = 0.0

    def connect(self) -> None:
        self.timeout = _remaining(self.deadline)
        super().connect()

    def send(self, data: Any) -> None:
        if self.sock:
            self.sock.settimeout(_remaining(self.deadline))
        super().send(data)

    def getresponse(self) -> http.client.HTTPResponse:
        self.response_class = self._response  # type: ignore[assignment]  # called, as here, with (socket, method=...)
        return super().getresponse()

    def _response(self, sock: socket.socket, method: str | None = None) -> http.client.HTTPResponse:
        response = http.client.HTTPResponse(sock, method=method)
        response.fp = io.BufferedReader(_Receiving(sock, response.fp.detach(), self.deadline))
        return response


class _Receiving(io.RawIOBase):
    """The receiving side of a socket. The time-out of each read is the time until the deadline."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: float) -> None:
        self._sock, self._raw, self._deadline = sock, raw, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._sock.settimeout(_remaining(self._deadline))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _remaining(deadline: float) -> float:
    if (left := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return left
