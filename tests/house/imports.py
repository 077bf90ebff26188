"""What a Python file imports, read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from tests.house import repository

#: Prefixes of names under which Ansible, the agent's host and localcloud's users know files of this repository.
PREFIXES = ("ansible_collections.wekruit.ghosthands.", "agent.src.", "localcloud.src.")


class Import(NamedTuple):
    """One imported name."""

    line: int
    name: str
    """dotted, such as `localcloud.fleet.values.Refused` for `from localcloud.fleet.values import Refused`"""


@cache
def imports(file: str, *, run_time_only: bool = False) -> tuple[Import, ...]:
    """Everything that a file imports, also inside functions; with `run_time_only` without `if TYPE_CHECKING` blocks.

    Relative names are resolved and PREFIXES removed. `import_module("...")` and `__import__("...")` with a literal
    count. Raises SyntaxError.
    """
    package = file.removesuffix(".py").split("/")[:-1]
    nodes = _nodes(ast.parse(repository.text(file), file), run_time_only)
    return tuple(Import(line, without_prefix(name)) for node in nodes for line, name in _imported(node, package))


def _imported(node: ast.AST, package: list[str]) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = package[: len(package) - node.level + 1] if node.level else []
        for alias in node.names:
            yield node.lineno, ".".join([*start, *filter(None, [node.module]), alias.name])
    elif isinstance(node, ast.Call) and _is_import_by_name(node):
        yield from ((node.lineno, str(arg.value)) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def without_prefix(name: str) -> str:
    """A dotted name as the rules write it."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def module(file: str) -> str:
    """The name under which a file is imported, as the rules write it."""
    return without_prefix(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


def _nodes(tree: ast.AST, run_time_only: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if not (run_time_only and isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")):
            yield child
            yield from _nodes(child, run_time_only)


def _is_import_by_name(call: ast.Call) -> bool:
    called = call.func
    return (isinstance(called, ast.Name) and called.id in ("__import__", "import_module")) or (
        isinstance(called, ast.Attribute) and called.attr == "import_module"
    )
