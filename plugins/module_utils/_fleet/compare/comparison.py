# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module's parameters mean in AWS's answers, and the one comparison of both. Pure.

It fails closed: a parameter without a meaning here, and an absent or an unexpected answer, all count as differing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Parameters = Mapping[str, Any]
Difference = tuple[dict[str, Any], dict[str, Any]]
"""(before, after), in the module's own words; only what differs"""


class Meaning(NamedTuple):
    """One parameter: the desired and the actual value, in one form."""

    desired: Callable[[Any], Any]
    """(the parameter's value) -> that form"""
    actual: Callable[[Any, Parameters], Any]
    """(what `aws` read, all parameters) -> that form"""


def _nothing(_found: Any, *_more: Any) -> dict[str, Any]:
    return {}


def _unchanged(found: Any, _p: Parameters) -> Any:
    return found


class Comparison(NamedTuple):
    """One module. `found` is what `aws/modules.py` read for it."""

    parameters: Mapping[str, Meaning | None]
    """parameter -> meaning; None: it identifies the resource, counts at creation only, or controls the module"""
    outputs: Callable[[Any, frozenset[str]], Mapping[str, Any]] = _nothing
    """(found, parameters that differ) -> the part of the module's result that later tasks use, as the task leaves it"""
    unstated: Callable[[Any, Parameters], Mapping[str, Any]] = _nothing
    """(found, parameters) -> what AWS has beyond the stated parameters, where the module would remove it"""
    select: Callable[[Any, Parameters], Any] = _unchanged
    """(found, parameters) -> the resource, where several were found before every parameter was known"""


def compare(comparison: Comparison, p: Parameters, found: Any) -> Difference | None:
    """None where the module would change nothing of `found` with its parameters `p`; else what differs."""
    unknown = {name: "no comparison known" for name in p if name not in comparison.parameters}
    if p.get("state") == "absent":
        if found is None and not unknown:
            return None
        before = {k: v for k, v in p.items() if k != "state"} if found is not None else {}
        return before, {"state": "absent", **unknown}
    if found is None:
        return {}, {**p, **unknown}
    before = dict(comparison.unstated(found, p))
    after: dict[str, Any] = dict(unknown)
    for name, value in p.items():
        meaning = comparison.parameters.get(name)
        if meaning is None:
            continue
        desired, actual = meaning.desired(value), meaning.actual(found, p)
        if desired != actual:
            before[name], after[name] = actual, desired
    return (before, after) if before or after else None
