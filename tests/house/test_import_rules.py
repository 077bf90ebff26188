"""Which file may import what: the arrows of docs/architecture.md."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase

import pytest

from tests.house import repository
from tests.house.imports import imports

FLEET = "plugins.module_utils._fleet"
FLEET_FOLDER = FLEET.replace(".", "/")
STANDARD_LIBRARY = tuple(sorted(sys.stdlib_module_names))
PURE_LIBRARY = ("__future__", "collections", "dataclasses", "typing")
INPUT_OUTPUT = ("http", "os", "shutil", "socket", "socketserver", "subprocess", "time", "urllib")
THREADS = ("asyncio", "concurrent", "multiprocessing", "threading")
AWS = ("boto3", "botocore")

#: The agent's procedures, and the values and rules that they share.
PROCEDURES = (
    *("boot", "watch", "monitor", "fitness", "replacement", "retention", "scale_in_protection", "drain", "termination"),
    *("stop", "unconfigured", "channel", "operations", "request"),
)
AGENT_VALUES = (
    *("ports", "passing_errors", "settings", "paths", "environment", "compose_override", "containers", "log_shipper"),
    "wishes",
)

#: The rooms of localcloud that answer AWS's calls.
SERVICES = ("authorization", "autoscaling", "ec2", "iam", "machines", "patches", "server", "services", "world")

#: Folder of _fleet -> the folders of _fleet that it may import besides itself.
FLEET_FOLDERS = {
    "facts": (),
    "compare": ("facts",),
    "checks": ("facts",),
    "report": ("facts",),
    "aws": ("facts",),
    "hosts": ("facts", "procedures"),
    "procedures": ("facts",),
}
PURE_FOLDERS = ("facts", "compare", "checks", "report")


@dataclass(frozen=True)
class Rule:
    """What the files that match `files` and not `except_files` may import."""

    text: str
    files: tuple[str, ...]
    except_files: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    """dotted prefixes, as `imports` gives names; empty: anything"""
    never: tuple[str, ...] = ()
    """dotted prefixes"""

    def applies_to(self, file: str) -> bool:
        return _matches(file, self.files) and not _matches(file, self.except_files)

    def forbids(self, name: str) -> bool:
        return bool(self.only and not _under(name, self.only)) or _under(name, self.never)


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(file, pattern) for pattern in patterns)


def _under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


RULES = (
    *(
        Rule(
            f"_fleet/{folder} imports the standard library, itself and {', '.join(others) or 'nothing else'}",
            files=(f"{FLEET_FOLDER}/{folder}/*.py",),
            only=(
                *STANDARD_LIBRARY,
                *(f"{FLEET}.{other}" for other in (folder, *others)),
                *(AWS if folder == "aws" else ()),
                *(("jinja2",) if folder == "report" else ()),
            ),
        )
        for folder, others in FLEET_FOLDERS.items()
    ),
    Rule(
        "pure folders of _fleet do no input or output",
        files=tuple(f"{FLEET_FOLDER}/{folder}/*.py" for folder in PURE_FOLDERS),
        never=INPUT_OUTPUT,
    ),
    Rule(
        "only postgres.py imports psycopg",
        files=("plugins/*.py",),
        except_files=(f"{FLEET_FOLDER}/postgres.py",),
        never=("psycopg",),
    ),
    Rule(
        "only modules, actions with their plugin_utils, and filters import Ansible",
        files=("plugins/*.py",),
        except_files=("plugins/modules/*", "plugins/action/*", "plugins/plugin_utils/*", "plugins/filter/*"),
        never=("ansible", "ansible_collections"),
    ),
    Rule(
        "only _fleet/aws and modules import botocore and boto3",
        files=("plugins/*.py",),
        except_files=("plugins/modules/*", f"{FLEET_FOLDER}/aws/*.py"),
        never=AWS,
    ),
    Rule(
        "the plugins share no code with the agent",
        files=("plugins/*.py",),
        never=("ghosthands_agent", "roles"),
    ),
    Rule(
        "the agent imports itself, boto3 and the standard library only",
        files=("agent/src/*.py",),
        only=(*STANDARD_LIBRARY, *AWS, "ghosthands_agent"),
    ),
    Rule(
        "the agent's procedures are handed their clock and adapters: they import each other, ports and values only",
        files=tuple(f"agent/src/ghosthands_agent/{procedure}.py" for procedure in PROCEDURES),
        only=(*PURE_LIBRARY, *(f"ghosthands_agent.{module}" for module in (*PROCEDURES, *AGENT_VALUES))),
    ),
    Rule(
        "the agent's values import no adapter and no procedure but termination",
        files=tuple(f"agent/src/ghosthands_agent/{module}.py" for module in AGENT_VALUES),
        only=(
            *PURE_LIBRARY,
            *("json", "pathlib", "re"),
            *(f"ghosthands_agent.{module}" for module in (*AGENT_VALUES, "termination")),
        ),
    ),
    Rule(
        "localcloud.fleet is pure: itself and the standard library, without input, output and threads",
        files=("localcloud/src/localcloud/fleet/*.py",),
        only=(*STANDARD_LIBRARY, "localcloud.fleet"),
        never=(*INPUT_OUTPUT, *THREADS),
    ),
    Rule(
        "the policy evaluator is pure: the standard library and itself",
        files=("localcloud/src/localcloud/iam/policies.py", "localcloud/src/localcloud/iam/conditions.py"),
        only=(*STANDARD_LIBRARY, "localcloud.iam.conditions"),
        never=(*INPUT_OUTPUT, *THREADS),
    ),
    Rule(
        "localcloud's instances import neither moto nor the services",
        files=("localcloud/src/localcloud/instances/*.py",),
        never=("moto", *(f"localcloud.{service}" for service in SERVICES)),
    ),
    Rule(
        "the product imports neither localcloud nor tests",
        files=("agent/src/*.py", "plugins/*.py", "roles/*.py"),
        never=("bench", "localcloud", "tests", "tools"),
    ),
    Rule(
        "localcloud imports neither tests nor the product",
        files=("localcloud/src/*.py",),
        never=("bench", "ghosthands_agent", "plugins", "tests", "tools"),
    ),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.text)
def test_files_import_only_what_the_rule_allows(rule: Rule) -> None:
    files = [file for file in repository.matching("*.py") if rule.applies_to(file)]
    assert files, "the rule applies to no file"
    forbidden = [
        f"{file}:{line} imports {name}" for file in files for line, name in imports(file) if rule.forbids(name)
    ]
    assert forbidden == []
