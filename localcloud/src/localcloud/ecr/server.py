"""The registry's server: TLS on a port of loopback, which container instances reach under ECR's name and port."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from localcloud import seed
from localcloud.ecr.certificates import make_certificate
from localcloud.ecr.distribution import Distribution
from localcloud.ecr.service import registry_host
from localcloud.instances import Registry

#: For a client that connects and says nothing.
IDLE_SECONDS = 120.0


class _Handler(WSGIRequestHandler):
    """Silent."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        """No access log; see ``Trace``."""


class _Server(ThreadedWSGIServer):
    daemon_threads = True
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: TLS, then the request."""
        request.settimeout(IDLE_SECONDS)
        with (
            contextlib.suppress(OSError),
            self.context.wrap_socket(request, server_side=True) as connection,
        ):
            super().finish_request(connection, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone."""


class RegistryServer:
    """The registry of the seeded account and region, until `close`.

    Args:
        application: the API's application, whose world, guard, faults and trace it shares.
        folder: for layers.
    """

    def __init__(self, application: Any, folder: Path) -> None:
        host = registry_host(seed.ACCOUNT, seed.REGION)
        distribution = Distribution(
            application.world,
            application.guard,
            application.faults,
            application.trace,
            seed.ACCOUNT,
            seed.REGION,
            folder,
        )
        certificate = make_certificate([host])
        self._server = _Server("127.0.0.1", 0, distribution, _Handler)
        self._server.context = certificate.context()
        self._server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.access = Registry(host, self._server.server_port, certificate.authority)
        self._thread = threading.Thread(target=self._server.serve_forever, name="registry", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
