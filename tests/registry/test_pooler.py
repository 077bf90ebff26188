"""Reading through pgbouncer in transaction mode, with a pool of one connection."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest

from tests.registry.conftest import Query
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


def test_rows_are_read_through_a_pooler(query: Query, server: Server, register: Callable[..., None]) -> None:
    register("w-1")
    for _again in range(8):  # a driver that prepares statements does so from the fifth on
        result = query(port=server.pooler_port)
        assert ([row["worker_id"] for row in result["rows"]], result["error"]) == (["w-1"], "")


def test_settings_and_statements_do_not_leak_to_the_next_client(query: Query, server: Server) -> None:
    with client(server, "gh_worker") as other:
        other.autocommit = True

        def found() -> list[tuple[str]]:
            settings = ("statement_timeout", "default_transaction_read_only", "transaction_isolation")
            return [*(other.execute("SELECT current_setting(%s)", [s]).fetchone() or ("",) for s in settings)]

        process = other.execute("SELECT pg_backend_pid()::text").fetchone()
        before = found()
        assert query("gh_worker", port=server.pooler_port, statement_timeout=7)["reachable"]
        assert (found(), other.execute("SELECT pg_backend_pid()::text").fetchone()) == (
            before,
            process,
        )  # the same connection of the pool
        assert other.execute("SELECT count(*)::text FROM pg_prepared_statements").fetchone() == ("0",)
        other.execute("INSERT INTO gh_worker_registry (worker_id, status) VALUES ('w-after', 'active')")


def test_waiting_for_a_lock_ends_at_the_statement_timeout(query: Query, server: Server) -> None:
    with server.open_transaction("LOCK TABLE gh_worker_registry IN ACCESS EXCLUSIVE MODE"):
        assert "took more than 1 s" in query(port=server.pooler_port, statement_timeout=1)["error"]
    assert query(port=server.pooler_port)["reachable"]


def test_waiting_for_the_pool_is_bounded(query: Query, server: Server) -> None:
    with client(server, "gh_reader") as busy:
        busy.execute("SELECT 1")  # and its transaction stays open
        began = time.monotonic()
        error = query(port=server.pooler_port, statement_timeout=1)["error"]
        assert 1.9 < time.monotonic() - began < 6
    assert "no answer for 2 s, timed out" in error
    assert query(port=server.pooler_port)["reachable"]


def test_a_startup_option_that_the_pooler_refuses_is_an_error(
    query: Query, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1s")
    assert "remove options from the dsn and PGOPTIONS from the environment" in query(port=server.pooler_port)["error"]


def test_a_user_that_the_pooler_does_not_know_is_an_error(query: Query, server: Server) -> None:
    error = query("gh_stranger", port=server.pooler_port, password="some-password")["error"]
    assert "check user and password" in error


def test_a_database_that_is_down_behind_the_pooler_is_an_error(query: Query, server: Server) -> None:
    server.stop()
    try:
        error = query(port=server.pooler_port, statement_timeout=2)["error"]
    finally:
        server.start()
    assert f"The registry at localhost:{server.pooler_port} cannot be read" in error
