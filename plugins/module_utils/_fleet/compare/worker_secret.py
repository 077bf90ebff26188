# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What writing the worker's secret would change. Pure; a plan's texts hold names of keys, never a value."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts import worker_secret
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_secret import (
    PLACEHOLDER,
    BadSecret,
)


@dataclass(frozen=True)
class Plan:
    """The secret as it will be, and how that differs from what it is."""

    text: str = field(repr=False)
    """the whole value"""
    before: frozenset[str]
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.added or self.changed or self.removed)

    @property
    def diff(self) -> dict[str, str]:
        """Names of keys for `--diff`."""
        now = (self.before | set(self.added)) - set(self.removed)
        return {
            "before": "".join(f"{key}\n" for key in sorted(self.before)),
            "after": "".join(f"{key}{' (another value)' if key in self.changed else ''}\n" for key in sorted(now)),
        }

    def __str__(self) -> str:
        parts = {"adds": self.added, "changes": self.changed, "removes": self.removed}
        return "; ".join(f"{verb} {', '.join(keys)}" for verb, keys in parts.items() if keys) or "nothing changes"


def planned(
    present: str | None, given: Mapping[str, Any], required: Collection[str], allowed: Collection[str], replace: bool
) -> Plan:
    """What `given` makes of the present value.

    :param present: None or empty: there is none.
    :param required: keys that the result must have; `A|B`: one of them.
    :param allowed: further keys that may be given.
    :param replace: drop the keys that are not given.
    :raises BadSecret: with every problem at once.
    """
    before = _present(present, replace)
    kept = {} if replace else {key: value for key, value in before.items() if key != PLACEHOLDER}
    after = {**kept, **given}
    old = {key: value for key, value in kept.items() if key not in given}
    problems = [*_unknown(given, required, allowed), *worker_secret.unusable(given), *worker_secret.unusable(old)]
    problems += worker_secret.missing(after, required)
    if list(worker_secret.unusable(old)):
        problems.append("Drop the keys that are not given: -e fleet_secret_replace=true")
    if problems:
        raise BadSecret(" ".join(problems))
    text = json.dumps(after, indent=1, sort_keys=True)
    if len(text.encode()) > worker_secret.VALUE_BYTES:
        raise BadSecret(f"It would have more than {worker_secret.VALUE_BYTES} bytes.")
    return Plan(
        text,
        frozenset(before),
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(key for key in after.keys() & before.keys() if after[key] != before[key])),
        tuple(sorted(before.keys() - after.keys())),
    )


def from_environment(
    environment: Mapping[str, str], required: Collection[str], allowed: Collection[str]
) -> dict[str, str]:
    """The keys that have a value in the environment."""
    return {key: environment[key] for key in sorted(_known(required, allowed)) if environment.get(key)}


def _known(required: Collection[str], allowed: Collection[str]) -> set[str]:
    return {name for rule in required for name in rule.split("|")} | set(allowed)


def _present(text: str | None, replace: bool) -> dict[str, Any]:
    if not text or not text.strip():
        return {}
    try:
        return worker_secret.parsed(text)
    except BadSecret as error:
        if replace:
            return {}
        raise BadSecret(
            f"The present value cannot be added to. {error} Drop it: -e fleet_secret_replace=true"
        ) from None


def _unknown(given: Mapping[str, Any], required: Collection[str], allowed: Collection[str]) -> Iterator[str]:
    known = _known(required, allowed)
    for key in given:
        if worker_secret.NAME.fullmatch(key) and key not in known and not list(worker_secret.unusable({key: ""})):
            yield f"{key} is not a key of the worker; if it is, name it in fleet_secret_keys."
