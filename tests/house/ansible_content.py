"""What the playbooks, roles and modules say, read as plain YAML: plays, tasks and the modules they use."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import yaml
from ansible.playbook.handler import Handler
from ansible.playbook.task import Task

from tests.house import tree

BLOCKS = ("block", "rescue", "always")
SECTIONS = ("tasks", "pre_tasks", "post_tasks", "handlers")
CONNECTION_FRAGMENTS = ("wekruit.ghosthands.connection", "amazon.aws.common.modules", "amazon.aws.region.modules")


class Use(NamedTuple):
    """A task that uses a module."""

    task: str
    module: str


@cache
def keywords() -> frozenset[str]:
    """The words of a task that are no module, as ansible-core itself lists them."""
    return frozenset({*Task.fattributes, *Handler.fattributes, *BLOCKS})


def plays(value: Any) -> Iterator[dict[str, Any]]:
    """The plays of a playbook's YAML value, without what it imports."""
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
            yield from (Use(str(entry.get("name", "(no name)")), word) for word in entry if not _is_keyword(word))


def _is_keyword(word: str) -> bool:
    return word in keywords() or word.startswith("with_")


def repeated(names: Iterable[str]) -> list[str]:
    """The names that occur more than once."""
    return sorted(name for name, times in Counter(names).items() if times > 1)


def takes_connection_options(module_source: str) -> bool:
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
    """The YAML value of every file that holds plays or tasks (a list; variables and specs are none)."""
    patterns = ("site.yml", "playbooks/*.yml", "roles/*/tasks/*.yml", "roles/*/handlers/*.yml", "molecule/*.yml")
    values = {name: tree.load(name) for name in tree.matching(*patterns)}
    return {name: value for name, value in values.items() if isinstance(value, list)}
