"""The module only reads, whatever its user may do."""

from __future__ import annotations

import re

import pytest

from tests.registry.conftest import Query
from tests.registry.servers import Server


@pytest.mark.parametrize(("user", "may_write"), [("gh_reader", False), ("gh_worker", True), ("postgres", True)])
def test_may_write_is_whether_its_user_could_write(query: Query, user: str, may_write: bool) -> None:
    assert query(user)["may_write"] is may_write


def test_a_privilege_on_one_column_counts(query: Query, server: Server) -> None:
    server.admin("GRANT UPDATE (status) ON gh_worker_registry TO gh_reader")
    try:
        assert query()["may_write"] is True
    finally:
        server.admin("REVOKE UPDATE (status) ON gh_worker_registry FROM gh_reader")


def test_even_a_user_who_may_write_cannot_write_in_the_modules_transaction(query: Query, server: Server) -> None:
    server.admin(
        "CREATE TABLE written (at timestamptz); GRANT INSERT ON written TO gh_worker;"
        " CREATE FUNCTION write_row() RETURNS text LANGUAGE sql VOLATILE"
        " AS $$ INSERT INTO written VALUES (now()) RETURNING 'active' $$;"
        " CREATE VIEW trap AS SELECT 'w' AS worker_id, write_row() AS status, NULL::text AS target_worker_id,"
        " NULL::text AS ec2_instance_id, NULL::text AS ec2_ip, NULL::uuid AS current_job_id,"
        " now() AS registered_at, now() AS last_heartbeat, 0 AS jobs_completed, 0 AS jobs_failed;"
        " GRANT SELECT ON trap TO gh_worker"
    )
    try:
        result = query("gh_worker", table="trap")
        assert "cannot execute INSERT in a read-only transaction" in result["error"]
        assert server.admin("SELECT * FROM written") == []
    finally:
        server.admin("DROP VIEW trap; DROP FUNCTION write_row; DROP TABLE written")


def test_the_module_sends_one_read_only_transaction_and_nothing_else(query: Query, server: Server) -> None:
    before = len(server.log.read_text(encoding="utf-8"))
    assert query()["reachable"]
    log = server.log.read_text(encoding="utf-8")[before:]
    statements = re.findall(r"^\[wekruit\.ghosthands\] LOG:  (?:statement|execute [^:]+): (.*)$", log, re.MULTILINE)
    assert statements[0] == "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    assert statements[-1] == "ROLLBACK"
    assert [re.match(r"SELECT set_config|SELECT|$", statement) is not None for statement in statements[1:-1]] == [
        True
    ] * 3
    assert "execute <unnamed>" in log  # no prepared statement with a name, which a pooler would lose


def test_without_the_select_privilege_the_error_says_what_to_grant(query: Query) -> None:
    result = query("gh_nobody")
    assert not result["reachable"]
    assert "GRANT SELECT ON gh_worker_registry TO it" in result["error"]


def test_row_level_security_that_may_hide_rows_is_reported(query: Query, server: Server) -> None:
    server.admin(
        "INSERT INTO gh_worker_registry VALUES ('w-1', 'active');"
        " ALTER TABLE gh_worker_registry ENABLE ROW LEVEL SECURITY"
    )
    try:
        result = query()
        assert (result["rows"], result["row_security"]) == ([], True)
        assert query("postgres")["row_security"] is False
    finally:
        server.admin("ALTER TABLE gh_worker_registry DISABLE ROW LEVEL SECURITY")
