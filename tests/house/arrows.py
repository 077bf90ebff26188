"""The arrows of the house, read from imports: who may know whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

COLLECTION = "ansible_collections.wekruit.ghosthands."
STANDARD_LIBRARY = tuple(sorted(sys.stdlib_module_names))
FLEET = "plugins.module_utils._fleet"
FLEET_FOLDER = FLEET.replace(".", "/")
SOURCES = ("agent.src.", "localcloud.src.")
AWS = ("boto3", "botocore")
PROCEDURES = ("boot", "watch", "monitor", "scale_in_protection", "drain", "termination", "stop")
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


ROOMS = {
    # room of _fleet: the rooms of _fleet that it may import besides itself
    "facts": (),
    "compare": ("facts",),
    "checks": ("facts",),
    "report": ("facts",),
    "aws": ("facts", "compare"),
    "hosts": ("facts",),
    "procedures": ("facts",),
}

ARROWS = (
    *(
        Arrow(
            f"_fleet/{room} imports the standard library{''.join(f', {other}' for other in others)} and itself only",
            files=(f"{FLEET_FOLDER}/{room}/*.py",),
            only=(
                *STANDARD_LIBRARY,
                *(f"{FLEET}.{other}" for other in (room, *others)),
                *(AWS if room == "aws" else ()),
                *(("jinja2",) if room == "report" else ()),
            ),
        )
        for room, others in ROOMS.items()
    ),
    Arrow(
        "pure rooms do no input or output",
        files=tuple(f"{FLEET_FOLDER}/{room}/*.py" for room in ("facts", "compare", "checks", "report")),
        never=("http", "os", "shutil", "socket", "subprocess", "time", "urllib"),
    ),
    Arrow(
        "only postgres.py imports psycopg",
        files=("plugins/*.py",),
        spared=(f"{FLEET_FOLDER}/postgres.py",),
        never=("psycopg",),
    ),
    Arrow(
        "only modules, actions (with what they share, plugin_utils) and filters import Ansible",
        files=("plugins/*.py",),
        spared=("plugins/modules/*", "plugins/action/*", "plugins/plugin_utils/*", "plugins/filter/*"),
        never=("ansible", "ansible_collections"),
    ),
    Arrow(
        "only _fleet/aws and modules import botocore and boto3",
        files=("plugins/*.py",),
        spared=("plugins/modules/*", f"{FLEET_FOLDER}/aws/*.py"),
        never=AWS,
    ),
    Arrow(
        "the plugins share no code with the agent",
        files=("plugins/*.py",),
        never=("ghosthands_agent", "roles"),
    ),
    Arrow(
        "the agent imports itself, boto3 and the standard library only",
        files=("agent/src/*.py",),
        only=(*STANDARD_LIBRARY, *AWS, "ghosthands_agent"),
    ),
    Arrow(
        "the agent's procedures are handed their clock and adapters: they import each other, ports and values only",
        files=tuple(f"agent/src/ghosthands_agent/{procedure}.py" for procedure in PROCEDURES),
        only=(*PURE_LIBRARY, *(f"ghosthands_agent.{module}" for module in (*PROCEDURES, *AGENT_VALUES))),
    ),
    Arrow(
        "the agent's values import no adapter and no procedure but the rule that they write down",
        files=tuple(f"agent/src/ghosthands_agent/{module}.py" for module in AGENT_VALUES),
        only=(
            *PURE_LIBRARY,
            *("json", "pathlib", "re"),
            *(f"ghosthands_agent.{module}" for module in (*AGENT_VALUES, "termination")),
        ),
    ),
    Arrow(
        "localcloud.fleet is pure: itself and the standard library only, and no HTTP, threads, processes or sockets",
        files=("localcloud/src/localcloud/fleet/*.py",),
        only=(*STANDARD_LIBRARY, "localcloud.fleet"),
        never=(
            *("http", "urllib", "socket", "socketserver", "subprocess", "time"),
            *("threading", "concurrent", "multiprocessing", "asyncio"),
        ),
    ),
    Arrow(
        "what a policy decides is pure: the standard library and each other only",
        files=("localcloud/src/localcloud/iam/policies.py", "localcloud/src/localcloud/iam/conditions.py"),
        only=(*STANDARD_LIBRARY, "localcloud.iam.conditions"),
    ),
    Arrow(
        "instances import neither moto nor the services",
        files=("localcloud/src/localcloud/instances/*.py",),
        never=(
            "moto",
            *(f"localcloud.{room}" for room in ("authorization", "autoscaling", "ec2", "iam", "patches", "server")),
            *("localcloud.machines", "localcloud.services"),
        ),
    ),
    Arrow(
        "the product imports neither localcloud nor tests",
        files=("agent/src/*.py", "plugins/*.py", "roles/*.py"),
        never=("bench", "localcloud", "tests", "tools"),
    ),
    Arrow(
        "localcloud imports neither tests nor the product",
        files=("localcloud/src/*.py",),
        never=("bench", "ghosthands_agent", "plugins", "tests", "tools"),
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
            for prefix in (COLLECTION, *SOURCES):
                name = name.removeprefix(prefix)
            yield node.lineno, name


def _is_import_by_name(call: ast.Call) -> bool:
    called = call.func
    return (isinstance(called, ast.Name) and called.id in ("__import__", "import_module")) or (
        isinstance(called, ast.Attribute) and called.attr == "import_module"
    )


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)


def _under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
