"""Through pgbouncer in transaction mode, its pool one connection wide."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest

from tests.registry.conftest import Ask
from tests.registry.servers import DATABASE, PASSWORDS, Server


def client(server: Server, user: str) -> psycopg.Connection[tuple[str]]:
    """Another client of the pooler."""
    return psycopg.connect(
        host="localhost",
        port=server.pooler_port,
        dbname=DATABASE,
        user=user,
        password=PASSWORDS[user],
        sslmode="verify-full",
        sslrootcert=str(server.authority),
        prepare_threshold=None,
    )


def test_it_reads_through_a_pooler(ask: Ask, server: Server, register: Callable[..., None]) -> None:
    register("w-1")
    for _again in range(8):  # a driver that prepares statements does so from the fifth on
        result = ask(port=server.pooler_port)
        assert ([row["worker_id"] for row in result["rows"]], result["error"]) == (["w-1"], "")


def test_it_leaves_the_next_client_nothing(ask: Ask, server: Server) -> None:
    with client(server, "gh_worker") as other:
        other.autocommit = True

        def found() -> list[tuple[str]]:
            settings = ("statement_timeout", "default_transaction_read_only", "transaction_isolation")
            return [*(other.execute("SELECT current_setting(%s)", [s]).fetchone() or ("",) for s in settings)]

        process = other.execute("SELECT pg_backend_pid()::text").fetchone()
        before = found()
        assert ask("gh_worker", port=server.pooler_port, statement_timeout=7)["reachable"]
        assert (found(), other.execute("SELECT pg_backend_pid()::text").fetchone()) == (
            before,
            process,
        )  # the same connection of the pool
        assert other.execute("SELECT count(*)::text FROM pg_prepared_statements").fetchone() == ("0",)
        other.execute("INSERT INTO gh_worker_registry (worker_id, status) VALUES ('w-after', 'active')")


def test_a_lock_ends_at_the_statement_timeout_behind_a_pooler(ask: Ask, server: Server) -> None:
    with server.held("LOCK TABLE gh_worker_registry IN ACCESS EXCLUSIVE MODE"):
        assert "took more than 1 s" in ask(port=server.pooler_port, statement_timeout=1)["error"]
    assert ask(port=server.pooler_port)["reachable"]


def test_a_queue_for_the_pool_is_not_waited_for_longer_than_said(ask: Ask, server: Server) -> None:
    with client(server, "gh_reader") as busy:
        busy.execute("SELECT 1")  # and its transaction stays open
        began = time.monotonic()
        error = ask(port=server.pooler_port, statement_timeout=1)["error"]
        assert 1.9 < time.monotonic() - began < 6
    assert "nothing came back for 2 s, timed out" in error
    assert ask(port=server.pooler_port)["reachable"]


def test_a_startup_option_that_the_pooler_refuses_is_told(
    ask: Ask, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1s")
    assert "take options out of the dsn and PGOPTIONS out of the environment" in ask(port=server.pooler_port)["error"]


def test_a_user_whom_the_pooler_does_not_know_is_told(ask: Ask, server: Server) -> None:
    error = ask("gh_stranger", port=server.pooler_port, password="some-password")["error"]
    assert "check user and password" in error


def test_a_database_down_behind_the_pooler_is_told(ask: Ask, server: Server) -> None:
    server.stop()
    try:
        error = ask(port=server.pooler_port, statement_timeout=2)["error"]
    finally:
        server.start()
    assert f"The registry at localhost:{server.pooler_port} cannot be read" in error
