"""It only reads: whoever it reads as."""

from __future__ import annotations

import re

import pytest

from tests.registry.conftest import Ask
from tests.registry.servers import Server


@pytest.mark.parametrize(("user", "may_write"), [("gh_reader", False), ("gh_worker", True), ("postgres", True)])
def test_it_says_whether_its_user_could_write(ask: Ask, user: str, may_write: bool) -> None:
    assert ask(user)["may_write"] is may_write


def test_a_right_to_write_one_column_counts(ask: Ask, server: Server) -> None:
    server.admin("GRANT UPDATE (status) ON gh_worker_registry TO gh_reader")
    try:
        assert ask()["may_write"] is True
    finally:
        server.admin("REVOKE UPDATE (status) ON gh_worker_registry FROM gh_reader")


def test_a_user_who_may_write_cannot_in_this_transaction(ask: Ask, server: Server) -> None:
    server.admin(
        "CREATE TABLE trodden (at timestamptz); GRANT INSERT ON trodden TO gh_worker;"
        " CREATE FUNCTION tread() RETURNS text LANGUAGE sql VOLATILE AS $$ INSERT INTO trodden VALUES (now()) RETURNING 'active' $$;"
        " CREATE VIEW trap AS SELECT 'w' AS worker_id, tread() AS status, NULL::text AS target_worker_id, NULL::text AS ec2_instance_id,"
        " NULL::text AS ec2_ip, NULL::uuid AS current_job_id, now() AS registered_at, now() AS last_heartbeat, 0 AS jobs_completed, 0 AS jobs_failed;"
        " GRANT SELECT ON trap TO gh_worker"
    )
    try:
        result = ask("gh_worker", table="trap")
        assert "cannot execute INSERT in a read-only transaction" in result["error"]
        assert server.admin("SELECT * FROM trodden") == []
    finally:
        server.admin("DROP VIEW trap; DROP FUNCTION tread; DROP TABLE trodden")


def test_it_sends_a_read_only_transaction_and_nothing_else(ask: Ask, server: Server) -> None:
    before = len(server.log.read_text(encoding="utf-8"))
    assert ask()["reachable"]
    said = server.log.read_text(encoding="utf-8")[before:]
    statements = re.findall(r"^\[wekruit\.ghosthands\] LOG:  (?:statement|execute [^:]+): (.*)$", said, re.MULTILINE)
    assert statements[0] == "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    assert statements[-1] == "ROLLBACK"
    assert [re.match(r"SELECT set_config|SELECT|$", statement) is not None for statement in statements[1:-1]] == [
        True
    ] * 3
    assert "execute <unnamed>" in said  # no prepared statement with a name, which a pooler would lose


def test_who_may_not_read_is_told_what_to_grant(ask: Ask) -> None:
    result = ask("gh_nobody")
    assert not result["reachable"]
    assert "GRANT SELECT ON gh_worker_registry TO it" in result["error"]


def test_rows_that_a_policy_may_hide_are_pointed_out(ask: Ask, server: Server) -> None:
    server.admin(
        "INSERT INTO gh_worker_registry VALUES ('w-1', 'active'); ALTER TABLE gh_worker_registry ENABLE ROW LEVEL SECURITY"
    )
    try:
        result = ask()
        assert (result["rows"], result["row_security"]) == ([], True)
        assert ask("postgres")["row_security"] is False
    finally:
        server.admin("ALTER TABLE gh_worker_registry DISABLE ROW LEVEL SECURITY")
