"""Amazon Linux's packages: roles install only names on a list whose entries give a source.

The image that Molecule uses is a look-alike whose package names are ours, so an install there proves no name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.house import repository
from tests.house.ansible_content import BLOCKS, SECTIONS, content

PACKAGE_MODULES = (
    "ansible.builtin.package",
    "ansible.builtin.dnf",
    "ansible.builtin.dnf5",
    "ansible.builtin.yum",
    "ansible.builtin.apt",
)


def listed_packages() -> dict[str, str]:
    """Amazon Linux 2023's packages that roles may use: name -> source."""
    return {entry["name"]: entry["source"] for entry in repository.load("tools/images/al2023_packages.yml")}


def package_names(role_vars: dict[str, Any]) -> Iterator[str]:
    """The names in a role's variables that end in _packages. Raises TypeError where one is not a plain list."""
    for name, value in role_vars.items():
        if name.endswith("_packages"):
            if not isinstance(value, list):
                raise TypeError(f"{name} has to be a plain list")
            yield from value


def installed(value: Any) -> Iterator[Any]:
    """The names that the tasks of a YAML value install, blocks included."""
    for entry in value or []:
        for section in (*BLOCKS, *SECTIONS):
            yield from installed(entry.get(section))
        yield from (name for module in PACKAGE_MODULES if module in entry and (name := entry[module].get("name")) != [])


def test_roles_use_only_packages_of_amazon_linux_that_a_source_names() -> None:
    names = {
        name for file in repository.matching("roles/*/vars/RedHat.yml") for name in package_names(repository.load(file))
    }
    assert names
    assert names - listed_packages().keys() == set()


def test_every_listed_package_names_its_source() -> None:
    assert [name for name, source in listed_packages().items() if not source.startswith("https://")] == []


def test_roles_install_only_what_their_platforms_variables_list() -> None:
    installs = {
        (file, name) for file, value in content().items() if file.startswith("roles/") for name in installed(value)
    }
    assert installs
    assert [(file, name) for file, name in installs if name != f"{{{{ __{file.split('/')[1]}_packages }}}}"] == []
