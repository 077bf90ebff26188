# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fleet_drift over a site of a few tasks: what differs is named, and so is whatever it cannot compare."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar, trust_as_template
from ansible_collections.wekruit.ghosthands.plugins.action import fleet_drift

SPEC = Path(__file__).resolve().parents[4] / "playbooks" / "vars" / "fleet_spec.yml"
LOGS = {"amazon.aws.cloudwatchlogs_log_group": {"log_group_name": "{{ fleet_log_group_name }}", "retention": 30}}
KEEP = {"name": "Create the log group", **LOGS}
SCHEMA = [{"Key": "ghosthands:agent-schema", "Value": "4"}]
LOG_GROUP = {"logGroupName": "/wekruit/gh-worker", "retentionInDays": 30, "arn": "arn:logs:*"}


WORKER_SECRET = dict.fromkeys(
    "SUPABASE_URL SUPABASE_SECRET_KEY SUPABASE_PUBLISHABLE_KEY DATABASE_URL DATABASE_DIRECT_URL GH_SERVICE_SECRET "
    "GH_CREDENTIAL_KEY GH_DEPLOY_SECRET GH_ENVIRONMENT ANTHROPIC_API_KEY".split(),
    "hidden",
)


class Account:
    """An account that answers these operations, whatever the request, and fails for others."""

    def __init__(self, **more: Any) -> None:
        self.calls = 0
        self.answers = {
            "get_caller_identity": {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"},
            "describe_vpcs": {"Vpcs": [{"VpcId": "vpc-1"}]},
            "describe_subnets": {
                "Subnets": [
                    {"SubnetId": f"subnet-{z}", "VpcId": "vpc-1", "AvailabilityZone": f"us-east-1{z}"} for z in "ab"
                ]
            },
            "describe_instance_types": {
                "InstanceTypes": [
                    {"ProcessorInfo": {"SupportedArchitectures": ["x86_64"]}, "MemoryInfo": {"SizeInMiB": 4096}}
                ]
            },
            "describe_instance_type_offerings": {
                "InstanceTypeOfferings": [{"Location": f"us-east-1{z}"} for z in "ab"]
            },
            "describe_images": {
                "Images": [{"ImageId": "ami-1", "Architecture": "x86_64", "State": "available", "Tags": SCHEMA}],
                "imageDetails": [{"imageDigest": "sha256:1"}],  # ECR's
            },
            "describe_auto_scaling_groups": {"AutoScalingGroups": []},
            "describe_route_tables": {"RouteTables": []},
            "get_ebs_default_kms_key_id": {"KmsKeyId": "alias/aws/ebs"},
            "describe_launch_templates": None,
            "describe_launch_template_versions": None,
            "describe_key_pairs": {"KeyPairs": [{"KeyName": "valet-worker"}]},
            "describe_secret": {"ARN": "arn:s"},
            "get_secret_value": {"SecretString": json.dumps(WORKER_SECRET)},
            "describe_repositories": {"repositories": [{}]},
            "get_lifecycle_policy": None,
            "get_role": None,
            "describe_log_groups": {"logGroups": [LOG_GROUP]},
            "list_tags_for_resource": {"tags": {}},
            **more,
        }

    def call(
        self, _service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **_request: Any
    ) -> Any:
        """As Account.call."""
        self.calls += 1
        assert operation in self.answers, f"unexpected request: {operation}"
        answer = self.answers[operation]
        return answer.get(key) if key and answer is not None else answer

    call_now = call

    def start(self, question: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As Account.start, at once."""
        done: Future[Any] = Future()
        done.set_result(question(*arguments))
        return done


Drift = Callable[..., dict[str, Any]]


@pytest.fixture
def drift(tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Drift]:
    """Run the action on a site of plays, by default in the play "Logs"; its result."""

    def run(
        *plays: dict[str, Any], account: Account | None = None, check: bool = True, play: str = "Logs", **variables: Any
    ) -> dict[str, Any]:
        books = {f"{p['name'].lower()}.yml": p for p in plays}
        for name, content in books.items():
            (tmp_path / name).write_text(yaml.safe_dump([{"hosts": "fleet", **content}]))
        (tmp_path / "site.yml").write_text(
            yaml.safe_dump([{"ansible.builtin.import_playbook": name} for name in books])
        )
        loader = DataLoader()
        known = {
            **settings,
            "playbook_dir": str(tmp_path),
            "ansible_play_name": play,
            "inventory_hostname": "h",
            **variables,
        }
        task = Task()
        task.check_mode, task.args = check, {"spec": str(SPEC), "region": "us-east-1"}
        action = fleet_drift.ActionModule(
            task=task,
            connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
            play_context=SimpleNamespace(),
            loader=loader,
            templar=Templar(loader=loader, variables=known),
            shared_loader_obj=None,
        )
        monkeypatch.setattr(action, "_account", lambda _args: account or Account())
        return dict(action.run(task_vars=known))

    yield run
    gc.enable()  # the action turns it off: its own process ends with it


def logs(*tasks: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    """The play "Logs"."""
    return {"name": "Logs", "tasks": list(tasks), **keywords}


def differences(result: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(d["task"], d["parameters"]) for d in result["differs"]]


def test_a_site_without_differences(drift: Drift) -> None:
    result = drift(logs(KEEP))
    assert (result["changed"], result["differs"], result["plays"], result["diff"]) == (False, [], [], [])


def test_a_parameter_that_differs_is_named_and_shown_as_the_module_names_it(drift: Drift) -> None:
    account = Account(describe_log_groups={"logGroups": [{**LOG_GROUP, "retentionInDays": 7}]})
    result = drift(logs(KEEP), account=account)
    assert result["changed"]
    assert differences(result) == [("Create the log group", ["retention"])]
    (diff,) = result["diff"]
    assert (diff["before"], diff["after"]) == ('{\n "retention": 7\n}\n', '{\n "retention": 30\n}\n')


def test_outside_check_mode_it_changes_nothing_itself_and_names_the_plays_that_have_to_run(drift: Drift) -> None:
    account = Account(describe_log_groups={"logGroups": []})
    result = drift(logs(KEEP), account=account, check=False)
    assert (result["changed"], result["plays"]) == (False, ["Logs"])
    assert result["differs"][0]["missing"]


def test_force_names_every_play_but_not_in_check_mode(drift: Drift) -> None:
    assert drift(logs(KEEP), check=False, fleet_force=True)["plays"] == ["Logs"]
    assert drift(logs(KEEP), check=True, fleet_force=True)["plays"] == []


def test_a_playbook_alone_reports_its_own_section_only(drift: Drift) -> None:
    account = Account(describe_log_groups={"logGroups": []})
    other = {"name": "Other", "tasks": [KEEP]}
    assert {d["section"] for d in drift(logs(KEEP), other, account=account)["differs"]} == {"logs"}
    whole = drift(logs(KEEP), other, account=account, play="Preflight", __fleet_whole_site=True)
    assert {d["section"] for d in whole["differs"]} == {"logs", "other"}


UNDEFINED = {
    "name": "T",
    "amazon.aws.cloudwatchlogs_log_group": {"log_group_name": "/wekruit/gh-worker", "retention": "{{ nowhere }}"},
}


@pytest.mark.parametrize(
    ("task", "named"),
    [
        ({"name": "T", "block": [KEEP]}, "no comparison known"),
        ({"name": "T", "amazon.aws.s3_bucket": {"name": "b"}}, "no comparison known"),
        ({"name": "T", "ansible.builtin.command": "true"}, "no comparison known"),
        ({"name": "T", "ansible.builtin.include_tasks": "more.yml"}, "no comparison known"),
        ({"name": "T", "ansible.builtin.import_tasks": "more.yml"}, "no comparison known"),
        ({**KEEP, "name": "T", "become": True}, "no comparison known"),
        ({**KEEP, "name": "T", "environment": {"A": "b"}}, "no comparison known"),
        ({**KEEP, "name": "T", "ignore_errors": True}, "no comparison known"),
        ({**KEEP, "name": "T", "notify": "h"}, "no comparison known"),
        (
            {
                "name": "T",
                "amazon.aws.cloudwatchlogs_log_group": {**LOGS["amazon.aws.cloudwatchlogs_log_group"], "colour": "red"},
            },
            "colour",
        ),
        (UNDEFINED, "unknown until applied"),
        ({**KEEP, "name": "T", "when": "nowhere"}, "unknown until applied"),
        ({**KEEP, "name": "T", "when": ["true", "nowhere.deep"]}, "unknown until applied"),
    ],
)
def test_what_cannot_be_compared_differs_and_is_named(drift: Drift, task: dict[str, Any], named: str) -> None:
    assert differences(drift(logs(task))) == [("T", [named])]
    assert drift(logs(task), check=False)["plays"] == ["Logs"]


@pytest.mark.parametrize(
    "keyword", ["roles", "pre_tasks", "post_tasks", "handlers", "vars_files", "environment", "become", "strategy"]
)
def test_a_play_with_what_is_not_understood_differs_and_the_keyword_is_named(drift: Drift, keyword: str) -> None:
    result = drift(logs(KEEP, **{keyword: []}))
    assert differences(result) == [("This play", ["no comparison known"])]
    (diff,) = result["diff"]
    assert f"keyword {keyword}" in diff["after"]


@pytest.mark.parametrize(
    "task",
    [
        {"name": "T", "ansible.builtin.import_tasks": "tasks/compare.yml"},
        {"name": "T", "ansible.builtin.import_tasks": "tasks/read.yml"},
        {"name": "T", "ansible.builtin.debug": {"msg": "x"}},
        {"name": "T", "ansible.builtin.assert": {"that": "true"}},
        {"name": "T", "ansible.builtin.meta": "end_host"},
    ],
)
def test_what_changes_nothing_does_not_differ(drift: Drift, task: dict[str, Any]) -> None:
    assert drift(logs(task, KEEP))["differs"] == []


def test_a_task_whose_condition_is_false_does_not_differ(drift: Drift) -> None:
    account = Account(describe_log_groups={"logGroups": []})
    for when in ("false", ["true", "fleet_name == 'other'"]):
        assert drift(logs({**KEEP, "when": when}), account=account)["differs"] == []
    assert differences(drift(logs({**KEEP, "when": ["true", "fleet_name == 'gh-worker'"]}), account=account))


def test_every_iteration_of_a_loop_is_compared_with_its_item(drift: Drift) -> None:
    task = {
        "name": "Keep {{ item }}",
        "loop": ["/wekruit/gh-worker", "/other"],
        "amazon.aws.cloudwatchlogs_log_group": {"log_group_name": "{{ item }}"},
    }
    assert [d["task"].endswith("(/other)") for d in drift(logs(task))["differs"]] == [True]


def test_an_omitted_value_is_not_compared(drift: Drift) -> None:
    arguments = {"log_group_name": "/wekruit/gh-worker", "retention": "{{ omit }}"}
    seven = Account(describe_log_groups={"logGroups": [{**LOG_GROUP, "retentionInDays": 7}]})
    assert drift(logs({"name": "T", "amazon.aws.cloudwatchlogs_log_group": arguments}), account=seven)["differs"] == []


def test_later_tasks_use_what_a_task_registers(drift: Drift) -> None:
    policy = {"Arn": "arn:p", "DefaultVersionId": "v1"}
    account = Account(
        get_policy={"Policy": policy},
        get_policy_version={"PolicyVersion": {"Document": {"Statement": []}}},
    )
    first = {"name": "P", "amazon.aws.iam_managed_policy": {"name": "p"}, "register": "__fleet_p"}
    arguments = {
        "log_group_name": "/wekruit/gh-worker",
        "retention": "{{ 30 if __fleet_p.policy.arn == 'arn:p' else 1 }}",
    }
    result = drift(logs(first, {"name": "T", "amazon.aws.cloudwatchlogs_log_group": arguments}), account=account)
    assert result["differs"] == []
    assert result["given"] == {"__fleet_p": {"policy": {"arn": "arn:p"}}}


def test_what_depends_on_a_missing_resource_differs(drift: Drift) -> None:
    first = {"name": "P", "amazon.aws.iam_managed_policy": {"name": "p"}, "register": "__fleet_p"}
    arguments = {"log_group_name": "/wekruit/gh-worker", "retention": "{{ __fleet_p.policy.arn }}"}
    result = drift(
        logs(first, {"name": "T", "amazon.aws.cloudwatchlogs_log_group": arguments}), account=Account(get_policy=None)
    )
    assert differences(result) == [("P", ["name"]), ("T", ["unknown until applied"])]


def test_secrets_stay_out_of_the_diff(drift: Drift) -> None:
    task = {
        "name": "S",
        "no_log": True,
        "amazon.aws.cloudwatchlogs_log_group": {"log_group_name": "/s", "retention": 7},
    }
    result = drift(logs(task))
    assert differences(result)
    (diff,) = result["diff"]
    assert diff["after"] == '{\n "hidden": "no_log"\n}\n'


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"fleet_min_sise": 1}, "fleet_min_size"),
        ({"fleet_min_size": "many"}, "fleet_min_size"),
        ({"fleet_min_size": 5, "fleet_max_size": 4}, "fleet_max_size"),
        ({"fleet_account_id": "999999999999"}, "999999999999"),
    ],
)
def test_bad_variables_and_a_bad_account_fail_before_anything_is_compared(
    drift: Drift, variables: dict[str, Any], message: str
) -> None:
    with pytest.raises(AnsibleActionFail, match=message):
        drift(logs(KEEP), play="Preflight", **variables)


def test_a_finding_that_another_section_needs_does_not_stop_this_one(drift: Drift) -> None:
    result = drift(logs(KEEP), account=Account(describe_images={"Images": []}))
    assert [(f["id"], f["severity"]) for f in result["findings"]] == [("image", "error")]
    with pytest.raises(AnsibleActionFail, match="gh-worker-"):
        drift(logs(KEEP), account=Account(describe_images={"Images": []}), play="Preflight")


def test_a_resource_of_another_fleet_of_this_run_is_refused(drift: Drift, settings: dict[str, Any]) -> None:
    hosts = {"ansible_play_hosts_all": ["h", "other"], "hostvars": {"other": {**settings, "fleet_policy_name": "p"}}}
    with pytest.raises(AnsibleActionFail, match=r"h and other .*fleet_group_name \(gh-worker-asg\)"):
        drift(logs(KEEP), **hosts)


def test_a_playbook_alone_names_those_that_have_to_run_first(drift: Drift) -> None:
    site = (
        {"name": "Iam", "tasks": [{"name": "R", "amazon.aws.iam_role": {"name": "r"}}]},
        {"name": "Launch_template", "tasks": [KEEP]},
    )
    with pytest.raises(AnsibleActionFail, match=r"launch_template.yml needs what iam.yml creates"):
        drift(*site, play="Launch_template", check=False)
    assert drift(*site, play="Launch_template", check=True)["differs"] == []


def test_a_secret_variable_that_cannot_be_filled_in_is_not_shown(drift: Drift) -> None:
    with pytest.raises(AnsibleActionFail, match="fleet_registry_dsn cannot be filled in") as failed:
        drift(logs(KEEP), fleet_registry_dsn=trust_as_template("postgresql://u:p4ssw0rd@{{ no_such_variable }}/d"))
    assert "p4ssw0rd" not in str(failed.value)
