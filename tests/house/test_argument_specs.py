"""Every option is stated twice, as a contract (argument spec) and as a value (defaults): the two agree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.house import repository

Options = Mapping[str, Mapping[str, Any]]
FLEET_SPEC = "playbooks/vars/fleet_spec.yml"
FLEET_DEFAULTS = "playbooks/group_vars/all.yml"


def fleet_options() -> Options:
    options: Options = repository.load(FLEET_SPEC)["argument_specs"]["fleet"]["options"]
    return options


def roles() -> list[str]:
    return sorted({file.split("/")[1] for file in repository.matching("roles/*/tasks/*.yml")})


def role_options(role: str) -> Options:
    entries = repository.load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
    return {name: option for entry in entries.values() for name, option in entry.get("options", {}).items()}


def disagreements(options: Options, defaults: Mapping[str, Any]) -> Iterator[str]:
    """Where a spec's options and a file of defaults differ, one sentence each.

    A required option has no default and no entry; any other has both, equal in value and type (1 is not true).
    """
    for name, option in options.items():
        if option.get("required"):
            if "default" in option or name in defaults:
                yield f"{name} is required, and has a default"
        elif "default" not in option:
            yield f"{name} is not required, and has no default in the spec"
        elif name not in defaults:
            yield f"{name} is in the spec and not in the defaults"
        elif _exactly(option["default"]) != _exactly(defaults[name]):
            yield f"{name} is {option['default']!r} in the spec and {defaults[name]!r} in the defaults"
        if "choices" in option and "default" in option and option["default"] not in option["choices"]:
            yield f"{name}: {option['default']!r} is not one of {option['choices']}"
    for name in defaults.keys() - options.keys():
        yield f"{name} is in the defaults and not in the spec"


def _exactly(value: Any) -> str:
    """A text that is equal exactly for equal values of equal types; the order of keys does not count."""
    return json.dumps(value, sort_keys=True, default=str)


def test_the_fleets_spec_and_its_defaults_are_the_same_values() -> None:
    assert list(disagreements(fleet_options(), repository.load(FLEET_DEFAULTS))) == []


def test_every_option_of_the_fleet_has_a_type_and_a_description() -> None:
    options = fleet_options().items()
    assert [name for name, option in options if not option.get("description") or "type" not in option] == []


def test_every_role_has_a_spec_and_defaults_of_the_same_values() -> None:
    for role in roles():
        defaults = repository.load(f"roles/{role}/defaults/main.yml") or {}
        assert [role, *disagreements(role_options(role), defaults)] == [role]
