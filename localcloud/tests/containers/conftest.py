"""Container instances on real Docker: one host for the session, one machine that most tests share."""

from __future__ import annotations

import http.server
import itertools
import threading
from collections.abc import Iterator

import pytest
from containers.machines import Instance, Recorder, Rig
from localcloud.instances import container
from localcloud.instances.base_image import base_image
from localcloud.testing.containers import KeyPair, create_key_pair

from localcloud import imds


@pytest.fixture(scope="session")
def base() -> str:
    """The base image; built if it is missing. Needs a Docker that answers."""
    return base_image(print)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    """A key pair of this session."""
    return create_key_pair(tmp_path_factory.mktemp("key") / "id")


class _Api(http.server.BaseHTTPRequestHandler):
    """In place of the rig's API: it only has to be reachable."""

    def do_GET(self) -> None:
        body = b"this is the API"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Silent."""


@pytest.fixture(scope="session")
def api() -> Iterator[int]:
    """The port on loopback on which it listens."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def rig(base: str, key: KeyPair, api: int) -> Iterator[Rig]:
    """A host of containers, which leaves nothing when it is closed."""
    recorder = Recorder()
    views = dict[str, imds.View]()
    host = container.open_host(api, recorder, serve=imds.Service(views.get).serve, report=print)
    rig = Rig(host, recorder, key, api, itertools.count(10), views)
    yield rig
    host.close()
    assert rig.left() == []


@pytest.fixture(scope="session")
def shared(rig: Rig) -> Instance:
    """A machine that tests may restart, but neither terminate nor change for good."""
    return rig.launch(user_data=b"#!/bin/sh\ndate +%s.%N >>/root/ran\n")


@pytest.fixture
def instance(rig: Rig) -> Iterator[Instance]:
    """A machine for one test."""
    made = rig.launch()
    yield made
    made.terminate()
