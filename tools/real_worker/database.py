"""A temporary PostgreSQL, and in it a database with the worker's own migrations for each fleet."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
from localcloud.testing import free_port

from tests.registry.servers import Account
from tools.real_worker.processes import RunFolder
from tools.real_worker.source import ROOT, NotUsable

HERE = Path(__file__).parent
TEMPLATE = "worker"
START_SECONDS = 30.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 400,  # a worker takes about six
    "fsync": "off",
}


class Database:
    """One database. Each query has a connection of its own and is committed."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run statements and return the rows of the last one."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []


class Server:
    """A PostgreSQL whose `TEMPLATE` database has what the worker needs.

    Args:
        migrations: the worker's own, in order.
    """

    def __init__(self, run: RunFolder, migrations: Iterable[Path]) -> None:
        programs = subprocess.run([ROOT / ".ci/postgres"], stdout=subprocess.PIPE, text=True, check=False)
        if programs.returncode:
            raise NotUsable("PostgreSQL is not installed, and .ci/postgres could not install it (see above)")
        folder, account = Path(programs.stdout.strip()), Account.unprivileged()
        home = run.path / "postgres"
        home.mkdir()
        os.chown(home, account.uid, account.gid)
        data, port = home / "data", free_port()
        account.run(folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N", "--locale=C")
        settings = {**SETTINGS, "port": port, "unix_socket_directories": home}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(folder / "postgres"), "-D", str(data), *words]
        self._process = run.start("postgres", command, account=None if os.getuid() == account.uid else account)
        self._url = f"postgres://postgres@127.0.0.1:{port}"
        self._log = run.path / "postgres.log"
        self._wait()
        self._postgres.query(f"CREATE DATABASE {TEMPLATE}")
        template = Database(f"{self._url}/{TEMPLATE}")
        template.query((HERE / "supabase.sql").read_text())
        for migration in migrations:
            try:
                template.query(migration.read_text())
            except psycopg.Error as error:
                raise NotUsable(f"the worker's migration {migration} does not run: {error}") from None
        template.query((HERE / "recording.sql").read_text())

    @property
    def _postgres(self) -> Database:
        return Database(f"{self._url}/postgres")

    def create(self, name: str) -> Database:
        """Create a database like the template."""
        self._postgres.query(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return Database(f"{self._url}/{name}")

    def _wait(self) -> None:
        limit = time.monotonic() + START_SECONDS
        while True:
            try:
                self._postgres.query("SELECT 1")
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > limit or self._process.poll() is not None:
                    raise NotUsable(f"PostgreSQL does not start: {error}; {self._log}") from None
                time.sleep(0.1)
