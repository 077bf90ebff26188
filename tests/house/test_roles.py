"""A role stands alone: it never becomes root by itself, names everything after itself, and reads no other role's variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.house import tree
from tests.house.ansible_content import BLOCKS

TASKS = ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml")
VARIABLES = ("roles/*/defaults/*.yml", "roles/*/vars/*.yml")


def role(file: str) -> str:
    return file.split("/")[1]


def roles() -> set[str]:
    return {role(file) for file in tree.matching("roles/*/meta/argument_specs.yml")}


def tasks(value: Any) -> Iterator[dict[str, Any]]:
    """Every task and block of a YAML value."""
    for entry in value or []:
        yield entry
        for section in BLOCKS:
            yield from tasks(entry.get(section))


def becoming(value: Any) -> list[str]:
    """The tasks that say by whom they are run."""
    return [task["name"] for task in tasks(value) if any(word.startswith("become") for word in task)]


def strange(names: Iterator[str], prefixes: tuple[str, ...]) -> list[str]:
    return [name for name in names if not name.startswith(prefixes)]


def set_names(value: Any) -> Iterator[str]:
    """The variables that tasks register or loop with."""
    for task in tasks(value):
        if "register" in task:
            yield task["register"]
        if "loop_var" in task.get("loop_control", {}):
            yield task["loop_control"]["loop_var"]


def test_no_role_becomes_another_user() -> None:
    assert {file: found for file in tree.matching(*TASKS) if (found := becoming(tree.load(file)))} == {}


def test_a_roles_options_and_variables_bear_its_name() -> None:
    files = tree.matching(*VARIABLES)
    assert files
    assert {
        file: found
        for file in files
        if (found := strange(iter(tree.load(file)), (f"{role(file)}_", f"__{role(file)}_")))
    } == {}


def test_what_a_roles_tasks_set_is_private_to_it() -> None:
    assert {
        file: found
        for file in tree.matching(*TASKS)
        if (found := strange(set_names(tree.load(file)), (f"__{role(file)}_",)))
    } == {}


def test_no_role_reads_another_roles_options() -> None:
    options = {other: "|".join(tree.load(f"roles/{other}/defaults/main.yml")) for other in roles()}
    read = {
        (file, found[0])
        for file in tree.matching(*TASKS, *VARIABLES, "roles/*/templates/*")
        for other in roles() - {role(file)}
        if (found := re.search(rf"\b({options[other]})\b", tree.text(file)))
    }
    assert read == set()


PLANTED = """
- name: A block
  block:
    - name: Planted
      ansible.builtin.command: id
      become: true
      register: result
"""


@pytest.mark.parametrize("word", ["become: true", "become_user: somebody"])
def test_a_planted_become_is_found(word: str) -> None:
    assert becoming(yaml.safe_load(PLANTED.replace("become: true", word))) == ["Planted"]


def test_a_planted_name_is_found() -> None:
    assert strange(set_names(yaml.safe_load(PLANTED)), ("__docker_",)) == ["result"]
