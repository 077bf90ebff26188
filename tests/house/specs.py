"""Argument specs and defaults: two statements of the same values, held together by value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def disagreements(options: Mapping[str, Mapping[str, Any]], defaults: Mapping[str, Any]) -> Iterator[str]:
    """Where a spec's options and a file of defaults differ, one sentence each, both ways.

    A required option has no default and no entry; any other has both, equal in value and type (1 is not true).
    """
    for name, option in options.items():
        if option.get("required"):
            if "default" in option or name in defaults:
                yield f"{name} is required, and has a default"
        elif "default" not in option:
            yield f"{name} is neither required nor has a default in the spec"
        elif name not in defaults:
            yield f"{name} is in the spec and not among the defaults"
        elif _exactly(option["default"]) != _exactly(defaults[name]):
            yield f"{name} is {option['default']!r} in the spec and {defaults[name]!r} among the defaults"
    for name in defaults.keys() - options.keys():
        yield f"{name} is among the defaults and not in the spec"


def impossible_defaults(options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Options whose default is none of their choices."""
    for name, option in options.items():
        if "choices" in option and "default" in option and option["default"] not in option["choices"]:
            yield f"{name}: {option['default']!r} is none of {option['choices']}"


def _exactly(value: Any) -> str:
    """A text that is equal exactly for equal values of equal types; the order of keys does not count."""
    return json.dumps(value, sort_keys=True, default=str)
