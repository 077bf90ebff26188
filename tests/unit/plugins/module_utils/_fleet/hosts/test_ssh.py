# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's ssh client, replaced by small programs: its arguments, its time limit and its output."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts import ssh
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import Output
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.ssh import NoAnswer, run

WORD = "answer"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only program on the PATH besides the shell's; a test writes what it does."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "ssh"


def does(client: Path, script: str) -> None:
    client.write_text(f"#!/bin/sh\n{script}\n")
    client.chmod(0o755)


def ask(client: Path, *addresses: str, key_file: str = "", seconds: float = 5.0) -> Output:
    return ssh.run_doctor("i-1", addresses, key_file, client.parent / "known hosts", seconds)


def test_ssh_runs_in_batch_mode_with_the_host_key_stored_under_the_instances_id(client: Path) -> None:
    does(client, f"printf '%s\\n' \"$@\" > {client.parent}/words; echo {WORD}")
    assert ask(client, "10.0.0.7", key_file="~/.ssh/key.pem") == Output(f"{WORD}\n")
    words = (client.parent / "words").read_text().splitlines()
    options = [words[i + 1] for i, word in enumerate(words) if word == "-o"]
    assert {"BatchMode=yes", "ConnectTimeout=10", "StrictHostKeyChecking=accept-new", "ControlMaster=no"} <= set(
        options
    )
    assert {"HostKeyAlias=i-1", f'UserKnownHostsFile="{client.parent}/known hosts"', "IdentitiesOnly=yes"} <= set(
        options
    )
    assert words[words.index("-i") + 1] == str(Path("~/.ssh/key.pem").expanduser())
    assert words[-2:] == ["ec2-user@10.0.0.7", "sudo -n /usr/local/bin/ghosthands-agent doctor --json"]


def test_without_a_key_file_the_clients_own_keys_count(client: Path) -> None:
    does(client, 'printf "%s\\n" "$@"')
    assert "-i" not in ask(client, "10.0.0.7").text.splitlines()
    assert "IdentitiesOnly" not in ask(client, "10.0.0.7").text


def test_an_address_that_does_not_connect_is_followed_by_the_next(client: Path) -> None:
    does(client, f'case "$*" in *@54.*) echo "Connection timed out" >&2; exit 255;; esac; echo {WORD}')
    assert ask(client, "54.0.0.1", "10.0.0.7") == Output(f"{WORD}\n")


def test_where_none_connects_each_says_why(client: Path) -> None:
    does(client, 'echo "debug" >&2; for last; do :; done; echo "Connection refused" >&2; exit 255')
    assert ask(client, "54.0.0.1", "10.0.0.7") == Output(
        "", "54.0.0.1: Connection refused; 10.0.0.7: Connection refused"
    )


def test_what_the_host_refuses_is_not_tried_at_its_other_address(client: Path) -> None:
    does(client, f"echo tried >> {client.parent}/tries; echo 'sudo: a password is required' >&2; exit 1")
    assert ask(client, "54.0.0.1", "10.0.0.7") == Output("", "54.0.0.1: sudo: a password is required")
    assert (client.parent / "tries").read_text() == "tried\n"


def test_findings_are_read_whatever_the_doctors_exit_code(client: Path) -> None:
    does(client, f"echo {WORD}; echo noise >&2; exit 1")
    assert ask(client, "10.0.0.7") == Output(f"{WORD}\n")


def test_a_silent_failure_is_reported_with_its_exit_code(client: Path) -> None:
    does(client, "exit 3")
    assert ask(client, "10.0.0.7") == Output("", "10.0.0.7: exit code 3")


def test_a_host_without_an_address_is_not_asked(client: Path) -> None:
    assert ask(client) == Output("", "it has no address")


def test_a_machine_without_ssh_says_so(client: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(client.parent))
    assert ask(client, "10.0.0.7").problem == "10.0.0.7: ssh cannot be run here: No such file or directory"


@pytest.mark.parametrize("script", ["exec sleep 60", "while :; do echo x; sleep 0.05; done", "exec sleep 60 >&- 2>&-"])
def test_a_host_that_does_not_come_to_an_end_is_left(script: str, client: Path) -> None:
    does(client, script)
    began = time.monotonic()
    assert ask(client, "10.0.0.7", seconds=0.5).problem == "10.0.0.7: no answer within 0 s"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("script", ["yes", "yes >&2"])
def test_a_host_that_prints_too_much_is_cut_off(script: str, client: Path) -> None:
    does(client, f"exec {script}")
    began = time.monotonic()
    assert ask(client, "10.0.0.7", seconds=30).problem == "10.0.0.7: it printed more than 256 KiB"
    assert time.monotonic() - began < 5


def test_bytes_that_are_no_text_are_read_all_the_same() -> None:
    assert run(["printf", r"\377\000a"], 5, 100) == (0, "\ufffd\x00a", "")


def test_exactly_as_much_as_is_allowed_is_allowed() -> None:
    assert run(["printf", "12345"], 5, 5)[1] == "12345"
    with pytest.raises(NoAnswer, match="more than 0 KiB"):
        run(["printf", "123456"], 5, 5)
