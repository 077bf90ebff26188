# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the registry's table from PostgreSQL in one read-only transaction. Only this file imports the driver.

Works through poolers in transaction mode as well: no startup options, no prepared statements, and every setting is
local to the transaction.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.registry import COLUMNS, WorkerJobs

try:
    import psycopg
    from psycopg import conninfo, rows, sql

    HAS_PSYCOPG = True
except ImportError:  # ansible-test imports every plugin without it
    HAS_PSYCOPG = False

SSLMODES = ("disable", "require", "verify-ca", "verify-full")  # libpq's allow and prefer may not encrypt, silently
TIMES = ("registered_at", "last_heartbeat")
NAME = r"[A-Za-z_][A-Za-z0-9_$]{0,62}"  # PostgreSQL keeps 63 bytes of a name

BAD_DSN = (
    "The dsn cannot be parsed: write postgresql://user:password@host:port/database, "
    "with every @ : / ? # and % of the password written as %40 %3A %2F %3F %23 %25, "
    "followed only by parameters of libpq (pgbouncer=true is not one)."
)
# What the driver or the server says -> what to do. The first match counts; none where the server's language is another.
REMEDIES = (
    (
        r"does not support SSL|SSL not supported",
        "the server has no TLS: enable it there, or use sslmode=disable if the network in between can be trusted",
    ),
    (
        r"does not match host name|server certificate for",
        "use the host name of its certificate, or sslmode=verify-ca",
    ),
    (
        r"certificate verify failed|certificate file",
        "give the provider's root certificate in sslrootcert (Supabase: database settings, SSL configuration)",
    ),
    (r"no encryption|SSL (connection )?(is )?required", "the server requires TLS: use sslmode=verify-full"),
    (
        r"no pg_hba\.conf entry|not allowed",
        "allow this user and this machine's address: pg_hba.conf, or the provider's allow list",
    ),
    (r"[Tt]enant or user not found|no such user", "check the user: with a pooler it may be user.project"),
    (
        r"password|SASL|authentication",
        "check user and password; the password may be in the dsn, in password, or in ~/.pgpass",
    ),
    (r"database .* does not exist|no such database", "check the database's name"),
    (r"resolve|translate host name|[Nn]ame or service|address family", "check the host's name"),
    (r"unreachable|No route", "check the route to it (Supabase's direct address is IPv6 only: use its pooler's)"),
    (r"refused|time(d )?out|timeout", "check that the database is up, the port is right, and this machine is allowed"),
    (r"startup parameter", "remove options from the dsn and PGOPTIONS from the environment: the pooler refuses them"),
    (
        r"too many|connection slots|[Mm]ax ?[Cc]lients|max_client_conn",
        "try again later, or raise the connection limit",
    ),
)
FACTS = """
SELECT extract(epoch FROM now())::float8 AS now,
       current_user::text AS me,
       (SELECT array_agg(attname::text) FROM pg_catalog.pg_attribute
        WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped) AS columns,
       has_table_privilege(t.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
       OR has_any_column_privilege(t.oid, 'INSERT, UPDATE') AS may_write,
       row_security_active(t.oid) AS row_security
FROM (SELECT to_regclass(%s)::oid AS oid) AS t
"""


FINISHED = ("completed", "failed", "cancelled", "expired", "needs_human")
# The jobs of an instance's workers: what they have claimed, and what the registry says they work on.
JOBS = """
SELECT j.id::text || ' (' || j.status::text || ')'
FROM {jobs} AS j
WHERE j.status::text <> ALL(%(finished)s) AND (
    j.worker_id::text = ANY(%(workers)s)
    OR j.id::text IN (SELECT current_job_id::text FROM {registry} WHERE worker_id = ANY(%(workers)s)))
ORDER BY 1
"""
# What a worker has taken from pg-boss without having claimed the row yet. Older ones were left so by a crash.
FETCHED = """
SELECT coalesce(b.data->>'ghJobId', b.id::text)
FROM pgboss.job AS b LEFT JOIN {jobs} AS j ON j.id::text = b.data->>'ghJobId'
WHERE b.state::text = 'active' AND (b.name = 'gh_apply_job' OR b.name LIKE 'gh_apply_job/%')
  AND b.started_on > now() - interval '60 seconds' AND (j.id IS NULL OR j.status::text IN ('pending', 'queued'))
ORDER BY 1
"""
ENDED = """
SELECT worker_id::text,
       count(*) FILTER (WHERE status::text = 'completed'),
       count(*) FILTER (WHERE status::text = 'failed'),
       count(*) FILTER (WHERE status::text = 'running')
FROM {jobs} WHERE worker_id::text = ANY(%(workers)s) GROUP BY 1
"""
WAITING = "SELECT count(*) AS n FROM {jobs} WHERE status::text IN ('pending', 'queued') AND worker_id IS NULL"


class RegistryError(Exception):
    """The registry cannot be read. The text is one sentence: why, and what to do. It has no password in it."""


@dataclass(frozen=True)
class Reading:
    """What was read, in one snapshot."""

    now: float
    """the database's time, seconds since the epoch"""
    rows: list[dict[str, Any]]
    """as `registry.result` expects them"""
    may_write: bool
    row_security: bool


def parameters(dsn: str, parts: Mapping[str, str | None]) -> dict[str, str]:
    """libpq's connection parameters: those of `dsn`, overridden by `parts` (None: not given).

    Without a root certificate of the operator's own, the system's authorities are trusted.

    :raises RegistryError: its text repeats nothing of `dsn`.
    """
    if not HAS_PSYCOPG:
        raise RegistryError(
            "Ansible's Python has no psycopg, which reads the registry: "
            f"{sys.executable} -m pip install 'psycopg[binary]>=3.2'"
        )
    try:
        stated = {name: str(value) for name, value in conninfo.conninfo_to_dict(dsn.strip()).items()}
    except psycopg.ProgrammingError:  # its text may contain the password
        raise RegistryError(BAD_DSN) from None
    # An unescaped @ or / in a password makes libpq read what follows as another part.
    if "@" in stated.get("host", "") + stated.get("dbname", "") or not re.fullmatch(r"[0-9,]*", stated.get("port", "")):
        raise RegistryError(BAD_DSN)
    stated.update({name: value for name, value in parts.items() if value is not None})
    if not stated:
        raise RegistryError("No database is given: set dsn, or host, database and user.")
    if stated.setdefault("sslmode", "verify-full") not in SSLMODES:
        raise RegistryError(
            f"The dsn's sslmode is not one of {', '.join(SSLMODES)}: others may not encrypt, without saying so."
        )
    authorities = ssl.get_default_verify_paths().cafile
    own = os.environ.get("PGSSLROOTCERT") or (Path.home() / ".postgresql/root.crt").exists()
    if stated["sslmode"].startswith("verify-") and authorities and not own:
        # By its path: the driver's own OpenSSL does not know where this system keeps it.
        stated.setdefault("sslrootcert", authorities)
    return {"application_name": "wekruit.ghosthands", **stated, "client_encoding": "UTF8"}


def identifier(table: str) -> tuple[str, ...]:
    """(table,) or (schema, table). Raises RegistryError for anything but plain names."""
    if not re.fullmatch(rf"({NAME}\.)?{NAME}", table):
        raise RegistryError(
            f"The table {table[:80]!a} is not a valid name: "
            "use letters, digits and _, with the schema and a dot before it if it needs one."
        )
    return tuple(table.split("."))


def read(
    where: Mapping[str, str], table: str, include_offline: bool, connect_timeout: int, statement_timeout: int
) -> Reading:
    """The registry. Timeouts are seconds. Raises RegistryError.

    The database cancels a statement after `statement_timeout`. A connection that is silent for twice as long (in a
    pooler's queue) is closed here.
    """
    name = sql.Identifier(*identifier(table))
    if min(connect_timeout, statement_timeout) < 1:  # 0 would mean no limit
        raise RegistryError("connect_timeout and statement_timeout are seconds: use 1 or more.")
    try:
        with psycopg.connect(
            conninfo.make_conninfo(**where),
            connect_timeout=connect_timeout,
            prepare_threshold=None,
            row_factory=rows.dict_row,
        ) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with _closed_after(connection, 2 * statement_timeout):
                connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{statement_timeout}s"])
                facts = connection.execute(FACTS, [name.as_string(connection)]).fetchone() or {}
                _check_table(table, facts)
                found = connection.execute(_select(name), [include_offline]).fetchall()
                connection.rollback()  # within the time limit too; there is nothing to commit
    except (psycopg.Error, ValueError) as problem:  # ValueError: text that is not UTF-8, a NUL in a parameter
        raise RegistryError(_explained(problem, where, table, statement_timeout)) from None
    return Reading(facts["now"], found, facts["may_write"], facts["row_security"])


@dataclass(frozen=True)
class Jobs:
    """What the workers of one instance have, in one snapshot."""

    workers: tuple[str, ...]
    """the ids under which they are registered"""
    claimed: tuple[str, ...]
    """jobs that are not finished, each with its status"""
    fetched: tuple[str, ...]
    """jobs that some worker takes right now"""
    waiting: int
    """jobs without a worker"""


def worker_jobs(where: Mapping[str, str], registry: str, workers: Sequence[str], timeout: int) -> dict[str, WorkerJobs]:
    """What these workers have ended and have now, by worker id; of the schema in which the registry is.

    Raises:
        RegistryError: the table cannot be read, or policies of the database may hide rows.
    """
    jobs = sql.Identifier(*identifier(registry)[:-1], "gh_automation_jobs")
    with _snapshot(where, timeout, "gh_automation_jobs") as connection:
        hides = connection.execute("SELECT row_security_active(%s)", [jobs.as_string(connection)]).fetchone()
        if hides and hides[0]:
            raise RegistryError(
                "Row-level security of gh_automation_jobs may hide jobs from this user: "
                "CREATE POLICY ... FOR SELECT TO it USING (true)."
            )
        found = connection.execute(sql.SQL(ENDED).format(jobs=jobs), {"workers": list(workers)}).fetchall()
    counted = {str(worker): WorkerJobs(*counts) for worker, *counts in found}
    return {worker: counted.get(worker, WorkerJobs()) for worker in workers}


def jobs_of(where: Mapping[str, str], registry: str, instance: str, timeout: int) -> Jobs:
    """The jobs of an instance's workers; those of the schema in which the registry is. Raises RegistryError."""
    schema = identifier(registry)[:-1]
    names = {
        "registry": sql.Identifier(*identifier(registry)),
        "jobs": sql.Identifier(*schema, "gh_automation_jobs"),
    }

    def query(text: str) -> sql.Composed:
        return sql.SQL(text).format(**names)

    with _snapshot(where, timeout, "gh_automation_jobs") as connection:
        rows = connection.execute(
            query("SELECT worker_id::text FROM {registry} WHERE ec2_instance_id::text = %s"), [instance]
        )
        workers = [str(row[0]) for row in rows]
        given = {"workers": workers, "finished": list(FINISHED)}
        claimed = tuple(str(row[0]) for row in connection.execute(query(JOBS), given))
        queue = connection.execute("SELECT to_regclass('pgboss.job')").fetchone()
        fetched = tuple(str(row[0]) for row in connection.execute(query(FETCHED))) if queue and queue[0] else ()
        waiting = connection.execute(query(WAITING)).fetchone()
    return Jobs(tuple(workers), claimed, fetched, waiting[0] if waiting else 0)


@contextmanager
def _snapshot(where: Mapping[str, str], timeout: int, table: str) -> Iterator[psycopg.Connection[Any]]:
    """A read-only transaction, for which `timeout` seconds are given. Raises RegistryError about `table`."""
    try:
        with psycopg.connect(
            conninfo.make_conninfo(**where),
            connect_timeout=timeout,
            prepare_threshold=None,
        ) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with _closed_after(connection, 2 * timeout):
                connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{timeout}s"])
                yield connection
                connection.rollback()
    except (psycopg.Error, ValueError) as problem:
        raise RegistryError(_explained(problem, where, table, timeout)) from None


@contextmanager
def _closed_after(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Closes the connection after `seconds`, also while something waits for it."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        with suppress(OSError):  # the server may have closed it first
            line.shutdown(socket.SHUT_RDWR)

    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        timer = threading.Timer(seconds, expire)
        timer.start()
        try:
            yield
        except psycopg.OperationalError:
            if not expired.is_set():
                raise
            raise psycopg.OperationalError(f"no answer for {seconds:.0f} s, timed out") from None
        finally:
            timer.cancel()
            timer.join()


def _check_table(table: str, facts: Mapping[str, Any]) -> None:
    """Raises RegistryError where there is no table, or columns are missing."""
    if facts["columns"] is None:
        raise RegistryError(
            f"The database has no table {table} that {facts['me']} can see: "
            "check the database, or write the table's schema and a dot before it."
        )
    if missing := [column for column in COLUMNS if column not in facts["columns"]]:
        raise RegistryError(
            f"The table {table} has no {', '.join(missing)}: "
            "it is not the one that workers register in, or needs their newest migration."
        )


def _select(name: sql.Identifier) -> sql.Composed:
    """Each column in a type that fits all of its values: times as seconds (a time may be infinity), others as text."""
    columns = [
        sql.SQL(
            "extract(epoch FROM {0}::timestamptz)::float8 AS {0}" if column in TIMES else "{0}::text AS {0}"
        ).format(sql.Identifier(column))
        for column in COLUMNS
    ]
    return sql.SQL("SELECT {} FROM {} WHERE %s OR status::text IS DISTINCT FROM 'offline' ORDER BY worker_id").format(
        sql.SQL(", ").join(columns), name
    )


def _explained(problem: Exception, where: Mapping[str, str], table: str, statement_timeout: int) -> str:
    if isinstance(problem, psycopg.errors.QueryCanceled):
        return (
            f"Reading {table} took more than {statement_timeout} s: "
            "see in pg_stat_activity who locks it, or raise statement_timeout if it is only slow."
        )
    if isinstance(problem, psycopg.errors.InsufficientPrivilege):
        grant = f"GRANT SELECT ON {table} TO it, and USAGE on its schema."
        return f"The user may not read {table} ({_first_line(problem, where)}): {grant}"
    text = str(problem)
    remedy = next(
        (remedy for pattern, remedy in REMEDIES if re.search(pattern, text)),
        "ask the database's administrator, with its log",
    )
    place = f"{where.get('host', 'its default host')}:{where.get('port', '5432')}"
    return f"The registry at {place} cannot be read ({_first_line(problem, where)}): {remedy}."


def _first_line(problem: Exception, where: Mapping[str, str]) -> str:
    """The first line of the driver's message, without the password."""
    line = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
    line = re.sub(r"^connection failed: ", "", "".join(c if c.isprintable() else "?" for c in line))
    if password := where.get("password"):
        line = re.sub(rf"(?<!\w){re.escape(password)}(?!\w)", "***", line)
    return line[:300]
