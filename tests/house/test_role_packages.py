"""Packages by name: the look-alike that the roles are tried on cannot certify a name of Amazon Linux 2023's, so a sourced list does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.house import tree
from tests.house.ansible_content import BLOCKS, SECTIONS, content

PACKAGE_MODULES = (
    "ansible.builtin.package",
    "ansible.builtin.dnf",
    "ansible.builtin.dnf5",
    "ansible.builtin.yum",
    "ansible.builtin.apt",
)


def known() -> dict[str, str]:
    """AL2023's packages that roles may use: name -> source."""
    return {entry["name"]: entry["source"] for entry in tree.load("tools/images/al2023_packages.yml")}


def used(role_vars: dict[str, Any]) -> Iterator[str]:
    """The names in a role's variables that end in _packages. Raises TypeError where one is no plain list."""
    for name, value in role_vars.items():
        if name.endswith("_packages"):
            if not isinstance(value, list):
                raise TypeError(f"{name} has to be a plain list, to be read here")
            yield from value


def installs(value: Any) -> Iterator[Any]:
    """What the tasks of a YAML value ask a package manager for, blocks included."""
    for entry in value or []:
        for section in (*BLOCKS, *SECTIONS):
            yield from installs(entry.get(section))
        yield from (name for module in PACKAGE_MODULES if module in entry and (name := entry[module].get("name")) != [])


def test_roles_use_only_packages_of_amazon_linux_that_a_source_names() -> None:
    names = {name for file in tree.matching("roles/*/vars/RedHat.yml") for name in used(tree.load(file))}
    assert names
    assert names - known().keys() == set()


def test_every_listed_package_names_its_source() -> None:
    assert [name for name, source in known().items() if not source.startswith("https://")] == []


def test_roles_install_only_what_their_platforms_variables_list() -> None:
    asked = {(file, name) for file, value in content().items() if file.startswith("roles/") for name in installs(value)}
    assert asked
    assert [(file, name) for file, name in asked if name != f"{{{{ __{file.split('/')[1]}_packages }}}}"] == []


def test_a_name_in_a_block_is_found() -> None:
    assert list(installs([{"block": [{"ansible.builtin.dnf": {"name": "planted"}}]}])) == ["planted"]


def test_packages_that_are_no_plain_list_are_refused() -> None:
    with pytest.raises(TypeError, match="__x_packages"):
        list(used({"__x_packages": "{{ computed }}"}))
