"""HOUSE rule 5: a procedure acts on the world through its ports only, and leaves nothing to be tidied up when it is dropped, as by kill -9."""

from __future__ import annotations

import ast

import pytest

from tests.house import tree
from tests.house.arrows import PROCEDURES

AGENT = "agent/src/"

FILES = [f"{AGENT}ghosthands_agent/{procedure}.py" for procedure in PROCEDURES]
PORT_ERRORS = {"PortError", "Unavailable", "Refused", "Withdrawn", "Failed", "BadSecret"}


def breaches(source: str) -> list[str]:
    """What in a procedure would run when it is dropped, or swallow that it is, or look at a clock or a file of its own."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.With | ast.AsyncWith | ast.AsyncFunctionDef | ast.Global):
            found.append(f"line {node.lineno}: {type(node).__name__}")
        if isinstance(node, ast.Try) and node.finalbody:
            found.append(f"line {node.lineno}: finally")
        if isinstance(node, ast.ExceptHandler):
            caught = (
                {name.id for name in ast.walk(node.type) if isinstance(name, ast.Name)} if node.type else {"everything"}
            )
            found += [f"line {node.lineno}: catches {name}" for name in sorted(caught - PORT_ERRORS)]
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("open", "print", "input", "exec", "eval", "__import__")
        ):
            found.append(f"line {node.lineno}: {node.func.id}()")
    return found


@pytest.mark.parametrize("file", FILES)
def test_a_dropped_procedure_does_nothing_more(file: str) -> None:
    assert not breaches(tree.text(file))


@pytest.mark.parametrize(
    "source",
    [
        "def procedure():\n    try:\n        yield 1.0\n    finally:\n        act()",
        "def procedure():\n    with lock:\n        yield 1.0",
        "try:\n    act()\nexcept Exception:\n    act()",
        "try:\n    act()\nexcept:\n    act()",
        "try:\n    act()\nexcept (PortError, GeneratorExit):\n    act()",
        "open('/etc/passwd')",
    ],
)
def test_what_would_outlive_a_procedure_is_found(source: str) -> None:
    assert breaches(source)
