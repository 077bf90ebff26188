"""What can go wrong on the way: one sentence each, with what to do, and never a password."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.registry.conftest import Ask
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


def refused(result: dict[str, Any]) -> str:
    """The error of a result that holds nothing else."""
    error = str(result.pop("error"))
    assert result == EMPTY
    assert "\n" not in error
    assert error.endswith(".")
    assert not [password for password in PASSWORDS.values() if password in error]
    return error


def dsn(server: Server, user: str = "gh_reader", host: str = "localhost", more: str = "") -> str:
    """A dsn as a provider's page shows it."""
    return f"postgresql://{user}:{quote(PASSWORDS[user], safe='')}@{host}:{server.port}/{DATABASE}{more}"


def test_a_dsn_says_it_all(ask_by_dsn: Ask, server: Server) -> None:
    assert ask_by_dsn(dsn=f"\n {dsn(server, more=f'?sslrootcert={server.authority}')}\n")["error"] == ""


def test_parts_go_before_the_dsn(ask_by_dsn: Ask, server: Server) -> None:
    authority = str(server.authority)
    assert ask_by_dsn(dsn=dsn(server, "gh_worker"), sslrootcert=authority)["may_write"] is True
    parts = {"user": "gh_reader", "password": PASSWORDS["gh_reader"]}
    assert ask_by_dsn(dsn=dsn(server, "gh_worker"), sslrootcert=authority, **parts)["may_write"] is False


def test_a_password_can_come_from_a_file_of_libpqs(
    ask: Ask, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"localhost:{server.port}:{DATABASE}:gh_worker:{PASSWORDS['gh_worker']}\n", encoding="utf-8")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    assert ask("gh_worker", password=None)["may_write"] is True


@pytest.mark.parametrize(
    "password", ["two@signs", "a/slash", "123/digits", "50%", "%zz", "@", "[x", "x]", "a b", "?", "#", "über"]
)
def test_a_password_that_is_not_escaped_in_a_dsn_is_not_repeated(
    ask_by_dsn: Ask, server: Server, password: str
) -> None:
    error = refused(ask_by_dsn(dsn=f"postgresql://gh_reader:{password}@localhost:{free_port()}/{DATABASE}"))
    told = error.replace("postgresql://user:password@host:port/database", "").split(" with every @")[0]
    for part in [password, *password.split("@"), *password.split("/")]:
        assert len(part) < 2 or part not in told


@pytest.mark.parametrize(
    "text", ["nonsense", "mysql://u:p4ssw0rd@h/d", "postgresql://u:p4ssw0rd@h/d?pgbouncer=true", "host=h port=p4ssw0rd"]
)
def test_a_dsn_that_is_none_is_answered_with_how_to_write_one(ask_by_dsn: Ask, text: str) -> None:
    error = refused(ask_by_dsn(dsn=text))
    assert "write postgresql://user:password@host:port/database" in error
    assert "p4ssw0rd" not in error


def test_no_database_at_all_is_a_refusal(ask_by_dsn: Ask) -> None:
    assert "give dsn" in refused(ask_by_dsn(dsn=""))
    assert "give dsn" in refused(ask_by_dsn())


def test_a_wrong_password_is_told_without_it(ask: Ask, ask_by_dsn: Ask, server: Server) -> None:
    for error in (
        refused(ask(password="not-this-one")),
        refused(ask(password="password")),
        refused(
            ask_by_dsn(
                dsn=f"postgresql://gh_reader:not-this-one@localhost:{server.port}/{DATABASE}",
                sslrootcert=str(server.authority),
            )
        ),
    ):
        assert "check user and password" in error
        assert "not-this-one" not in error


def test_a_password_that_cannot_be_sent_is_a_refusal(ask: Ask) -> None:
    refused(ask(password="nul\0byte"))


def test_a_database_that_is_down_is_told_with_its_address(ask: Ask) -> None:
    port = free_port()
    error = refused(ask(port=port))
    assert f"The registry at localhost:{port} cannot be read" in error
    assert "check that the database is up" in error


def test_a_database_that_stops_and_comes_back_is_read_again(ask: Ask, server: Server) -> None:
    server.stop()
    try:
        assert "check that the database is up" in refused(ask())
    finally:
        server.start()
    assert ask()["reachable"]


def test_a_host_that_nobody_knows_is_told(ask: Ask) -> None:
    assert "check the host's name" in refused(ask(host="no-such-host.invalid"))


def test_a_port_where_nobody_speaks_is_given_up_in_time(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        error = refused(ask(port=silent.getsockname()[1], connect_timeout=2))
        assert time.monotonic() - began < 10
    assert "check that the database is up" in error


def test_a_server_that_hangs_up_is_a_refusal(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            server.settimeout(10)
            server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        refused(ask(host="127.0.0.1", port=server.getsockname()[1], connect_timeout=2))
        thread.join()


def test_a_server_without_tls_is_refused_unless_asked_for(ask: Ask, server: Server) -> None:
    with server.without_tls():
        error = refused(ask())
        plain = ask("gh_reader", sslmode="disable", database="unencrypted", sslrootcert=None)
    assert "the server offers no TLS" in error
    assert "no table gh_worker_registry" in plain["error"]  # it was let in


def test_a_server_that_wants_tls_says_so(ask: Ask) -> None:
    assert "the server wants TLS" in refused(ask(sslmode="disable"))


def test_a_certificate_of_an_unknown_authority_is_refused(ask: Ask, server: Server) -> None:
    for options in (
        {"sslrootcert": str(server.foreign_authority)},
        {"sslrootcert": None},
        {"sslrootcert": "/no/such.crt"},
    ):
        assert "name the provider's root certificate in sslrootcert" in refused(ask(**options))
    assert ask(sslmode="require", sslrootcert=None)["reachable"]


def test_a_certificate_of_an_authority_that_the_system_knows_needs_no_file(
    ask: Ask, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
    assert ask(sslrootcert=None)["error"] == ""


def test_a_certificate_of_another_name_is_refused_unless_asked_for(ask: Ask) -> None:
    assert "give the host by the name that its certificate carries" in refused(ask(host="127.0.0.1"))
    assert ask(host="127.0.0.1", sslmode="verify-ca")["reachable"]


def test_a_dsn_that_may_go_unencrypted_without_a_word_is_refused(ask_by_dsn: Ask, server: Server) -> None:
    for mode in ("prefer", "allow", "nonsense"):
        assert "sslmode is none of disable, require" in refused(ask_by_dsn(dsn=dsn(server, more=f"?sslmode={mode}")))


@pytest.mark.parametrize("table", ["", "a.b.c", "a b", 'x"; DROP TABLE y; --', "x" * 64, "täble", ".x", "x.", "x\n"])
def test_a_table_that_is_no_name_is_refused(ask: Ask, table: str) -> None:
    assert "is no name: write letters, digits and _" in refused(ask(table=table))


def test_a_missing_table_is_told(ask: Ask) -> None:
    assert "no table gh_workers that gh_reader can see" in refused(ask(table="gh_workers"))


def test_missing_columns_are_told_by_name(ask: Ask, server: Server) -> None:
    server.admin("CREATE TABLE older AS TABLE gh_worker_registry; GRANT SELECT ON older TO gh_reader")
    try:
        server.admin("ALTER TABLE older DROP COLUMN ec2_ip, DROP COLUMN jobs_failed")
        assert "The table older lacks ec2_ip, jobs_failed" in refused(ask(table="older"))
    finally:
        server.admin("DROP TABLE older")


def test_a_lock_ends_at_the_statement_timeout(ask: Ask, server: Server) -> None:
    with server.held("LOCK TABLE gh_worker_registry IN ACCESS EXCLUSIVE MODE"):
        began = time.monotonic()
        error = refused(ask(statement_timeout=1))
        assert 0.9 < time.monotonic() - began < 5
    assert "took more than 1 s: see in pg_stat_activity who locks it" in error


@pytest.mark.parametrize("options", [{"statement_timeout": 0}, {"connect_timeout": 0}, {"statement_timeout": -1}])
def test_no_wait_is_without_a_limit(ask: Ask, options: dict[str, int]) -> None:
    assert "write 1 or more" in refused(ask(**options))


def test_a_table_of_bytes_that_are_no_text_is_a_refusal(ask: Ask, server: Server) -> None:
    server.admin("CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII'", database="postgres")
    try:
        server.admin(
            "CREATE TABLE gh_worker_registry AS SELECT E'w-\\xff' AS worker_id, 'active' AS status, '' AS target_worker_id, '' AS ec2_instance_id,"
            " '' AS ec2_ip, '' AS current_job_id, now() AS registered_at, now() AS last_heartbeat, 0 AS jobs_completed, 0 AS jobs_failed",
            database="bytes",
        )
        server.admin("GRANT SELECT ON gh_worker_registry TO gh_reader", database="bytes")
        assert "invalid byte sequence" in refused(ask(database="bytes"))
    finally:
        server.admin("DROP DATABASE bytes", database="postgres")
