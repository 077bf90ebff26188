"""The table of comparisons against the modules' own documentation, and the mutations against the table."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
import yaml
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.table import RESOURCES

from tests.fleet.changes import CHANGES, TASKS
from tests.fleet.cloud import BIN, ROOT

# What the comparison does not know on purpose: with fleet_valet_apply it differs on every run, and is named.
NOT_COMPARED = {"ansible.builtin.command"}
CHANGE_NOTHING = {
    "ansible.builtin.import_tasks",
    "ansible.builtin.meta",
    "ansible.builtin.debug",
    "ansible.builtin.assert",
}
# Options of the connection and of the machinery of every module, which no playbook states in a task.
OF_EVERY_MODULE = {"debug_botocore_endpoint_logs", "validate_certs", "state", "unsafe_writes", "wait", "wait_timeout"}
ONLY_CREATES = "the task runs only where the thing is missing"
NOT_THE_ATTRIBUTE = "says how a time is written that no task states"
# Defaults that a module applies although no task states them, each judged: why no comparison has to reckon with it.
JUDGED: dict[str, dict[str, str]] = {
    "amazon.aws.autoscaling_group": dict.fromkeys(
        (
            *(
                "decrement_desired_capacity",
                "detach_instances",
                "lc_check",
                "lt_check",
                "metrics_collection",
                "metrics_granularity",
            ),
            *(
                "metrics_list",
                "notification_types",
                "purge_tags",
                "replace_all_instances",
                "replace_batch_size",
                "replace_instances",
            ),
        ),
        ONLY_CREATES,
    ),
    "amazon.aws.cloudwatchlogs_log_group": {
        "overwrite": "would delete and make the group anew; off",
        "purge_retention_policy": "excludes retention, which is stated; off",
    },
    "amazon.aws.ec2_key": {"force": ONLY_CREATES},
    "amazon.aws.ec2_security_group": {
        "purge_rules": "on: the comparison counts unknown rules",
        "purge_rules_egress": "on: the comparison counts unknown rules",
    },
    "amazon.aws.iam_access_key": {"rotate_keys": ONLY_CREATES},
    "amazon.aws.iam_managed_policy": {
        "make_default": "on: the comparison is with the default version",
        "only_version": "would delete other versions; off",
    },
    "amazon.aws.iam_policy": {"skip_duplicates": "would look for the document under another name; off"},
    "amazon.aws.iam_role": {
        "purge_policies": "counts only together with managed_policies, which no task states; a change holds it"
    },
    "amazon.aws.iam_user": {
        "password_reset_required": "counts only together with password",
        "update_password": "counts only together with password",
    },
    "ansible.builtin.copy": {
        "backup": "keeps no copy",
        "decrypt": "the content is given, no file is read",
        "follow": "the destination's path is already real",
        "force": "on: content that differs is replaced, and the comparison says so",
        "remote_src": "no file is read",
    },
    "ansible.builtin.file": {
        "access_time_format": NOT_THE_ATTRIBUTE,
        "modification_time_format": NOT_THE_ATTRIBUTE,
        "follow": "the path is already real",
        "force": "concerns links",
        "recurse": "off: what lies in the folder is not touched",
    },
    "community.aws.ecs_ecr": {
        "force_absent": "concerns removal",
        "force_set_policy": "counts only together with policy",
    },
    "community.aws.secretsmanager_secret": dict.fromkeys(
        ("recovery_window", "rotation_interval", "secret", "secret_type"), ONLY_CREATES
    ),
}
# Parameters with a meaning that no change can make differ alone.
NOT_MUTATED = {
    ("folder", "state"): "a file in the folder's place: the module refuses to replace it",
    ("key_file", "content"): "unknown until the key is made: the task differs as a whole",
    ("key_file", "mode"): "unknown until the key is made: the task differs as a whole",
}


class Stated(NamedTuple):
    """A task of a playbook."""

    playbook: str
    name: str
    module: str
    arguments: dict[str, Any]


def tasks_of(playbook: str) -> Iterator[Stated]:
    """Every task of the playbook that may change something."""
    for play in yaml.safe_load((ROOT / "playbooks" / playbook).read_text(encoding="utf-8")):
        for task in play["tasks"]:
            for module in [word for word in task if word.count(".") >= 2 and word not in CHANGE_NOTHING]:
                yield Stated(playbook, task["name"], module, task[module] or {})


def site() -> list[Stated]:
    """The site's tasks, which the comparison reads."""
    books = [
        entry["ansible.builtin.import_playbook"]
        for entry in yaml.safe_load((ROOT / "playbooks" / "site.yml").read_text("utf-8"))
    ]
    return [task for book in books for task in tasks_of(book)]


@cache
def options(module: str) -> dict[str, Any]:
    """The module's documented options. All modules are asked for at once: each ansible-doc costs a second."""
    return dict(_documentation()[module]["doc"]["options"])


@cache
def _documentation() -> dict[str, Any]:
    modules = sorted(
        {task.module for task in site()} | RESOURCES.keys() | {task.module for task in tasks_of("teardown.yml")}
    )
    done = subprocess.run(
        [BIN / "ansible-doc", "-t", "module", "-j", *modules], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def undocumented(arguments: Any, documented: dict[str, Any]) -> Iterator[str]:
    """Names in a task that the module does not know, at any depth that the task spells out."""
    for one in arguments if isinstance(arguments, list) else [arguments]:
        if isinstance(one, dict):
            for name, value in one.items():
                if name not in documented:
                    yield name
                elif documented[name].get("suboptions"):
                    yield from undocumented(value, documented[name]["suboptions"])


def test_the_table_knows_exactly_the_modules_that_the_site_uses() -> None:
    assert {task.module for task in site()} == RESOURCES.keys() | NOT_COMPARED


@pytest.mark.parametrize("module", sorted(RESOURCES))
def test_every_parameter_in_the_table_is_the_modules_own(module: str) -> None:
    assert set(RESOURCES[module].says) - options(module).keys() == set()


@pytest.mark.parametrize("task", [pytest.param(t, id=t.name) for t in [*site(), *tasks_of("teardown.yml")]])
def test_every_parameter_in_a_task_is_the_modules_own(task: Stated) -> None:
    assert list(undocumented(task.arguments, options(task.module))) == []


@pytest.mark.parametrize("task", [pytest.param(t, id=t.name) for t in site() if t.module not in NOT_COMPARED])
def test_every_parameter_in_a_task_is_known_to_the_table(task: Stated) -> None:
    assert task.arguments.keys() - RESOURCES[task.module].says.keys() == set()


@pytest.mark.parametrize("module", sorted(RESOURCES))
def test_every_default_that_a_module_applies_unasked_is_judged(module: str) -> None:
    stated = set.intersection(*[set(task.arguments) for task in site() if task.module == module])
    silent = (
        {name for name, option in options(module).items() if option.get("default") is not None}
        - stated
        - OF_EVERY_MODULE
    )
    assert silent == JUDGED.get(module, {}).keys()


def test_there_are_mutations_enough_and_each_is_told_apart() -> None:
    assert len({m.description for m in CHANGES}) == len(CHANGES)
    assert len([m for m in CHANGES if m.differs]) >= 60
    assert len([m for m in CHANGES if not m.differs]) >= 20
    assert len([m for m in CHANGES if m.quick]) >= 20


def test_every_section_and_every_kind_of_task_is_mutated_in_the_quick_tests_or_in_the_slow_ones() -> None:
    assert {key for m in CHANGES for key in m.differs} == TASKS.keys()
    assert {m.section for m in CHANGES if m.quick} == {m.section for m in CHANGES}


def test_every_stated_parameter_with_a_meaning_is_made_to_differ_by_a_mutation() -> None:
    tasks = {task.name: task for task in site()}
    stated = {
        (key, name)
        for key, task in TASKS.items()
        for name in tasks[task].arguments
        if RESOURCES[tasks[task].module].says.get(name) is not None
    }
    mutated = {(key, name) for m in CHANGES for key, names in m.differs.items() for name in names.split()}
    assert stated - mutated == NOT_MUTATED.keys()
