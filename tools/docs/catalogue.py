"""Every check that this checkout has, out of its source: what registers it, and what it says when something is wrong. Imports nothing of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
CHECKS = ROOT / "plugins/module_utils/_fleet/checks"
DOCTOR = ROOT / "agent/src/ghosthands_agent/doctor.py"
UNKNOWN = "…"  # what is filled in


SEVERITIES = ("error", "warning", "info")


class Row(NamedTuple):
    """One check, or one finding of `preflight.yml`."""

    id: str
    section: int
    severity: str
    says: tuple[str, ...]
    """when it is wrong; of the doctor's, what it tells to do"""


def verify() -> list[Row]:
    """The checks of `verify.yml`, by section."""
    rows = [row for file in sorted(CHECKS.glob("*.py")) for row in _registered(_tree(file))]
    return sorted(rows, key=lambda row: row.section)


def findings(file: Path) -> list[Row]:
    """What a file says by itself: each id once, with all that it may say, as grave as it may be."""
    found: dict[str, Row] = {}
    constants = _constants(_tree(file))
    for function in (node for node in ast.walk(_tree(file)) if isinstance(node, ast.FunctionDef)):
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call) and _called(node) == "Finding"):
            given = {keyword.arg: keyword.value for keyword in call.keywords}
            if len(call.args) < 3 or not isinstance(call.args[0], ast.Constant):
                continue
            id, severity = (
                str(call.args[0].value),
                str(call.args[1].value) if isinstance(call.args[1], ast.Constant) else "error",
            )
            section, before = ast.unparse(given["section"]) if "section" in given else "1", found.get(id)
            found[id] = Row(
                id,
                int(constants.get(section, section)),
                min(severity, before.severity if before else severity, key=SEVERITIES.index),
                (
                    *(before.says if before else ()),
                    *(() if "ok" in given and severity != "info" else _texts(call.args[2], function, {})),
                ),
            )
    return list(found.values())


def doctor() -> list[Row]:
    """What `ghosthands-agent doctor` looks at, under the ids of verify.yml."""
    constants = _constants(_tree(DOCTOR))
    return [
        Row(f"host-{names[0].replace('_', '-')}", 11, names[2] if len(names) > 2 else "error", (names[1],))
        for function in _functions(_tree(DOCTOR))
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and _called(decorator) == "check"
        for names in [[" ".join(_rendered(arg, constants)) for arg in decorator.args]]
    ]


def ids() -> set[str]:
    """All of them."""
    return {row.id for rows in (_standing(), doctor(), findings(CHECKS / "preflight.py")) for row in rows}


def tables() -> str:
    """The catalogue as Markdown."""
    return "\n".join(
        [
            "### Of a fleet that stands: `verify.yml`\n",
            _table(_standing(), "what it says when it is wrong"),
            "### On each instance: `ghosthands-agent doctor`\n",
            _table(doctor(), "what to do when it is wrong"),
            "### Before anything is made: `preflight.yml`\n",
            _table(findings(CHECKS / "preflight.py"), "what it says"),
        ]
    )


def _standing() -> list[Row]:
    alone = (CHECKS / "verify.py", CHECKS / "hosts.py", CHECKS.parent / "drill.py")
    return sorted([*verify(), *(row for file in alone for row in findings(file))], key=lambda row: row.section)


def _table(rows: list[Row], says: str) -> str:
    said = {row.id: "<br>".join(dict.fromkeys(row.says)) or "it only tells" for row in rows}
    lines = [
        f"| `{row.id}` | {row.section} | {row.severity} | {said[row.id].replace('|', '&#124;').replace('……', '…')} |"
        for row in rows
    ]
    return "\n".join([f"| id | § | severity | {says} |", "|---|---|---|---|", *lines, ""])


# --- reading the source --------------------------------------------------------------------------------------------------------


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _constants(tree: ast.Module) -> dict[str, str]:
    assigned = (node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant))
    return {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in assigned}


def _functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _registered(tree: ast.Module) -> Iterator[Row]:
    functions = {function.name: function for function in _functions(tree)}
    for function in functions.values():
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and _called(decorator) == "check":
                given = [ast.literal_eval(arg) for arg in decorator.args]
                yield Row(
                    given[0], given[1], given[2] if len(given) > 2 else "error", tuple(_wrongs(function, functions, {}))
                )


def _wrongs(
    function: ast.FunctionDef, functions: Mapping[str, ast.FunctionDef], filled: Mapping[str, str]
) -> Iterator[str]:
    """What a function may raise Wrong with, and those of its neighbours that it calls; `filled` are parameters that are known."""
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        if _called(call) == "Wrong":
            yield from _texts(call.args[0], function, filled)
        elif (other := functions.get(_called(call))) is not None and other is not function:
            names = [arg.arg for arg in other.args.args]
            constants = {
                name: str(arg.value)
                for name, arg in zip(names, call.args, strict=False)
                if isinstance(arg, ast.Constant)
            }
            yield from _wrongs(other, functions, constants)


def _texts(text: ast.expr, function: ast.FunctionDef, filled: Mapping[str, str]) -> list[str]:
    if isinstance(text, ast.Name) and text.id not in filled:
        assigned = (
            node
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == text.id
        )
        before = [node for node in assigned if node.lineno < text.lineno]
        return _rendered(max(before, key=lambda node: node.lineno).value, filled) if before else []
    return _rendered(text, filled)


def _rendered(text: ast.expr, filled: Mapping[str, str]) -> list[str]:
    """A text, with UNKNOWN for what is filled in later; several where it depends."""
    if isinstance(text, ast.IfExp):
        return [*_rendered(text.body, filled), *_rendered(text.orelse, filled)]
    if isinstance(text, ast.Constant):
        return [str(text.value)]
    if isinstance(text, ast.JoinedStr):
        return ["".join(_part(part, filled) for part in text.values)]
    return [filled.get(text.id, UNKNOWN)] if isinstance(text, ast.Name) else []


def _part(part: ast.expr, filled: Mapping[str, str]) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    value = part.value if isinstance(part, ast.FormattedValue) else part
    return filled.get(value.id, UNKNOWN) if isinstance(value, ast.Name) else UNKNOWN
