"""Which operations of AWS's API a module or plugin can call, by reading its source. Pure but for the files it reads.

It follows names from a file's own statements through what they mention, in that file and in the modules of this
collection and of amazon.aws that it imports, and collects every operation that is named there: too many rather than too
few, whatever the parameters are. What it cannot read is an error.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel

ROOT = Path(__file__).resolve().parents[2]
OURS = "ansible_collections.wekruit.ghosthands"
#: amazon.aws's own waiters: a table of them all, so those that are waited for are looked up by name.
WAITERS = "ansible_collections/amazon/aws/plugins/module_utils/waiters.py"
CALLERS = {"call", "_call", "call_now"}  # ours: call(service, operation, ...)


class Unreadable(Exception):
    """A call whose operation cannot be read from the source."""


@dataclass(frozen=True)
class Operation:
    """An operation of AWS's API, as botocore names the service and AWS the operation."""

    service: str
    name: str

    def __str__(self) -> str:
        return f"{self.service}:{self.name}"


@cache
def _operations(service: str) -> dict[str, str]:
    """Python's names of a service's operations -> AWS's."""
    model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
    return {xform_name(name): name for name in model.operation_names}


@cache
def _services() -> frozenset[str]:
    return frozenset(Loader().list_available_services("service-2"))


@cache
def _waiters(service: str) -> dict[str, str]:
    """Python's names of a service's waiters -> the operations that they call; botocore's, and amazon.aws's own."""
    try:
        own = Loader().load_service_model(service, "waiters-2")["waiters"]
    except Exception:  # botocore's own error for a service without any
        own = {}
    found = {name: waiter["operation"] for name, waiter in own.items()}
    for node in _file(_collections() / WAITERS).tree.body:
        if isinstance(node, ast.Assign) and f"{service}_data" in {getattr(t, "id", "") for t in node.targets}:
            found |= {name: one["operation"] for name, one in ast.literal_eval(node.value)["waiters"].items()}
    return {xform_name(name): operation for name, operation in found.items()}


@cache
def _collections() -> Path:
    """The folder that holds `ansible_collections`, as pip installed it."""
    spec = importlib.util.find_spec("ansible")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1]


@dataclass
class _File:
    """A source file: what it defines at its top, and what it imports of the collections."""

    path: Path
    tree: ast.Module
    defined: dict[str, ast.AST] = field(default_factory=dict)
    imported: dict[str, tuple[Path, str]] = field(default_factory=dict)
    """name -> the file, and the name in it (empty: the module itself)"""


@cache
def _file(path: Path) -> _File:
    found = _File(path, ast.parse(path.read_text(encoding="utf-8")))
    for statement in found.tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            found.defined[statement.name] = statement
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                found.defined |= {one.id: statement for one in ast.walk(target) if isinstance(one, ast.Name)}
    for node in ast.walk(found.tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if place := _imported(path, node, alias.name):
                    found.imported[alias.asname or alias.name] = place
    return found


def _imported(path: Path, node: ast.ImportFrom, name: str) -> tuple[Path, str] | None:
    """The file that `from ... import name` reads, and the name in it; None where it is of no collection."""
    if node.level:
        folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
    elif node.module and node.module.startswith(f"{OURS}."):
        folder = ROOT.joinpath(*node.module.removeprefix(f"{OURS}.").split("."))
    elif node.module and node.module.startswith("ansible_collections."):
        folder = _collections().joinpath(*node.module.split("."))
    else:
        return None
    for whole in (folder / f"{name}.py", folder / name / "__init__.py"):
        if whole.exists():
            return whole, ""
    for part in (folder.with_suffix(".py"), folder / "__init__.py"):
        if part.exists():
            return part, name
    raise Unreadable(f"{path}: {node.module} is not installed")


def _reached(entry: Path) -> Iterator[tuple[_File, ast.AST]]:
    """Every definition that the file's own statements (its classes, if it has no `main`) can lead to."""
    first = _file(entry)
    todo: list[tuple[_File, ast.AST]] = [
        (first, node)
        for node in first.tree.body
        if not isinstance(node, (ast.FunctionDef, ast.Import, ast.ImportFrom))
        and (not isinstance(node, ast.ClassDef) or "main" not in first.defined)
    ]
    seen = set[int]()
    while todo:
        where, node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield where, node
        for one in _globals(node):
            todo += _mentioned(where, one)


def _globals(node: ast.AST, local: frozenset[str] = frozenset()) -> Iterator[ast.AST]:
    """Every node below, but for names that a function's parameters and assignments make its own."""
    if isinstance(node, ast.Name) and node.id in local:
        return
    if isinstance(node, ast.FunctionDef):
        given, own = node.args, list(_own_statements(node))
        assigned = {one.id for one in own if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        shared = {name for one in own if isinstance(one, ast.Global) for name in one.names}
        local |= (assigned | {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}) - shared
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _globals(child, local)


def _own_statements(node: ast.AST) -> Iterator[ast.AST]:
    """What is below, without what has names of its own: inner functions and comprehensions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.Lambda, ast.comprehension)):
            yield child
            yield from _own_statements(child)


def _mentioned(where: _File, node: ast.AST) -> Iterator[tuple[_File, ast.AST]]:
    """The definition that a name, or a name of an imported module, stands for."""
    if isinstance(node, ast.Name):
        yield from _definition(where, node.id)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        path, name = where.imported.get(node.value.id, (None, "-"))
        if path is not None and not name:
            yield from _definition(_file(path), node.attr)


def _definition(where: _File, name: str) -> Iterator[tuple[_File, ast.AST]]:
    if name in where.defined:
        yield where, where.defined[name]
    elif name in where.imported:
        path, original = where.imported[name]
        if original and not path.match(WAITERS):
            yield from _definition(_file(path), original)


@cache
def operations(entry: Path) -> frozenset[Operation]:
    """Every operation that this module or plugin can call.

    Raises Unreadable where a call names none that can be read.
    """
    nodes = [(where, one) for where, node in _reached(entry) for one in ast.walk(node)]
    found, services = set[Operation](), set[str]()
    texts = {one.value for _where, one in nodes if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    for where, one in nodes:
        if not isinstance(one, ast.Call):
            continue
        called = getattr(one.func, "attr", getattr(one.func, "id", ""))
        first, second = [*(getattr(argument, "value", None) for argument in one.args), None, None][:2]
        if called in CALLERS and isinstance(first, str) and first in _services():
            if isinstance(second, str):
                found.add(Operation(first, _operations(first)[second]))
            elif not (named := texts & _operations(first).keys()):
                raise Unreadable(f"{where.path}:{one.lineno}: {called}({first!r}, ...) names no operation")
            else:
                found |= {Operation(first, _operations(first)[name]) for name in named}
        elif called == "client" and isinstance(first, str) and first in _services():
            services.add(first)
        elif called in ("get_paginator", "get_waiter", "getattr") and any(
            isinstance(argument, (ast.JoinedStr, ast.BinOp)) for argument in one.args
        ):  # a variable has its value from a text, and every text counts
            raise Unreadable(f"{where.path}:{one.lineno}: {called}() of a name that is put together")
    if entry.is_relative_to(ROOT / "plugins"):
        return frozenset(found)
    names = {one.attr for _where, one in nodes if isinstance(one, ast.Attribute)} | texts
    for service in services:
        found |= {Operation(service, api) for name, api in _operations(service).items() if {name, api} & names}
        found |= {Operation(service, api) for name, api in _waiters(service).items() if name in names}
    return frozenset(found)


def source(module: str) -> Path:
    """The file of a module by its full name: `amazon.aws.iam_role`, `wekruit.ghosthands.fleet_drift` (its action)."""
    namespace, collection, name = module.split(".")
    if (namespace, collection) == ("wekruit", "ghosthands"):
        action = ROOT / "plugins" / "action" / f"{name}.py"
        return action if action.exists() else ROOT / "plugins" / "modules" / f"{name}.py"
    return _collections() / "ansible_collections" / namespace / collection / "plugins" / "modules" / f"{name}.py"


def snake(operation: str) -> str:
    """As the table of modules writes an operation."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation).lower()
