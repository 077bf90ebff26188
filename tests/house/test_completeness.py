"""What a change left half done: an option, a check or a parameter that was not carried to every place it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks import (
    creation,
    launch,
    preflight,
    rollout,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.check import Check
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.table import COMPARISONS

from tests.fleet.changes import CHANGES, TASKS
from tests.fleet.faults import FAULTS
from tests.house import repository
from tests.house.ansible_content import modules_of
from tests.house.test_argument_specs import FLEET_DEFAULTS, FLEET_SPEC, fleet_options

CHECK_FILES = "plugins/module_utils/_fleet/checks/*.py"
COMPARE_FILES = "plugins/module_utils/_fleet/compare/*.py"
UNIT_TESTS = "tests/unit/plugins/module_utils/_fleet"

#: Files of rules whose tests lie elsewhere.
TESTED_BY = {
    "table.py": "tests/house/test_completeness.py",
    "tasks.py": "tests/unit/plugins/action/test_fleet_drift.py",
    "check.py": "tests/fleet/test_verify.py",
    "verify.py": "tests/fleet/test_verify.py",
}

#: On purpose not compared: with fleet_valet_apply the first differs on every run, and is named; the others follow a
#: task that AWS has refused, which no comparison predicts.
NOT_COMPARED = {"ansible.builtin.command", "ansible.builtin.set_fact", "wekruit.ghosthands.aws_retry"}
CHANGES_NOTHING = {f"ansible.builtin.{name}" for name in ("import_tasks", "meta", "debug", "assert")}
#: Parameters with a meaning that no single change can make differ.
NOT_CHANGED = {
    ("folder", "state"): "a file in the folder's place: the module refuses to replace it",
    ("key_file", "content"): "unknown until the key is made: the task differs as a whole",
    ("key_file", "mode"): "unknown until the key is made: the task differs as a whole",
}
#: instances-standby never fails: an instance in standby is no failure. readable: tests/fleet/test_lifecycle_check.py.
#: localcloud has no warm pools. Each parameter of the hooks' tasks has a check of its own, which reports it first.
WITHOUT_FAULT = {"instances-standby", "readable", "group-warm-pool", "drift-lifecycle-hook"}


class StatedTask(NamedTuple):
    """A task of the site that may change something."""

    name: str
    module: str
    parameters: dict[str, Any]


def tasks_of(playbook: str) -> Iterator[StatedTask]:
    """The tasks of a playbook that may change something."""
    for play in repository.load(f"playbooks/{playbook}"):
        for task in play["tasks"]:
            for module in modules_of(task):
                if module not in CHANGES_NOTHING:
                    yield StatedTask(task["name"], module, task[module] or {})


def site() -> list[StatedTask]:
    """The tasks that the comparison reads."""
    playbooks = [entry["ansible.builtin.import_playbook"] for entry in repository.load("playbooks/site.yml")]
    return [task for playbook in playbooks for task in tasks_of(playbook)]


# --- an option ------------------------------------------------------------------------------------------------------


def test_every_option_is_documented() -> None:
    page = repository.text("docs/options.md")
    assert [name for name in fleet_options() if f"| `{name}` |" not in page] == [], "run: make docs"


def test_every_option_is_used() -> None:
    sources = [f for f in repository.matching("playbooks/*", "plugins/*") if f not in (FLEET_SPEC, FLEET_DEFAULTS)]
    used = set(re.findall(r"\bfleet_\w+", "\n".join(repository.text(file) for file in sources)))
    assert fleet_options().keys() - used == set()


# --- a task or its parameter ----------------------------------------------------------------------------------------


def test_the_comparison_knows_exactly_the_modules_that_the_site_uses() -> None:
    assert {task.module for task in site()} == COMPARISONS.keys() | NOT_COMPARED


def test_the_comparison_knows_every_parameter_of_every_task() -> None:
    compared = [task for task in site() if task.module in COMPARISONS]
    unknown = {task.name: task.parameters.keys() - COMPARISONS[task.module].parameters.keys() for task in compared}
    assert {name: parameters for name, parameters in unknown.items() if parameters} == {}


def test_every_task_and_every_parameter_with_a_meaning_is_changed_in_the_differential_test() -> None:
    tasks = {task.name: task for task in site()}
    assert {key for change in CHANGES for key in change.differs} == TASKS.keys()
    assert set(TASKS.values()) == {task.name for task in tasks.values() if task.module in COMPARISONS}
    stated = {
        (key, parameter)
        for key, name in TASKS.items()
        for parameter in tasks[name].parameters
        if COMPARISONS[tasks[name].module].parameters.get(parameter) is not None
    }
    changed = {(key, name) for change in CHANGES for key, names in change.differs.items() for name in names.split()}
    assert stated - changed == NOT_CHANGED.keys()


def test_every_section_has_a_change_in_make_test() -> None:
    assert {change.section for change in CHANGES if change.quick} == {change.section for change in CHANGES}


# --- a check --------------------------------------------------------------------------------------------------------


def test_every_check_has_a_planted_fault() -> None:
    assert {check.id for check in CHECKS} - {fault.check for fault in FAULTS} == WITHOUT_FAULT


def test_every_check_is_described_and_documented() -> None:
    page = repository.text("docs/checks.md")
    checks: list[Check[Any]] = [*CHECKS, *preflight.CHECKS, *launch.CHECKS, *creation.CHECKS, *rollout.CHECKS]
    assert [check.id for check in checks if not check.description] == [], "its docstring is its description"
    assert [check.id for check in checks if f"| `{check.id}` |" not in page] == [], "run: make docs"


@pytest.mark.parametrize("module", [preflight, launch, creation, rollout])
def test_every_check_of_preflight_has_a_test(module: ModuleType) -> None:
    tests = repository.text(f"{UNIT_TESTS}/checks/test_{module.__name__.rpartition('.')[2]}.py")
    assert [check.id for check in module.CHECKS if f'"{check.id}"' not in tests] == []


def test_every_file_of_rules_has_a_test_file() -> None:
    """Checks with an id are tested by their planted faults, modules of the table by the differential test."""
    rules = [file for file in repository.matching(CHECK_FILES, COMPARE_FILES) if not file.endswith("/__init__.py")]
    by_id = {file for file in rules if re.search(r"^@check\(|\bComparison\(", repository.text(file), re.MULTILINE)}
    expected = {file: TESTED_BY.get(PurePath(file).name, unit_tests(file)) for file in rules if file not in by_id}
    assert {file: test for file, test in expected.items() if test not in repository.files()} == {}


def unit_tests(source: str) -> str:
    """Where a file of _fleet has its unit tests."""
    path = PurePath(source)
    return f"{UNIT_TESTS}/{path.parent.name}/test_{path.stem}.py"


@pytest.mark.parametrize("playbook", [file for file in repository.matching("playbooks/*.yml") if file.count("/") == 1])
def test_every_playbook_is_described_documented_and_tested(playbook: str) -> None:
    name = PurePath(playbook).name
    assert repository.text(playbook).startswith("---\n# "), "begin with a comment: runbook section, and what it needs"
    for document in ("README.md", "docs/runbook.md"):
        assert name in repository.text(document), f"{document} does not name {name}"
    tests = repository.matching("tests/fleet/*.py", "molecule/*.yml")
    assert any(name in repository.text(file) for file in tests), f"no test in tests/fleet or molecule names {name}"
