"""The module run by Ansible: output, failure, and hidden passwords."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.registry.servers import DATABASE, PASSWORDS, ROOT, Server

Run = tuple[int, dict[str, Any], str]


def ansible(options: dict[str, Any], home: Path, *words: str) -> Run:
    """Exit code, the module's result and all output of one ad-hoc task on the controller."""
    command = [sys.executable, "-m", "ansible", "adhoc", "localhost", "-m", "wekruit.ghosthands.worker_registry_info"]
    interpreter = ["-e", json.dumps({"ansible_python_interpreter": sys.executable})]
    done = subprocess.run(
        [*command, "-a", json.dumps(options), "-o", "-vvv", "-i", "localhost,", "-c", "local", *interpreter, *words],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_HOME": str(home), "ANSIBLE_LOCAL_TEMP": str(home / "tmp"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    printed = done.stdout + done.stderr
    found = [line.split("=>", 1)[1] for line in done.stdout.splitlines() if line.startswith("localhost | ")]
    assert len(found) == 1, printed
    return done.returncode, json.loads(found[0]), printed


def assert_no_password(printed: str, user: str) -> None:
    """The password was not printed, neither as it is nor escaped as in a DSN."""
    assert PASSWORDS[user] not in printed
    assert quote(PASSWORDS[user], safe="") not in printed


@pytest.mark.parametrize("check", [[], ["--check"]])
def test_rows_are_returned_and_nothing_changes(server: Server, tmp_path: Path, check: list[str]) -> None:
    server.admin(
        "INSERT INTO gh_worker_registry (worker_id, status, ec2_instance_id)"
        " VALUES ('{{ 1 + 1 }}', 'active', 'i-01234567')"
    )
    code, result, printed = ansible(server.options(), tmp_path, *check)
    assert (code, result["changed"], result["reachable"], result["may_write"]) == (0, False, True, False)
    assert [row["worker_id"] for row in result["rows"]] == ["{{ 1 + 1 }}"]
    assert_no_password(printed, "gh_reader")


def test_a_dsn_and_its_password_are_never_printed(server: Server, tmp_path: Path) -> None:
    dsn = f"postgresql://gh_reader:{quote(PASSWORDS['gh_reader'], safe='')}@localhost:{server.port}/{DATABASE}"
    code, result, printed = ansible({"dsn": dsn, "sslrootcert": str(server.authority)}, tmp_path)
    assert (code, result["reachable"]) == (0, True)
    assert "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER" in printed
    assert_no_password(printed, "gh_reader")
    # The tests' authority is not one of the system's.
    code, result, printed = ansible({"dsn": dsn, "sslmode": "verify-full"}, tmp_path)
    assert code != 0
    assert "give the provider's root certificate" in result["msg"]
    assert_no_password(printed, "gh_reader")


def test_an_unreachable_registry_fails_unless_fail_is_false_and_returns_the_same_keys(
    server: Server, tmp_path: Path
) -> None:
    options = server.options(table="no_such_table")
    code, failed, _printed = ansible(options, tmp_path)
    assert code != 0
    assert failed["msg"] == failed["error"]
    code, passed, _printed = ansible({**options, "fail": False}, tmp_path)
    assert code == 0
    keys = set(passed) - {"invocation"}
    assert {k: v for k, v in failed.items() if k in keys} == {k: v for k, v in passed.items() if k in keys}
    assert "no table no_such_table" in passed["error"]


def test_without_the_driver_the_error_says_how_to_install_it(server: Server, tmp_path: Path) -> None:
    blind = tmp_path / "psycopg"
    blind.mkdir()
    (blind / "__init__.py").write_text("raise ImportError('not here')\n", encoding="utf-8")
    options = {**server.options(), "fail": False}
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec "{sys.executable}" "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    code, result, _printed = ansible(
        options, tmp_path / "home", "-e", json.dumps({"ansible_python_interpreter": str(wrapper)})
    )
    assert (code, result["reachable"]) == (0, False)
    assert result["error"].endswith("-m pip install 'psycopg[binary]>=3.2'")
