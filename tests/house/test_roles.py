"""A role is independent: it sets no become, prefixes its variables, and reads no other role's variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from tests.house import repository
from tests.house.ansible_content import BLOCKS

TASKS = ("roles/*/tasks/*.yml", "roles/*/handlers/*.yml")
VARIABLES = ("roles/*/defaults/*.yml", "roles/*/vars/*.yml")


def role(file: str) -> str:
    return file.split("/")[1]


def roles() -> set[str]:
    return {role(file) for file in repository.matching("roles/*/meta/argument_specs.yml")}


def tasks(value: Any) -> Iterator[dict[str, Any]]:
    """Every task and block of a YAML value."""
    for entry in value or []:
        yield entry
        for section in BLOCKS:
            yield from tasks(entry.get(section))


def tasks_with_become(value: Any) -> list[str]:
    """The tasks that set `become` or one of its options."""
    return [task["name"] for task in tasks(value) if any(word.startswith("become") for word in task)]


def without_prefix(names: Iterable[str], prefixes: tuple[str, ...]) -> list[str]:
    return [name for name in names if not name.startswith(prefixes)]


def variables_set(value: Any) -> Iterator[str]:
    """The variables that tasks register or loop with."""
    for task in tasks(value):
        if "register" in task:
            yield task["register"]
        if "loop_var" in task.get("loop_control", {}):
            yield task["loop_control"]["loop_var"]


def test_no_role_sets_become() -> None:
    assert {
        file: found for file in repository.matching(*TASKS) if (found := tasks_with_become(repository.load(file)))
    } == {}


def test_a_roles_options_and_variables_begin_with_its_name() -> None:
    files = repository.matching(*VARIABLES)
    assert files
    assert {
        file: found
        for file in files
        if (found := without_prefix(repository.load(file), (f"{role(file)}_", f"__{role(file)}_")))
    } == {}


def test_variables_that_a_roles_tasks_set_are_private() -> None:
    assert {
        file: found
        for file in repository.matching(*TASKS)
        if (found := without_prefix(variables_set(repository.load(file)), (f"__{role(file)}_",)))
    } == {}


def test_no_role_reads_another_roles_options() -> None:
    options = {other: "|".join(repository.load(f"roles/{other}/defaults/main.yml")) for other in roles()}
    read = {
        (file, found[0])
        for file in repository.matching(*TASKS, *VARIABLES, "roles/*/templates/*")
        for other in roles() - {role(file)}
        if (found := re.search(rf"\b({options[other]})\b", repository.text(file)))
    }
    assert read == set()
