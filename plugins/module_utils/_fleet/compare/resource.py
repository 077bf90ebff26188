# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module's parameters mean in AWS's answers, and the one comparison over that. Pure.

It fails closed: a parameter without a meaning here, an absent or an odd answer all count as differing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Parameters = Mapping[str, Any]
Difference = tuple[dict[str, Any], dict[str, Any]]
"""(before, after), in the module's own words; only what differs"""
Call = Callable[..., Any]
"""`call(service, operation, key=None, absent=(), **request)`: AWS's answer (or its part `key`); None where AWS answers with a code in `absent`."""


class CannotAsk(Exception):
    """What a `call` raises where there is no answer: one sentence, and what to do."""


class Meaning(NamedTuple):
    """One parameter: what is wanted and what is there, brought to one form."""

    wanted: Callable[[Any], Any]
    """(the parameter's value) -> that form"""
    found: Callable[[Any, Parameters], Any]
    """(AWS's answer, all parameters) -> that form"""


def _nothing(raw: Any, *_more: Any) -> dict[str, Any]:
    return {}


def _as_it_is(raw: Any, _p: Parameters) -> Any:
    return raw


class Resource(NamedTuple):
    """One stock module."""

    read: Callable[[Call, Parameters], Any]
    """(call, parameters) -> AWS's answer, None where absent. Raises KeyError where a parameter that names the thing is not known yet."""
    says: Mapping[str, Meaning | None]
    """parameter -> meaning; None: it names the thing, counts at creation only, or steers the module"""
    gives: Callable[[Any, frozenset[str]], Mapping[str, Any]] = _nothing
    """(answer, parameters that differ) -> the part of the module's result that other tasks refer to, as it will be after the task"""
    rest: Callable[[Any, Parameters], Mapping[str, Any]] = _nothing
    """(answer, parameters) -> what AWS holds beyond the stated parameters, where the module would remove it"""
    among: Callable[[Any, Parameters], Any] = _as_it_is
    """(answer, parameters) -> the one meant, where `read` had to ask before every parameter was known and found several"""


def compare(resource: Resource, p: Parameters, raw: Any) -> Difference | None:
    """None where AWS's answer `raw` is what the module would make of its parameters `p`; else what differs."""
    odd = {k: "no comparison known" for k in p if k not in resource.says}
    if p.get("state") == "absent":
        if raw is None and not odd:
            return None
        return {k: v for k, v in p.items() if k != "state"} if raw is not None else {}, {"state": "absent", **odd}
    if raw is None:
        return {}, {**p, **odd}
    before: dict[str, Any] = dict(resource.rest(raw, p))
    after: dict[str, Any] = dict(odd)
    for name, value in p.items():
        meaning = resource.says.get(name)
        if meaning is None:
            continue
        wanted, found = meaning.wanted(value), meaning.found(raw, p)
        if wanted != found:
            before[name], after[name] = found, wanted
    return (before, after) if before or after else None
