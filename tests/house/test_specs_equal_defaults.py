"""Every option is stated twice, as a contract (argument spec) and as a value (defaults): the two agree."""

from __future__ import annotations

from typing import Any

import pytest

from tests.house import tree
from tests.house.specs import disagreements, impossible_defaults

FLEET_SPEC = "playbooks/vars/fleet_spec.yml"
FLEET_DEFAULTS = "playbooks/group_vars/all.yml"


def fleet_options() -> dict[str, dict[str, Any]]:
    options: dict[str, dict[str, Any]] = tree.load(FLEET_SPEC)["argument_specs"]["fleet"]["options"]
    return options


def roles() -> list[str]:
    return [file.split("/")[1] for file in tree.matching("roles/*/meta/argument_specs.yml")]


def role_options(role: str) -> dict[str, dict[str, Any]]:
    entries = tree.load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]
    return {name: option for entry in entries.values() for name, option in entry.get("options", {}).items()}


def test_the_fleets_spec_and_its_defaults_are_the_same_values() -> None:
    assert list(disagreements(fleet_options(), tree.load(FLEET_DEFAULTS))) == []


def test_every_default_of_the_fleet_is_one_of_its_choices() -> None:
    assert list(impossible_defaults(fleet_options())) == []


def test_every_option_of_the_fleet_says_what_it_means() -> None:
    options = fleet_options().items()
    assert [name for name, option in options if not option.get("description") or "type" not in option] == []


def test_every_roles_spec_and_its_defaults_are_the_same_values() -> None:
    for role in roles():
        defaults = tree.load(f"roles/{role}/defaults/main.yml") or {}
        assert [role, *disagreements(role_options(role), defaults), *impossible_defaults(role_options(role))] == [role]


def test_every_role_has_a_spec_and_defaults() -> None:
    rooms = {file.split("/")[1] for file in tree.matching("roles/*/tasks/*.yml")}
    assert [role for role in rooms if f"roles/{role}/meta/argument_specs.yml" not in tree.files()] == []
    assert [role for role in rooms if f"roles/{role}/defaults/main.yml" not in tree.files()] == []


@pytest.mark.parametrize(
    ("options", "defaults", "found"),
    [
        ({"a": {"default": 1}}, {"a": 2}, "a is 1 in the spec and 2 among the defaults"),
        ({"a": {"default": 1}}, {"a": True}, "a is 1 in the spec and True among the defaults"),
        ({"a": {"default": 1}}, {"a": "1"}, "a is 1 in the spec and '1' among the defaults"),
        ({"a": {"default": []}}, {}, "a is in the spec and not among the defaults"),
        ({}, {"a": None}, "a is among the defaults and not in the spec"),
        ({"a": {"required": True}}, {"a": 1}, "a is required, and has a default"),
        ({"a": {"required": True, "default": 1}}, {}, "a is required, and has a default"),
        ({"a": {"type": "str"}}, {}, "a is neither required nor has a default in the spec"),
    ],
)
def test_a_planted_disagreement_is_found(options: Any, defaults: Any, found: str) -> None:
    assert list(disagreements(options, defaults)) == [found]


def test_equal_values_agree_whatever_their_order() -> None:
    options: dict[str, dict[str, Any]] = {"a": {"default": {"x": 1, "y": [2]}}, "b": {"required": True}}
    assert list(disagreements(options, {"a": {"y": [2], "x": 1}})) == []


def test_a_default_outside_its_choices_is_found() -> None:
    assert list(impossible_defaults({"a": {"default": "z", "choices": ["x", "y"]}})) == ["a: 'z' is none of ['x', 'y']"]
