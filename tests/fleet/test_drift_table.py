"""The comparison's table and the playbooks' tasks against the modules' own documentation (ansible-doc)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.table import COMPARISONS

from tests.fleet.cloud import BIN, ROOT
from tests.house.test_completeness import StatedTask, site, tasks_of

# Options of the connection and of the machinery of every module, which no playbook states in a task.
OF_EVERY_MODULE = {"debug_botocore_endpoint_logs", "validate_certs", "state", "unsafe_writes", "wait", "wait_timeout"}
ONLY_CREATES = "the task runs only where the thing is missing"
NOT_THE_ATTRIBUTE = "says how a time is written that no task states"
# Defaults that a module applies although no task states them -> why the comparison need not know them.
UNSTATED_DEFAULTS: dict[str, dict[str, str]] = {
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
        "overwrite": "would delete and recreate the group; off",
        "purge_retention_policy": "excludes retention, which is stated; off",
    },
    "amazon.aws.ec2_key": {"force": ONLY_CREATES},
    "amazon.aws.ec2_security_group": {
        "purge_rules": "on: to the comparison an unknown rule is a difference",
        "purge_rules_egress": "on: to the comparison an unknown rule is a difference",
    },
    "amazon.aws.iam_access_key": {"rotate_keys": ONLY_CREATES},
    "amazon.aws.iam_managed_policy": {
        "make_default": "on: the comparison is with the default version",
        "only_version": "would delete other versions; off",
    },
    "amazon.aws.iam_policy": {"skip_duplicates": "would look for the document under another name; off"},
    "amazon.aws.iam_role": {
        "purge_policies": "matters only together with managed_policies, which no task states; a change holds it"
    },
    "amazon.aws.iam_user": {
        "password_reset_required": "matters only together with password",
        "update_password": "matters only together with password",
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
        "force_set_policy": "matters only together with policy",
    },
    "community.aws.secretsmanager_secret": dict.fromkeys(
        ("recovery_window", "rotation_interval", "secret", "secret_type"), ONLY_CREATES
    ),
}


@cache
def options(module: str) -> dict[str, Any]:
    """A module's documented options."""
    return dict(_documentation()[module]["doc"]["options"])


@cache
def _documentation() -> dict[str, Any]:
    """Of all modules at once: each ansible-doc takes a second."""
    modules = sorted(
        {task.module for task in site()} | COMPARISONS.keys() | {task.module for task in tasks_of("teardown.yml")}
    )
    done = subprocess.run(
        [BIN / "ansible-doc", "-t", "module", "-j", *modules], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def undocumented(arguments: Any, documented: dict[str, Any]) -> Iterator[str]:
    """Names in a task that the module does not document, at any depth."""
    for one in arguments if isinstance(arguments, list) else [arguments]:
        if isinstance(one, dict):
            for name, value in one.items():
                if name not in documented:
                    yield name
                elif documented[name].get("suboptions"):
                    yield from undocumented(value, documented[name]["suboptions"])


@pytest.mark.parametrize("module", sorted(COMPARISONS))
def test_every_compared_parameter_is_the_modules_own(module: str) -> None:
    assert set(COMPARISONS[module].parameters) - options(module).keys() == set()


TASKS = [*site(), *tasks_of("teardown.yml")]


@pytest.mark.parametrize("task", [pytest.param(task, id=task.name) for task in TASKS])
def test_every_parameter_in_a_task_is_the_modules_own(task: StatedTask) -> None:
    assert list(undocumented(task.parameters, options(task.module))) == []


@pytest.mark.parametrize("module", sorted(COMPARISONS))
def test_every_default_that_a_module_applies_by_itself_is_accounted_for(module: str) -> None:
    stated = set.intersection(*[set(task.parameters) for task in site() if task.module == module])
    defaults = {name for name, option in options(module).items() if option.get("default") is not None}
    assert defaults - stated - OF_EVERY_MODULE == UNSTATED_DEFAULTS.get(module, {}).keys()
