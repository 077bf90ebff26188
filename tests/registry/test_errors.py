"""Errors on the way to the registry: one sentence each, with what to do, and never a password."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.registry.conftest import Query
from tests.registry.servers import DATABASE, PASSWORDS, Server, free_port

EMPTY = {
    "changed": False,
    "reachable": False,
    "now": "",
    "rows": [],
    "broken": [],
    "may_write": None,
    "row_security": None,
}


def error_of(result: dict[str, Any]) -> str:
    """The error of a result that contains nothing else."""
    error = str(result.pop("error"))
    assert result == EMPTY
    assert "\n" not in error
    assert error.endswith(".")
    assert not [password for password in PASSWORDS.values() if password in error]
    return error


def dsn(server: Server, user: str = "gh_reader", host: str = "localhost", more: str = "") -> str:
    """A DSN as a provider's page shows it."""
    return f"postgresql://{user}:{quote(PASSWORDS[user], safe='')}@{host}:{server.port}/{DATABASE}{more}"


def test_a_dsn_alone_is_enough(query_only: Query, server: Server) -> None:
    assert query_only(dsn=f"\n {dsn(server, more=f'?sslrootcert={server.authority}')}\n")["error"] == ""


def test_single_options_override_the_dsn(query_only: Query, server: Server) -> None:
    authority = str(server.authority)
    assert query_only(dsn=dsn(server, "gh_worker"), sslrootcert=authority)["may_write"] is True
    parts = {"user": "gh_reader", "password": PASSWORDS["gh_reader"]}
    assert query_only(dsn=dsn(server, "gh_worker"), sslrootcert=authority, **parts)["may_write"] is False


def test_a_password_can_come_from_libpqs_password_file(
    query: Query, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"localhost:{server.port}:{DATABASE}:gh_worker:{PASSWORDS['gh_worker']}\n", encoding="utf-8")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    assert query("gh_worker", password=None)["may_write"] is True


@pytest.mark.parametrize(
    "password", ["two@signs", "a/slash", "123/digits", "50%", "%zz", "@", "[x", "x]", "a b", "?", "#", "über"]
)
def test_a_password_that_is_not_escaped_in_a_dsn_is_not_repeated(
    query_only: Query, server: Server, password: str
) -> None:
    error = error_of(query_only(dsn=f"postgresql://gh_reader:{password}@localhost:{free_port()}/{DATABASE}"))
    message = error.replace("postgresql://user:password@host:port/database", "").split(" with every @")[0]
    for part in [password, *password.split("@"), *password.split("/")]:
        assert len(part) < 2 or part not in message


@pytest.mark.parametrize(
    "text", ["nonsense", "mysql://u:p4ssw0rd@h/d", "postgresql://u:p4ssw0rd@h/d?pgbouncer=true", "host=h port=p4ssw0rd"]
)
def test_an_invalid_dsn_is_an_error_that_says_how_to_write_one(query_only: Query, text: str) -> None:
    error = error_of(query_only(dsn=text))
    assert "write postgresql://user:password@host:port/database" in error
    assert "p4ssw0rd" not in error


def test_without_dsn_and_host_the_error_says_so(query_only: Query) -> None:
    assert "set dsn" in error_of(query_only(dsn=""))
    assert "set dsn" in error_of(query_only())


def test_the_error_of_a_wrong_password_does_not_contain_it(query: Query, query_only: Query, server: Server) -> None:
    for error in (
        error_of(query(password="not-this-one")),
        error_of(query(password="password")),
        error_of(
            query_only(
                dsn=f"postgresql://gh_reader:not-this-one@localhost:{server.port}/{DATABASE}",
                sslrootcert=str(server.authority),
            )
        ),
    ):
        assert "check user and password" in error
        assert "not-this-one" not in error


def test_a_password_that_cannot_be_sent_is_an_error(query: Query) -> None:
    error_of(query(password="nul\0byte"))


def test_the_error_of_a_database_that_is_down_has_its_address(query: Query) -> None:
    port = free_port()
    error = error_of(query(port=port))
    assert f"The registry at localhost:{port} cannot be read" in error
    assert "check that the database is up" in error


def test_a_restarted_database_is_read_again(query: Query, server: Server) -> None:
    server.stop()
    try:
        assert "check that the database is up" in error_of(query())
    finally:
        server.start()
    assert query()["reachable"]


def test_an_unknown_host_name_is_an_error(query: Query) -> None:
    assert "check the host's name" in error_of(query(host="no-such-host.invalid"))


def test_a_server_that_never_answers_ends_at_the_connect_timeout(query: Query) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        error = error_of(query(port=silent.getsockname()[1], connect_timeout=2))
        assert time.monotonic() - began < 10
    assert "check that the database is up" in error


def test_a_server_that_closes_the_connection_is_an_error(query: Query) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            server.settimeout(10)
            server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        error_of(query(host="127.0.0.1", port=server.getsockname()[1], connect_timeout=2))
        thread.join()


def test_a_server_without_tls_is_refused_unless_disabled(query: Query, server: Server) -> None:
    with server.without_tls():
        error = error_of(query())
        plain = query("gh_reader", sslmode="disable", database="unencrypted", sslrootcert=None)
    assert "the server has no TLS" in error
    assert "no table gh_worker_registry" in plain["error"]  # it was connected


def test_a_server_that_requires_tls_is_named_in_the_error(query: Query) -> None:
    assert "the server requires TLS" in error_of(query(sslmode="disable"))


def test_a_certificate_of_an_unknown_authority_is_refused(query: Query, server: Server) -> None:
    for options in (
        {"sslrootcert": str(server.foreign_authority)},
        {"sslrootcert": None},
        {"sslrootcert": "/no/such.crt"},
    ):
        assert "give the provider's root certificate in sslrootcert" in error_of(query(**options))
    assert query(sslmode="require", sslrootcert=None)["reachable"]


def test_a_certificate_of_a_system_authority_needs_no_file(
    query: Query, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
    assert query(sslrootcert=None)["error"] == ""


def test_a_certificate_of_another_name_is_refused_unless_verify_ca(query: Query) -> None:
    assert "use the host name of its certificate" in error_of(query(host="127.0.0.1"))
    assert query(host="127.0.0.1", sslmode="verify-ca")["reachable"]


def test_a_dsn_that_allows_unencrypted_fallback_is_refused(query_only: Query, server: Server) -> None:
    for mode in ("prefer", "allow", "nonsense"):
        assert "sslmode is not one of disable, require" in error_of(
            query_only(dsn=dsn(server, more=f"?sslmode={mode}"))
        )


@pytest.mark.parametrize("table", ["", "a.b.c", "a b", 'x"; DROP TABLE y; --', "x" * 64, "täble", ".x", "x.", "x\n"])
def test_an_invalid_table_name_is_refused(query: Query, table: str) -> None:
    assert "is not a valid name: use letters, digits and _" in error_of(query(table=table))


def test_a_missing_table_is_an_error(query: Query) -> None:
    assert "no table gh_workers that gh_reader can see" in error_of(query(table="gh_workers"))


def test_missing_columns_are_named(query: Query, server: Server) -> None:
    server.admin("CREATE TABLE older AS TABLE gh_worker_registry; GRANT SELECT ON older TO gh_reader")
    try:
        server.admin("ALTER TABLE older DROP COLUMN ec2_ip, DROP COLUMN jobs_failed")
        assert "The table older has no ec2_ip, jobs_failed" in error_of(query(table="older"))
    finally:
        server.admin("DROP TABLE older")


def test_waiting_for_a_lock_ends_at_the_statement_timeout(query: Query, server: Server) -> None:
    with server.open_transaction("LOCK TABLE gh_worker_registry IN ACCESS EXCLUSIVE MODE"):
        began = time.monotonic()
        error = error_of(query(statement_timeout=1))
        assert 0.9 < time.monotonic() - began < 5
    assert "took more than 1 s: see in pg_stat_activity who locks it" in error


@pytest.mark.parametrize("options", [{"statement_timeout": 0}, {"connect_timeout": 0}, {"statement_timeout": -1}])
def test_every_timeout_has_to_be_positive(query: Query, options: dict[str, int]) -> None:
    assert "use 1 or more" in error_of(query(**options))


def test_bytes_that_are_not_valid_text_are_an_error(query: Query, server: Server) -> None:
    server.admin("CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII'", database="postgres")
    try:
        server.admin(
            "CREATE TABLE gh_worker_registry AS SELECT E'w-\\xff' AS worker_id, 'active' AS status,"
            " '' AS target_worker_id, '' AS ec2_instance_id, '' AS ec2_ip, '' AS current_job_id,"
            " now() AS registered_at, now() AS last_heartbeat, 0 AS jobs_completed, 0 AS jobs_failed",
            database="bytes",
        )
        server.admin("GRANT SELECT ON gh_worker_registry TO gh_reader", database="bytes")
        assert "invalid byte sequence" in error_of(query(database="bytes"))
    finally:
        server.admin("DROP DATABASE bytes", database="postgres")
