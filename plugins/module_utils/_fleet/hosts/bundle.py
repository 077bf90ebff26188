# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Support bundles of hosts: the agent makes and masks one there; it is read piece by piece. Standard library only."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import Output, plain

COLLECT = "/usr/local/bin/ghosthands-agent collect"
PIECES = {"ssh": 150_000, "ssm": 17_400}
"""bytes that one answer may hold, in base64: ssh.MOST_BYTES, run_command.MOST_CHARACTERS"""
MOST_PIECES = 200
Ask = Callable[[Sequence[str], str], Mapping[str, Output]]


class Bundle(NamedTuple):
    """A host's bundle, or why there is none."""

    data: bytes
    problem: str = ""


class _Made(NamedTuple):
    size: int
    digest: str


def fetch(ask: Ask, instances: Sequence[str], piece: int, id: str, log: Callable[[str], None]) -> dict[str, Bundle]:
    """instance -> its bundle.

    :param ask: (instances, command) -> what the command prints on each, as root.
    :param piece: how many bytes one answer may hold.
    :param id: names the file there; letters and digits.
    """
    file = f"/run/ghosthands-bundle-{id}.tar.xz"
    made = ask(instances, f"{COLLECT} {file}")
    found = {one: _made(made[one]) for one in instances}
    bundles = {one: Bundle(b"", each) for one, each in found.items() if isinstance(each, str)}
    there = {one: each for one, each in found.items() if isinstance(each, _Made)}
    data = dict.fromkeys(there, b"")
    try:
        for number in range(MOST_PIECES):
            missing = [one for one in there if one not in bundles and len(data[one]) < there[one].size]
            if not missing:
                break
            total = sum(each.size for each in there.values())
            log(f"{sum(map(len, data.values())) // 1024} of {total // 1024} KiB read, {len(missing)} hosts left")
            read = f"sh -c 'dd if={file} bs={piece} skip={number} count=1 2>/dev/null | base64 -w 0'"
            for one, output in ask(missing, read).items():
                try:
                    data[one] += base64.b64decode(output.text.strip(), validate=True)
                except ValueError:
                    bundles[one] = Bundle(b"", plain(output.problem or "it sent a piece that is not base64"))
    finally:
        if there:
            ask(list(there), f"rm -f {file}")
    for one, each in there.items():
        if one not in bundles:
            whole = hashlib.sha256(data[one]).hexdigest() == each.digest
            bundles[one] = Bundle(data[one]) if whole else Bundle(b"", "what arrived is not what it sent")
    return bundles


def _made(output: Output) -> _Made | str:
    """The size and digest of the bundle that a host has made, or why it has not."""
    try:
        answer = json.loads(output.text)
        size, digest = int(answer["bytes"]), str(answer["sha256"])
    except (ValueError, LookupError, TypeError):
        said = plain(output.problem or output.text) or "no answer"
        return "its agent has no verb collect: it is of an earlier image" if "invalid choice" in said else said
    return _Made(size, digest) if size > 0 and re.fullmatch("[0-9a-f]{64}", digest) else plain(output.text)
