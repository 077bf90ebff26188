"""Requests over one kept connection, with a time limit."""

from __future__ import annotations

import socket
import time

import pytest
from ghosthands_agent.plain_http import RESPONSE_BYTES, NoResponse, PlainHttp, Response
from unit.fake_http import Reply, fake_server


def test_many_requests_use_one_connection() -> None:
    with fake_server({"GET /": Reply(body="yes")}) as server:
        http = PlainHttp("127.0.0.1", server.server_port, 1.0)
        assert [http.request("GET", "/") for _ in range(5)] == [Response(200, "yes")] * 5
        assert server.connections == 1
        http.close()


def test_a_connection_closed_by_the_server_is_opened_again() -> None:
    with fake_server({"GET /": Reply(body="yes", close=True)}) as server:
        http = PlainHttp("127.0.0.1", server.server_port, 1.0)
        assert [http.request("GET", "/").body for _ in range(3)] == ["yes"] * 3
        assert server.connections == 3


def test_a_request_on_a_kept_connection_that_breaks_is_repeated_once() -> None:
    answers = iter([Reply(body="first"), None, Reply(body="second")])
    with fake_server(lambda _: next(answers)) as server:
        http = PlainHttp("127.0.0.1", server.server_port, 1.0)
        assert http.request("GET", "/").body == "first"
        assert http.request("GET", "/").body == "second"
        assert len(server.calls) == 3
        http.close()


def test_a_new_connection_that_breaks_is_an_error() -> None:
    with fake_server(lambda _: None) as server:
        with pytest.raises(NoResponse):
            PlainHttp("127.0.0.1", server.server_port, 1.0).request("GET", "/")
        assert len(server.calls) == 1


@pytest.mark.parametrize(
    "answer", [Reply(body="late", hang=5.0), Reply(body="x" * 50, trickle=0.1)], ids=["hangs", "trickles"]
)
def test_a_request_ends_in_time_whatever_the_server_does(answer: Reply) -> None:
    with fake_server({"GET /": answer}) as server:
        began = time.monotonic()
        with pytest.raises(NoResponse, match=r"^time-out$"):
            PlainHttp("127.0.0.1", server.server_port, 0.4).request("GET", "/")
        assert time.monotonic() - began < 1.0


def test_a_refused_connection_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not fake_server: refused
        with pytest.raises(NoResponse, match="ConnectionRefusedError"):
            PlainHttp("127.0.0.1", taken.getsockname()[1], 1.0).request("GET", "/")


@pytest.mark.parametrize("body", ["x" * (RESPONSE_BYTES + 1)], ids=["too long"])
def test_a_response_that_is_too_long_is_an_error(body: str) -> None:
    with fake_server({"GET /": Reply(body=body)}) as server, pytest.raises(NoResponse, match="HTTPException"):
        PlainHttp("127.0.0.1", server.server_port, 1.0).request("GET", "/")


def test_an_error_does_not_contain_the_response() -> None:
    with fake_server({"GET /": Reply(body="canary " * 10_000)}) as server:
        with pytest.raises(NoResponse) as caught:
            PlainHttp("127.0.0.1", server.server_port, 1.0).request("GET", "/")
        assert "canary" not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
