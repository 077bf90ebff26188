# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles arrive whole, piece by piece, or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.bundle import Bundle, fetch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import Output

ID = "0a1b2c3d"
FILE = f"/run/ghosthands-bundle-{ID}.tar.xz"


class Hosts:
    """Hosts with these bundles. What an entry of `says` holds is a host's answer to every command with that word."""

    def __init__(self, **bundles: bytes) -> None:
        self.bundles, self.says = bundles, dict[tuple[str, str], Output]()
        self.asked: list[tuple[tuple[str, ...], str]] = []

    def ask(self, instances: Sequence[str], command: str) -> dict[str, Output]:
        self.asked.append((tuple(instances), command))
        return {one: self._answer(one, command) for one in instances}

    def _answer(self, one: str, command: str) -> Output:
        for (who, word), said in self.says.items():
            if who == one and word in command:
                return said
        data = self.bundles[one]
        if command == f"/usr/local/bin/ghosthands-agent collect {FILE}":
            return Output(json.dumps({"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}))
        if found := re.fullmatch(
            rf"sh -c 'dd if={FILE} bs=(\d+) skip=(\d+) count=1 2>/dev/null \| base64 -w 0'", command
        ):
            size, number = int(found[1]), int(found[2])
            return Output(base64.b64encode(data[number * size : (number + 1) * size]).decode())
        assert command == f"rm -f {FILE}"
        return Output("")

    def fetch(self, piece: int = 10) -> dict[str, Bundle]:
        return fetch(self.ask, list(self.bundles), piece, ID, lambda _line: None)


def test_each_arrives_in_as_many_pieces_as_it_has_and_is_removed_there() -> None:
    hosts = Hosts(a=b"0123456789" * 3, b=b"short")
    assert hosts.fetch() == {"a": Bundle(b"0123456789" * 3), "b": Bundle(b"short")}
    pieces = [who for who, command in hosts.asked if "dd" in command]
    assert pieces == [("a", "b"), ("a",), ("a",)]
    assert hosts.asked[-1] == (("a", "b"), f"rm -f {FILE}")


@pytest.mark.parametrize(
    ("word", "answer", "said"),
    [
        ("collect", Output("", "10.0.0.1: Connection refused"), "Connection refused"),
        (
            "collect",
            Output("", "ghosthands-agent: error: argument VERB: invalid choice: 'collect'"),
            "of an earlier image",
        ),
        ("collect", Output("{}"), "{}"),
        ("collect", Output('{"bytes": 3, "sha256": "$(reboot)"}'), "reboot"),
        ("dd", Output("", "no answer within 90 s"), "what arrived is not what it sent"),
        ("dd", Output("not base64!"), "it sent a piece that is not base64"),
        ("dd", Output(base64.b64encode(b"another").decode()), "what arrived is not what it sent"),
    ],
)
def test_a_host_that_fails_is_named_and_the_others_have_theirs(word: str, answer: Output, said: str) -> None:
    hosts = Hosts(good=b"a bundle", bad=b"a bundle")
    hosts.says[("bad", word)] = answer
    found = hosts.fetch()
    assert found["good"] == Bundle(b"a bundle")
    assert found["bad"].data == b""
    assert said in found["bad"].problem


def test_where_the_controller_is_interrupted_the_hosts_files_are_removed() -> None:
    hosts = Hosts(a=b"0123456789" * 3)

    def ask(instances: Sequence[str], command: str) -> dict[str, Output]:
        answer = hosts.ask(instances, command)
        if "skip=1" in command:
            raise KeyboardInterrupt
        return answer

    with pytest.raises(KeyboardInterrupt):
        fetch(ask, ["a"], 10, ID, lambda _line: None)
    assert hosts.asked[-1] == (("a",), f"rm -f {FILE}")
