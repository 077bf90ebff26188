"""One kept connection, every exchange bounded."""

from __future__ import annotations

import socket
import time

import pytest
from ghosthands_agent.plain_http import RESPONSE_BYTES, NoResponse, PlainHttp, Response
from unit.listening import Said, listening


def test_many_questions_go_over_one_connection() -> None:
    with listening({"GET /": Said(body="yes")}) as server:
        http = PlainHttp("127.0.0.1", server.server_port, 1.0)
        assert [http.request("GET", "/") for _ in range(5)] == [Response(200, "yes")] * 5
        assert server.connections == 1
        http.close()


def test_a_connection_that_the_other_side_closed_is_made_anew() -> None:
    with listening({"GET /": Said(body="yes", close=True)}) as server:
        http = PlainHttp("127.0.0.1", server.server_port, 1.0)
        assert [http.request("GET", "/").body for _ in range(3)] == ["yes"] * 3
        assert server.connections == 3


def test_a_kept_connection_that_breaks_is_asked_once_more() -> None:
    answers = iter([Said(body="first"), None, Said(body="second")])
    with listening(lambda _: next(answers)) as server:
        http = PlainHttp("127.0.0.1", server.server_port, 1.0)
        assert http.request("GET", "/").body == "first"
        assert http.request("GET", "/").body == "second"
        assert len(server.calls) == 3
        http.close()


def test_a_fresh_connection_that_breaks_is_no_answer() -> None:
    with listening(lambda _: None) as server:
        with pytest.raises(NoResponse):
            PlainHttp("127.0.0.1", server.server_port, 1.0).request("GET", "/")
        assert len(server.calls) == 1


@pytest.mark.parametrize(
    "answer", [Said(body="late", hang=5.0), Said(body="x" * 50, trickle=0.1)], ids=["hangs", "trickles"]
)
def test_an_exchange_ends_in_time_whatever_the_other_side_does(answer: Said) -> None:
    with listening({"GET /": answer}) as server:
        began = time.monotonic()
        with pytest.raises(NoResponse, match=r"^time-out$"):
            PlainHttp("127.0.0.1", server.server_port, 0.4).request("GET", "/")
        assert time.monotonic() - began < 1.0


def test_nobody_there_is_no_answer() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        with pytest.raises(NoResponse, match="ConnectionRefusedError"):
            PlainHttp("127.0.0.1", taken.getsockname()[1], 1.0).request("GET", "/")


@pytest.mark.parametrize("body", ["x" * (RESPONSE_BYTES + 1)], ids=["too long"])
def test_an_answer_of_the_wrong_size_is_none(body: str) -> None:
    with listening({"GET /": Said(body=body)}) as server, pytest.raises(NoResponse, match="HTTPException"):
        PlainHttp("127.0.0.1", server.server_port, 1.0).request("GET", "/")


def test_an_error_says_nothing_of_the_answer() -> None:
    with listening({"GET /": Said(body="canary " * 10_000)}) as server:
        with pytest.raises(NoResponse) as caught:
            PlainHttp("127.0.0.1", server.server_port, 1.0).request("GET", "/")
        assert "canary" not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
