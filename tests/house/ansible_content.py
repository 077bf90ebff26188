"""Plays, tasks and the modules they use, read from playbooks and roles as plain YAML."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import yaml
from ansible.playbook.handler import Handler
from ansible.playbook.task import Task

from tests.house import repository

BLOCKS = ("block", "rescue", "always")
SECTIONS = ("tasks", "pre_tasks", "post_tasks", "handlers")
CONNECTION_FRAGMENTS = ("wekruit.ghosthands.connection", "amazon.aws.common.modules", "amazon.aws.region.modules")


class Use(NamedTuple):
    """A task that uses a module."""

    task: str
    module: str


@cache
def keywords() -> frozenset[str]:
    """The keywords of a task, which are not modules, as ansible-core lists them."""
    return frozenset({*Task.fattributes, *Handler.fattributes, *BLOCKS})


def plays(value: Any) -> Iterator[dict[str, Any]]:
    """The plays of a playbook's YAML value, without imported ones."""
    for entry in value or []:
        if "hosts" in entry:
            yield entry


def uses(value: Any) -> Iterator[Use]:
    """Each task's module in the YAML value of a playbook or a file of tasks, blocks included."""
    for entry in value or []:
        nested = [section for section in (*BLOCKS, *SECTIONS) if section in entry]
        for section in nested:
            yield from uses(entry[section])
        if not nested and "hosts" not in entry:
            yield from (Use(str(entry.get("name", "(no name)")), module) for module in modules_of(entry))


def modules_of(task: Mapping[str, Any]) -> list[str]:
    """The module of a task, in a list; more where a keyword is misspelt."""
    return [word for word in task if word not in keywords() and not word.startswith("with_")]


def repeated(names: Iterable[str]) -> list[str]:
    """The names that occur more than once."""
    return sorted(name for name, times in Counter(names).items() if times > 1)


def has_connection_options(module_source: str) -> bool:
    """Whether a module's documentation has AWS connection options. Raises KeyError where it has no documentation."""
    assigned = {
        target.id: node.value
        for node in ast.parse(module_source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    documentation = yaml.safe_load(ast.literal_eval(assigned["DOCUMENTATION"]))
    fragments = documentation.get("extends_documentation_fragment", [])
    named = [fragments] if isinstance(fragments, str) else fragments
    return "region" in documentation.get("options", {}) or any(fragment in named for fragment in CONNECTION_FRAGMENTS)


def content() -> dict[str, Any]:
    """The YAML value of every file that holds plays or tasks (a list; variables and specs are mappings)."""
    patterns = ("site.yml", "playbooks/*.yml", "roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "molecule/*.yml")
    values = {name: repository.load(name) for name in repository.matching(*patterns)}
    return {name: value for name, value in values.items() if isinstance(value, list)}
