"""The arrows of the house, read from imports: who may know whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

COLLECTION = "ansible_collections.wekruit.ghosthands."
AGENT = "roles/ghosthands/files/"
STANDARD_LIBRARY = tuple(sorted(sys.stdlib_module_names))
FLEET = "plugins.module_utils._fleet"
AWS = ("boto3", "botocore")
STORIES = ("boot", "watch", "vigil", "shield", "drain", "ending", "stop")
AGENT_VALUES = ("ports", "settings", "paths", "environment", "compose_override", "log_shipper")
PURE_LIBRARY = ("__future__", "collections", "dataclasses", "typing")


@dataclass(frozen=True)
class Arrow:
    """One rule: what the files that match `files` (and not `spared`) may import, or may never import.

    `only` and `never` are dotted prefixes; empty `only` means anything. Prefixes are names as `imports` gives them.
    """

    rule: str
    files: tuple[str, ...]
    spared: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()

    def guards(self, file: str) -> bool:
        return _matches(file, self.files) and not _matches(file, self.spared)

    def breaches(self, file: str, source: str) -> Iterator[str]:
        """Each forbidden import of `source`, were it `file`: `file:line imports name: rule`. Raises SyntaxError."""
        if not self.guards(file):
            return
        for line, name in imports(file, source):
            if (self.only and not _under(name, self.only)) or _under(name, self.never):
                yield f"{file}:{line} imports {name}: {self.rule}"


ARROWS = (
    Arrow(
        "model imports the standard library only",
        files=(f"{FLEET.replace('.', '/')}/model.py",),
        only=STANDARD_LIBRARY,
    ),
    Arrow(
        "resources import the standard library and each other only",
        files=(f"{FLEET.replace('.', '/')}/resources/*.py",),
        only=(*STANDARD_LIBRARY, f"{FLEET}.resources"),
    ),
    Arrow(
        "checks import values, each other and the standard library only",
        files=(f"{FLEET.replace('.', '/')}/checks/*.py",),
        only=(
            *STANDARD_LIBRARY,
            *(
                f"{FLEET}.{room}"
                for room in ("agent_conf", "checks", "finding", "fleet", "model", "outlook", "permits", "policies", "prices", "registry")
            ),
        ),
    ),
    Arrow(
        "the registry's values import the standard library only",
        files=(f"{FLEET.replace('.', '/')}/registry.py",),
        only=STANDARD_LIBRARY,
    ),
    Arrow(
        "only postgres.py imports psycopg",
        files=("plugins/*.py",),
        spared=(f"{FLEET.replace('.', '/')}/postgres.py",),
        never=("psycopg",),
    ),
    Arrow(
        "the report is pure: itself and the standard library only, and of it nothing that reads, waits or calls",
        files=(f"{FLEET.replace('.', '/')}/report/*.py",),
        only=(*STANDARD_LIBRARY, f"{FLEET}.report"),
        never=("datetime", "http", "os", "pathlib", "shutil", "socket", "subprocess", "time", "urllib"),
    ),
    Arrow(
        "only modules, actions (with what they share, plugin_utils) and filters see Ansible",
        files=("plugins/*.py",),
        spared=("plugins/modules/*", "plugins/action/*", "plugins/plugin_utils/*", "plugins/filter/*"),
        never=("ansible", "ansible_collections"),
    ),
    Arrow(
        "only account.py and modules import botocore and boto3",
        files=("plugins/*.py",),
        spared=("plugins/modules/*", f"{FLEET.replace('.', '/')}/account.py"),
        never=AWS,
    ),
    Arrow(
        "the plugins share no code with the agent",
        files=("plugins/*.py",),
        never=("ghosthands_agent", "roles"),
    ),
    Arrow(
        "the agent imports itself, boto3 and the standard library only",
        files=(f"{AGENT}*.py",),
        only=(*STANDARD_LIBRARY, *AWS, "ghosthands_agent"),
    ),
    Arrow(
        "the agent's stories are handed their clock and adapters: they import each other, ports, settings and what is pure",
        files=tuple(f"{AGENT}ghosthands_agent/{story}.py" for story in STORIES),
        only=(*PURE_LIBRARY, *(f"ghosthands_agent.{module}" for module in (*STORIES, *AGENT_VALUES))),
    ),
    Arrow(
        "the agent's values know no adapter and no story but the rule that they write down",
        files=tuple(f"{AGENT}ghosthands_agent/{module}.py" for module in AGENT_VALUES),
        only=(*PURE_LIBRARY, *("json", "pathlib", "re"), *(f"ghosthands_agent.{module}" for module in (*AGENT_VALUES, "ending"))),
    ),
    Arrow(
        "fleet is pure: itself and the standard library only, and of it no HTTP, threads, processes or sockets",
        files=("localcloud/fleet/*.py",),
        only=(*STANDARD_LIBRARY, "localcloud.fleet"),
        never=(
            *("http", "urllib", "socket", "socketserver", "subprocess", "time"),
            *("threading", "concurrent", "multiprocessing", "asyncio"),
        ),
    ),
    Arrow(
        "what a policy decides is pure: the standard library and each other only",
        files=("localcloud/api/policies.py", "localcloud/api/conditions.py"),
        only=(*STANDARD_LIBRARY, "localcloud.api.conditions"),
    ),
    Arrow(
        "what an instance is knows neither moto nor the API",
        files=("localcloud/instances/*.py",),
        never=("moto", "localcloud.api"),
    ),
    Arrow(
        "nothing outside localcloud and tests imports them",
        files=("*.py",),
        spared=("localcloud/*", "tests/*"),
        never=("localcloud", "tests"),
    ),
    Arrow(
        "localcloud imports neither tests nor the product",
        files=("localcloud/*.py",),
        never=("tests", "plugins", "ghosthands_agent"),
    ),
)


def imports(file: str, source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that `source`, standing at `file`, imports; `from a import b` is `a.b`.

    Names of the collection are given from the repository's root, relative ones resolved, the agent's from its package,
    and literal `import_module("...")` and `__import__("...")` count. Raises SyntaxError.
    """
    package = file.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(ast.parse(source, file)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            names = [".".join([*start, *filter(None, [node.module]), alias.name]) for alias in node.names]
        elif isinstance(node, ast.Call) and _is_import_by_name(node):
            names = [str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant)]
        else:
            continue
        for name in names:
            yield node.lineno, name.removeprefix(COLLECTION).removeprefix(AGENT.replace("/", "."))


def _is_import_by_name(call: ast.Call) -> bool:
    called = call.func
    return (isinstance(called, ast.Name) and called.id in ("__import__", "import_module")) or (
        isinstance(called, ast.Attribute) and called.attr == "import_module"
    )


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)


def _under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
