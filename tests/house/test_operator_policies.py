"""docs/iam is what the playbooks' modules can call, read from their source, and says it as AWS's reference does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.house.repository import ROOT
from tools.iam import __main__ as tool
from tools.iam import authorization, call_sites
from tools.iam.permissions import ALSO, CONDITIONS, NOT_DEPENDENT, OURS, Task, operations, table, tasks

STOCK = sorted(table())
#: Which documents an operator of a phase has.
DOCUMENTS = {
    "Build": ("read", "operator", "secret"),
    "Drill": ("read", "operator"),
    "Delete": ("read", "operator", "teardown"),
    "Verify": ("verify",),
    "Hosts": ("verify", "hosts"),
    "Replace": ("read", "operator", "hosts"),
    "Command": ("read", "commands"),
    "Secret": ("read", "secret"),
}
#: What Packer's plugin calls beyond a plain build, in its source at v1.8.2 (github.com/hashicorp/packer-plugin-amazon):
#: common/step_iam_instance_profile.go, common/ssm/session.go, common/step_run_spot_instance.go. tests/image tries a
#: plain build.
PACKER = {
    "InstanceProfile": {"iam:GetInstanceProfile", "iam:PassRole"},
    "SessionManager": {"ec2:DescribeInstanceStatus", "ssm:StartSession", "ssm:TerminateSession"},
    "Spot": {
        "ec2:CreateFleet",
        "ec2:CreateLaunchTemplate",
        "ec2:CreateTags",
        "ec2:DeleteLaunchTemplate",
        "iam:CreateServiceLinkedRole",
    },
    # https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
    "CustomersKey": {
        "kms:CreateGrant",
        "kms:DescribeKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    },
}


def statements(*names: str, partition: str = "") -> list[dict[str, Any]]:
    """Those of docs/iam/NAME.json for each name."""
    folder = tool.FOLDER / partition
    return [s for name in names for s in json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["Statement"]]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


EVERY = [
    pytest.param(path, s, id=f"{path.parent.name}-{path.stem}-{s['Sid']}")
    for path in sorted(tool.FOLDER.rglob("*.json"))
    for s in json.loads(path.read_text(encoding="utf-8"))["Statement"]
]


def test_the_documents_are_what_the_generator_writes() -> None:
    outdated = [str(path.relative_to(ROOT)) for path, text in tool.files() if path.read_text(encoding="utf-8") != text]
    assert not outdated, "python -m tools.iam writes them (make docs)"
    assert {path for path, _text in tool.files()} == set(tool.FOLDER.rglob("*.json"))


@pytest.mark.parametrize("module", STOCK)
def test_the_table_has_every_operation_that_a_module_can_call_once(module: str) -> None:
    row = table()[module]
    never = [name for rule in row.get("never", ()) for name in rule["operations"]]
    granted = {*row.get("present", ()), *row.get("absent", ())}
    assert not granted & set(never)
    assert len(never) == len(set(never))
    assert sorted({*granted, *never}) == sorted(map(str, call_sites.operations(call_sites.source(module))))


def test_the_table_has_every_module_that_a_playbook_uses_and_no_other() -> None:
    assert sorted({task.module for task in tasks() if not task.module.startswith(OURS)}) == STOCK


@pytest.mark.parametrize(
    ("module", "rule"), [(module, rule) for module in STOCK for rule in table()[module].get("never", ())]
)
def test_what_is_never_called_is_excluded_by_a_parameter_or_by_a_reason(module: str, rule: dict[str, Any]) -> None:
    assert len(rule.keys() & {"unless", "given", "because"}) == 1
    uses = [task for task in tasks() if task.module == module]
    if "unless" in rule:
        assert not [task.playbook for task in uses if rule["unless"] in task.parameters]
    for name, value in rule.get("given", {}).items() if isinstance(rule.get("given"), dict) else ():
        present = [task.parameters for task in uses if "present" in task.states]
        assert present
        assert all(parameters.get(name) == value for parameters in present), f"a task does not have {name}: {value}"
    if isinstance(rule.get("given"), str):
        assert all(rule["given"] in task.parameters for task in uses if "present" in task.states)


@pytest.mark.parametrize("task", tasks(), ids=lambda task: f"{task.playbook}-{task.module}")
def test_whoever_runs_a_task_may_call_what_its_module_can(task: Task) -> None:
    granted = {action for s in statements(*DOCUMENTS[task.phase]) for action in s["Action"]}
    needed = {authorization.of_operation(*name.split(":")) for name in operations(task)} - {"sts:GetCallerIdentity"}
    assert not needed - granted


@pytest.mark.parametrize(("path", "statement"), EVERY)
def test_a_statements_actions_resources_and_conditions_fit_each_other(path: Path, statement: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/"""
    partition = path.parent.name if path.parent != tool.FOLDER else "aws"
    resources = as_list(statement["Resource"])
    for name in statement["Action"]:
        action = authorization.action(name)
        assert action.name == name, "in AWS's capitals"
        service = name.partition(":")[0]
        types = [authorization.arn(service, type) for type in action.required | action.optional]
        for arn in resources:
            assert arn == "*" or any(fits(arn, type, partition) for type in types), f"{name} on {arn}"
        if resources == ["*"]:
            assert path.stem.startswith("packer") or not action.required, f"{name} supports resources"
        for keys in statement.get("Condition", {}).values():
            for key in keys:
                known = {known.partition("/")[0] for known in action.condition_keys}
                assert key.partition("/")[0] in known | RESOURCE_TAGS, f"{name} has no condition key {key}"


#: A resource's tags are keys of the type of resource, which the data lists with the type.
RESOURCE_TAGS = {"aws:ResourceTag"}


def fits(arn: str, type: str, partition: str) -> bool:
    """Whether a pattern in a document names resources of this type, in the document's partition."""
    pattern = re.sub(r"\\\$\\\{\w+\\\}", ".*", re.escape(type.replace("${Partition}", partition)))
    return re.fullmatch(pattern, arn) is not None


@pytest.mark.parametrize("partition", [name for name in tool.PARTITIONS if name != "aws"])
def test_another_partitions_documents_name_nothing_of_aws(partition: str) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (tool.FOLDER / partition).glob("*.json"))
    assert "arn:aws:" not in text
    assert ('"ec2.amazonaws.com"' in text) == (partition != "aws-cn")


def test_packers_documents_allow_what_its_plugin_calls_and_nothing_else() -> None:
    options: dict[str, set[str]] = {}
    for statement in statements("packer-options"):
        (option,) = [name for name in PACKER if statement["Sid"].startswith(name)]
        options.setdefault(option, set()).update(statement["Action"])
    assert options == PACKER


def test_nothing_that_is_granted_has_no_caller() -> None:
    called = {authorization.of_operation(*name.split(":")) for task in tasks() for name in operations(task)}
    dependent = {other for name in called for other in also(name)}
    granted = {
        action
        for s in statements("read", "operator", "teardown", "verify", "hosts", "commands")
        for action in s["Action"]
    }
    assert granted - called - dependent == set()


def also(name: str) -> set[str]:
    """What depends on an action, and what depends on that."""
    direct = ({*authorization.action(name).dependent, *ALSO.get(name, ())}) - NOT_DEPENDENT.keys()
    return direct | {further for other in direct for further in also(other)}


def test_roles_are_passed_and_created_for_one_service_only() -> None:
    for statement in statements("operator"):
        for action in statement["Action"]:
            if (action, "role") in CONDITIONS:
                assert statement["Condition"]["StringEquals"] == CONDITIONS[action, "role"]


def test_a_call_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    for line, error in (
        ("client.get_paginator(f'list_{kind}s')", "put together"),
        ("self._call('autoscaling', operation)", "names no operation"),
    ):
        module.write_text(f"def main():\n    module.client('iam')\n    {line}\n\n\nmain()\n", encoding="utf-8")
        call_sites.operations.cache_clear()
        call_sites._file.cache_clear()
        with pytest.raises(call_sites.Unreadable, match=error):
            call_sites.operations(module)


def test_calls_are_found_through_functions_classes_tables_paginators_and_waiters(tmp_path: Path) -> None:
    module = tmp_path / "other.py"
    module.write_text(
        """
from ansible_collections.amazon.aws.plugins.module_utils.iam import get_iam_role

TABLE = {"x": lambda client: client.tag_role()}


class Keys:
    def all(self, client):
        return client.get_paginator("list_access_keys")


def untouched(client):
    client.delete_user()


def main():
    client = module.client("iam")
    get_iam_role(client, "r")
    TABLE["x"](client)
    Keys().all(client)
    client.get_waiter("policy_exists")
    untouched = client.create_user
    return untouched()


main()
""",
        encoding="utf-8",
    )
    found = {one.name for one in call_sites.operations(module)}
    assert found == {"GetRole", "TagRole", "ListAccessKeys", "GetPolicy", "CreateUser"}
