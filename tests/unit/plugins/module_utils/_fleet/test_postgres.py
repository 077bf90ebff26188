# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection parameters. tests/registry has what a real database answers."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet import postgres
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.postgres import (
    RegistryError,
    identifier,
    parameters,
)

AUTHORITIES = "/system/authorities.crt"
DSN = "postgresql://me:secret@db.example:6543/valet"


@pytest.fixture(autouse=True)
def no_libpq_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An operator without files and variables of libpq's, on a system with these authorities."""
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        ssl, "get_default_verify_paths", lambda: ssl.DefaultVerifyPaths(AUTHORITIES, "", "", "", "", "")
    )


def test_a_dsn_is_parsed_and_trusts_the_systems_authorities() -> None:
    assert parameters(f" {DSN}\n", {}) == {
        "host": "db.example",
        "port": "6543",
        "user": "me",
        "password": "secret",
        "dbname": "valet",
        "sslmode": "verify-full",
        "sslrootcert": AUTHORITIES,
        "application_name": "wekruit.ghosthands",
        "client_encoding": "UTF8",
    }


@pytest.mark.parametrize(
    ("dsn", "parts", "mode"),
    [
        (DSN, {}, "verify-full"),
        (f"{DSN}?sslmode=require", {}, "require"),
        (f"{DSN}?sslmode=require", {"sslmode": None}, "require"),
        (f"{DSN}?sslmode=disable", {"sslmode": "verify-ca"}, "verify-ca"),
        ("host=db.example sslmode=verify-ca", {}, "verify-ca"),
        ("", {"host": "db.example"}, "verify-full"),
    ],
)
def test_the_parameter_overrides_the_dsn_and_the_dsn_the_default(
    dsn: str, parts: dict[str, str | None], mode: str
) -> None:
    assert parameters(dsn, parts)["sslmode"] == mode


@pytest.mark.parametrize("parts", [{"sslrootcert": "/mine.crt"}, {"sslmode": "require"}, {"sslmode": "disable"}])
def test_the_systems_authorities_are_not_used_where_others_are_given_or_none_are_needed(
    parts: dict[str, str | None],
) -> None:
    assert parameters(DSN, parts).get("sslrootcert") == parts.get("sslrootcert")


def test_libpqs_own_ways_to_give_an_authority_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGSSLROOTCERT", "/mine.crt")
    assert "sslrootcert" not in parameters(DSN, {})
    monkeypatch.delenv("PGSSLROOTCERT")
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql/root.crt").touch()
    assert "sslrootcert" not in parameters(DSN, {})


def test_without_the_driver_the_error_has_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "HAS_PSYCOPG", False)
    with pytest.raises(RegistryError, match=r"has no psycopg.*python[\d.]* -m pip install 'psycopg\[binary\]>=3.2'$"):
        parameters(DSN, {})


@pytest.mark.parametrize(
    ("table", "parts"),
    [("gh_worker_registry", ("gh_worker_registry",)), ("Public.T$1", ("Public", "T$1")), ("_", ("_",))],
)
def test_a_table_is_a_name_or_a_schema_and_a_name(table: str, parts: tuple[str, ...]) -> None:
    assert identifier(table) == parts
