# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms in which desired and actual values are compared. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.comparison import Meaning, Parameters


def same(key: str, form: Any = lambda value: value, default: Any = None) -> Meaning:
    """The parameter is `key` of AWS's answer, `default` where the answer has no such key."""
    return Meaning(form, lambda raw, p: raw.get(key, default))


def attribute(name: str, form: Any = lambda value: value) -> Meaning:
    """The parameter is this attribute of the value that was read."""
    return Meaning(form, lambda found, p: getattr(found, name))


def listed(value: Any) -> list[Any]:
    """A list as it is, anything else as a list of one."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def document(value: Any) -> Any:
    """A policy in the same form for all its spellings: text or parsed, a value or a list of one, in any order.

    IAM treats these as equal, and so does amazon.aws's compare_policies (plugins/module_utils/policy.py).
    """
    parsed = json.loads(value) if isinstance(value, (str, bytes)) else value
    if isinstance(parsed, Mapping) and "Statement" in parsed:
        parsed = {"Version": "2008-10-17", **parsed}
    return _any_order(parsed)


def _any_order(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(k): _any_order({"AWS": "*"} if k in ("Principal", "NotPrincipal") and v == "*" else v)
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        items = sorted((_any_order(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
        return items[0] if len(items) == 1 else items
    return str(value).lower() if isinstance(value, bool) else str(value)


def tag_map(tags: Any) -> dict[str, str]:
    """AWS's list of Key and Value (or a plain map) as a map, without AWS's own tags."""
    pairs = tags.items() if isinstance(tags, Mapping) else ((t["Key"], t.get("Value", "")) for t in tags or [])
    return {k: v for k, v in pairs if not k.startswith("aws:")}


def _tags_found(raw: Mapping[str, Any], p: Parameters) -> dict[str, str]:
    found = tag_map(raw.get("Tags"))
    return found if p.get("purge_tags", True) else {k: v for k, v in found.items() if k in p["tags"]}


TAGS = Meaning(lambda value: {str(k): str(v) for k, v in value.items()}, _tags_found)
"""`tags` of a module with `purge_tags`: other tags count only where the module would remove them."""


def camel(value: Any) -> Any:
    """A module's snake_case structure as AWS's CamelCase one. None is left out, as the modules leave it out."""
    if isinstance(value, Mapping):
        return {
            "".join(word[:1].upper() + word[1:] for word in k.split("_")): camel(v)
            for k, v in value.items()
            if v is not None
        }
    if isinstance(value, (list, tuple)):
        return [camel(v) for v in value]
    return value
