"""The agent's procedures act through their ports only, and leave nothing to clean up when the process is killed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house import repository
from tests.house.test_import_rules import PROCEDURES

PORT_ERRORS = {"PortError", "Unavailable", "Refused", "Withdrawn", "Failed", "BadSecret"}
DIRECT_ACCESS = ("open", "print", "input", "exec", "eval", "__import__")


def violations(source: str) -> Iterator[str]:
    """What would run when a generator is closed, catch its GeneratorExit, or reach the system without a port."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.With | ast.AsyncWith | ast.AsyncFunctionDef | ast.Global):
            yield f"line {node.lineno}: {type(node).__name__}"
        elif isinstance(node, ast.Try) and node.finalbody:
            yield f"line {node.lineno}: finally"
        elif isinstance(node, ast.ExceptHandler):
            names = {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"all"}
            yield from (f"line {node.lineno}: catches {name}" for name in sorted(names - PORT_ERRORS))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in DIRECT_ACCESS:
            yield f"line {node.lineno}: {node.func.id}()"


@pytest.mark.parametrize("procedure", PROCEDURES)
def test_a_killed_procedure_does_nothing_more(procedure: str) -> None:
    assert list(violations(repository.text(f"agent/src/ghosthands_agent/{procedure}.py"))) == []
