"""A temporary PostgreSQL with TLS, and a pgbouncer in front of it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg

ROOT = Path(__file__).resolve().parents[2]
DATABASE = "valet"
PASSWORDS = {
    "postgres": "root-of-the-tests",
    "gh_reader": "reader's:p@ss/w?rd#1%",
    "gh_worker": "worker-password",
    "gh_nobody": "nobody-password",
}
SCHEMA: LiteralString = """
ALTER ROLE postgres PASSWORD 'root-of-the-tests';
CREATE TABLE gh_worker_registry (
    worker_id text PRIMARY KEY,
    status text,
    target_worker_id text,
    ec2_instance_id text,
    ec2_ip text,
    current_job_id uuid,
    registered_at timestamptz DEFAULT now(),
    last_heartbeat timestamptz DEFAULT now(),
    jobs_completed int DEFAULT 0,
    jobs_failed int DEFAULT 0,
    metadata jsonb DEFAULT '{}'
);
CREATE ROLE gh_reader LOGIN PASSWORD 'reader''s:p@ss/w?rd#1%';
CREATE ROLE gh_worker LOGIN PASSWORD 'worker-password';
CREATE ROLE gh_nobody LOGIN PASSWORD 'nobody-password';
GRANT SELECT ON gh_worker_registry TO gh_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON gh_worker_registry TO gh_worker;
"""
HBA = """
local all postgres trust
hostssl all all 127.0.0.1/32 scram-sha-256
host unencrypted all 127.0.0.1/32 scram-sha-256
"""


def free_port() -> int:
    """A free port on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Account:
    """The account that runs the servers: PostgreSQL and pgbouncer refuse to run as root."""

    name: str
    uid: int
    gid: int

    @classmethod
    def unprivileged(cls) -> Account:
        """This process's own account, or an unprivileged one if that is root. Raises LookupError if there is none."""
        names = [pwd.getpwuid(os.getuid()).pw_name] if os.getuid() else ["postgres", "nobody"]
        for name in names:
            with suppress(KeyError):
                found = pwd.getpwnam(name)
                return cls(name, found.pw_uid, found.pw_gid)
        raise LookupError("no account to run PostgreSQL as")

    def start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        """Start `command` as this account, its output in `log`."""
        with log.open("ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, cwd="/", **self._as())

    def run(self, *command: str | Path) -> None:
        """Run `command` as this account. Raises RuntimeError with its output."""
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", **self._as())
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")

    def _as(self) -> dict[str, Any]:
        return {} if os.getuid() == self.uid else {"user": self.uid, "group": self.gid, "extra_groups": []}


class Server:
    """PostgreSQL with a certificate for `localhost`, and pgbouncer in transaction mode.

    Attributes:
        pool_size: connections of the pooler to it; one, so that the next client finds what the last one left.
    """

    pool_size = 1

    def __init__(self) -> None:
        programs = subprocess.run([ROOT / ".ci/postgres"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        self._programs, self._account = Path(programs), Account.unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="gh-registry-"))
        os.chown(self.folder, self._account.uid, self._account.gid)
        self.port, self.pooler_port = free_port(), free_port()
        self.log = self.folder / "postgres.log"
        self._database: subprocess.Popen[bytes] | None = None
        self._pooler: subprocess.Popen[bytes] | None = None
        try:
            self._make()
            self.start()
            self.admin(f"CREATE DATABASE {DATABASE}", database="postgres")
            self.admin("CREATE DATABASE unencrypted", database="postgres")
            self.admin(SCHEMA)
            self._start_pooler()
        except BaseException:
            self.close()
            raise

    @property
    def authority(self) -> Path:
        """The certificate of the authority that signed the server's."""
        return self.folder / "authority.crt"

    @property
    def foreign_authority(self) -> Path:
        """The certificate of another authority."""
        return self.folder / "foreign.crt"

    def start(self) -> None:
        """Start PostgreSQL and wait until it answers."""
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data")]
        self._database = self._account.start(command, self.log)
        _until(lambda: self.admin("SELECT 1", database="postgres"), self.log)

    def stop(self) -> None:
        """Stop PostgreSQL, as `pg_ctl stop -m fast` does."""
        assert self._database
        _terminate(self._database)
        self._database = None

    def close(self) -> None:
        """Stop both servers and remove their folder."""
        for process in filter(None, (self._pooler, self._database)):
            _terminate(process)
        shutil.rmtree(self.folder)

    def admin(self, statement: LiteralString, *values: Any, database: str = DATABASE) -> list[tuple[Any, ...]]:
        """Run `statement` as the superuser and return its rows."""
        with psycopg.connect(self._superuser_dsn(database), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def options(self, user: str = "gh_reader", **changed: Any) -> dict[str, Any]:
        """The module's options to reach the table as `user`, with `changed` ones; None removes an option."""
        options = {
            "host": "localhost",
            "port": self.port,
            "database": DATABASE,
            "user": user,
            "password": PASSWORDS.get(user),
            "sslrootcert": str(self.authority),
            **changed,
        }
        return {name: value for name, value in options.items() if value is not None}

    @contextmanager
    def open_transaction(self, statement: LiteralString) -> Iterator[None]:
        """A superuser's transaction that ran `statement` and stays open during the block."""
        with psycopg.connect(self._superuser_dsn(DATABASE)) as connection:
            connection.execute(statement)
            yield
            connection.rollback()

    @contextmanager
    def without_tls(self) -> Iterator[None]:
        """The server offers no TLS during the block."""
        self._set_tls("off")
        yield
        self._set_tls("on")

    def _superuser_dsn(self, database: str) -> str:
        return psycopg.conninfo.make_conninfo(host=str(self.folder), port=self.port, user="postgres", dbname=database)

    def _set_tls(self, value: LiteralString) -> None:
        self.admin(f"ALTER SYSTEM SET ssl = {value}", database="postgres")
        self.admin("SELECT pg_reload_conf()", database="postgres")
        _until(lambda: self._tls_is(value), self.log)

    def _tls_is(self, value: str) -> None:
        if self.admin("SHOW ssl", database="postgres") != [(value,)]:
            raise ConnectionError(f"ssl is not {value} yet")

    def _make(self) -> None:
        _certificates(self.folder)
        for file in self.folder.iterdir():
            os.chown(file, self._account.uid, self._account.gid)
        self._account.run(
            self._programs / "initdb",
            "--pgdata",
            self.folder / "data",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )
        data = self.folder / "data"
        (data / "pg_hba.conf").write_text(HBA, encoding="utf-8")
        settings: Mapping[str, object] = {
            "port": self.port,
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": f"'{self.folder}'",
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": f"'{self.folder}/server.crt'",
            "ssl_key_file": f"'{self.folder}/server.key'",
            "log_statement": "all",
            "log_line_prefix": "'[%a] '",
        }
        with (data / "postgresql.conf").open("a", encoding="utf-8") as configuration:
            configuration.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def _start_pooler(self) -> None:
        """With a certificate for `localhost`, too."""
        folder = self.folder
        users = folder / "users.txt"
        users.write_text("".join(f'"{user}" "{password}"\n' for user, password in PASSWORDS.items()), encoding="utf-8")
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.pooler_port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": users,
            "pool_mode": "transaction",
            "default_pool_size": self.pool_size,
            "client_tls_sslmode": "require",
            "client_tls_cert_file": folder / "server.crt",
            "client_tls_key_file": folder / "server.key",
            "server_tls_sslmode": "verify-full",
            "server_tls_ca_file": self.authority,
        }
        lines = [f"{name} = {value}" for name, value in settings.items()]
        config = folder / "pgbouncer.ini"
        config.write_text(
            "\n".join([f"[databases]\n{DATABASE} = host=localhost port={self.port}\n[pgbouncer]", *lines, ""]),
            encoding="utf-8",
        )
        for file in (users, config):
            os.chown(file, self._account.uid, self._account.gid)
            file.chmod(0o600)
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, ".ci/postgres did not install pgbouncer"
        self._pooler = self._account.start([program, str(config)], folder / "pgbouncer.log")
        _until(lambda: socket.create_connection(("127.0.0.1", self.pooler_port)).close(), folder / "pgbouncer.log")


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """Interrupt (PostgreSQL's fast shutdown, pgbouncer's safe one), and kill after 30 s."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _certificates(folder: Path) -> None:
    """authority.crt, foreign.crt, and server.key with its server.crt for `localhost`, by openssl."""
    for name in ("authority", "foreign"):
        _openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN=the {name} of the tests"),
            *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"),
        )
    request, names = folder / "server.csr", folder / "names.txt"
    names.write_text("subjectAltName = DNS:localhost\n", encoding="utf-8")
    _openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
        *("-keyout", folder / "server.key", "-out", request),
    )
    _openssl(
        *("x509", "-req", "-in", request, "-days", "2", "-CAcreateserial", "-extfile", names),
        *("-CA", folder / "authority.crt", "-CAkey", folder / "authority.key", "-out", folder / "server.crt"),
    )
    (folder / "server.key").chmod(0o600)


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def _until(look: Callable[[], object], log: Path) -> None:
    """Call `look` until it raises nothing. Raises TimeoutError with the end of `log` after 30 s."""
    limit = time.monotonic() + 30
    while True:
        try:
            look()
        except (psycopg.OperationalError, OSError) as problem:
            if time.monotonic() > limit:
                raise TimeoutError(f"{problem}; {log} ends: {log.read_text(encoding='utf-8')[-2000:]}") from problem
            time.sleep(0.1)
        else:
            return
