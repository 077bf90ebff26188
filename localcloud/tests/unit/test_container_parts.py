"""The parts of container instances that need no Docker: seed, recipe, task queues, relay, Docker's messages."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
import socketserver
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from localcloud.instances import Machine, base_image, nocloud
from localcloud.instances.docker import HostError, command, reason
from localcloud.instances.relay import Relay
from localcloud.instances.task_queues import TaskQueues

MACHINE = Machine(
    "i-1",
    "ami-1",
    "172.28.1.5",
    "172.28.1.0/24",
    "172.28.0.0/16",
    "ip-172-28-1-5",
    b"#!/bin/sh\n",
    {"k": "ssh-ed25519 AAAA k"},
)


def unpacked(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert {member.mode for member in tar} == {0o600}, "user data is root's alone, as on EC2"
        return {member.name: content.read() for member in tar if (content := tar.extractfile(member))}


def test_the_seed_gives_cloud_init_the_instances_identity_and_keys() -> None:
    files = unpacked(nocloud.seed(MACHINE))
    assert json.loads(files["var/lib/cloud/seed/nocloud/meta-data"]) == {
        "instance-id": "i-1",
        "local-hostname": "ip-172-28-1-5",
        "public-keys": {"k": "ssh-ed25519 AAAA k"},
    }
    assert files["var/lib/cloud/seed/nocloud/user-data"] == b"#!/bin/sh\n"


def test_a_machine_without_user_data_has_an_empty_file_as_the_source_wants_both() -> None:
    bare = Machine("i-1", "ami-1", "172.28.1.5", "172.28.1.0/24", "172.28.0.0/16", "h")
    assert unpacked(nocloud.seed(bare))["var/lib/cloud/seed/nocloud/user-data"] == b""


@pytest.mark.parametrize("file", sorted(path.name for path in base_image.RECIPE.iterdir()))
def test_another_recipe_is_another_base_image(tmp_path: Path, file: str) -> None:
    recipe = tmp_path / "base"
    shutil.copytree(base_image.RECIPE, recipe)
    assert base_image.recipe_digest(recipe) == base_image.recipe_digest(base_image.RECIPE)
    with (recipe / file).open("a", encoding="utf-8") as kept:
        kept.write("# another line\n")
    assert base_image.recipe_digest(recipe) != base_image.recipe_digest(base_image.RECIPE)


def test_a_lane_keeps_its_order_whatever_its_tasks_take() -> None:
    queues, done = TaskQueues(4), list[int]()
    slow = threading.Event()

    def task(number: int) -> None:
        if number == 0:
            slow.wait(10)
        done.append(number)

    for number in range(20):
        queues.put("one", lambda number=number: task(number))  # type: ignore[misc]
    finished = threading.Event()
    queues.put("one", finished.set)
    slow.set()
    assert finished.wait(10)
    queues.close()
    assert done == list(range(20))


def test_lanes_go_side_by_side() -> None:
    queues, both = TaskQueues(2), threading.Barrier(3)

    def meet() -> None:
        both.wait(10)

    queues.put("one", meet)
    queues.put("two", meet)
    meet()  # breaks unless both run at once
    queues.close()


def test_a_task_that_fails_holds_up_neither_its_lane_nor_others() -> None:
    queues, went_on = TaskQueues(1), threading.Event()

    def fail() -> None:
        raise RuntimeError

    queues.put("one", fail)
    queues.put("one", went_on.set)
    assert went_on.wait(10)
    queues.close()


def test_closed_lanes_drop_what_is_put_into_them() -> None:
    queues, ran = TaskQueues(1), threading.Event()
    queues.close()
    queues.put("one", ran.set)
    assert not ran.is_set()


class Echo(socketserver.StreamRequestHandler):
    """Returns all that it received, once the other side has closed its way."""

    def handle(self) -> None:
        self.wfile.write(self.rfile.read())


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """Where an echo answers."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        host, port = server.server_address[:2]
        yield str(host), int(port)
        server.shutdown()
        thread.join()


def test_a_relay_forwards_both_ways_and_closes_each_way(echo: tuple[str, int]) -> None:
    relay = Relay(("127.0.0.1", 0), echo)
    sent = bytes(range(256)) * 4096
    with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as there:

        def send() -> None:
            there.sendall(sent)
            there.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        received = there.makefile("rb").read()
        sender.join()
    relay.close()
    assert received == sent


def test_a_relay_whose_target_is_down_closes_the_connection_and_goes_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        target = ("127.0.0.1", unused.getsockname()[1])
    relay = Relay(("127.0.0.1", 0), target)
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as there:
            assert there.recv(1) == b""
    relay.close()


def test_a_closed_relay_cuts_what_is_open_and_listens_no_more(echo: tuple[str, int]) -> None:
    relay = Relay(("127.0.0.1", 0), echo)
    with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as there:
        there.sendall(b"half a sent")
        relay.close()
        with contextlib.suppress(ConnectionResetError):  # as good an end; a relay that hangs on is a TimeoutError
            assert there.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", relay.port), timeout=10)


def test_dockers_error_is_the_line_that_says_why() -> None:
    output = b"Unable to find it\nError response from daemon: Address already in use\nError: failed to start: i-1\n"
    assert reason(output) == "Address already in use"
    assert reason(b"one\n two \n\n") == "two"
    assert reason(b"") == ""


def test_a_command_that_fails_hangs_or_is_missing_is_one_line() -> None:
    python = (sys.executable, "-c")
    assert command(*python, "print(' text ')") == "text"
    with pytest.raises(HostError, match=r"^no$"):
        command(*python, "raise SystemExit('no')")
    with pytest.raises(HostError, match=r"did not end within 0 s"):
        command(*python, "import time; time.sleep(30)", timeout=0.2)
    with pytest.raises(HostError, match="No such file"):
        command("no-such-command", "at all")
