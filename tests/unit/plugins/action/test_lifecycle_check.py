# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lifecycle_check in an empty account: what it returns, writes, waits for and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible_collections.wekruit.ghosthands.plugins.action import lifecycle_check

ROOT = Path(__file__).resolve().parents[4]
SPEC = ROOT / "playbooks" / "vars" / "fleet_spec.yml"
ABSENT: dict[str, Any] = {
    "get_caller_identity": {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/me"},
    "describe_auto_scaling_groups": {"AutoScalingGroups": []},
    "describe_launch_template_versions": None,
    "describe_instances": {"Reservations": []},
    "get_account_authorization_details": {"RoleDetailList": [], "UserDetailList": [], "Policies": []},
    "get_instance_profile": None,
    "describe_secret": None,
    "get_resource_policy": None,
    "get_repository_policy": None,
    "describe_log_streams": None,
}
FAILING = {"group-exists", "profile-exists", "secret-exists", "log-group"}


class Account:
    """An empty account. It refuses calls that ABSENT does not list."""

    def __init__(self) -> None:
        self.calls = 0

    def call(
        self, _service: str, operation: str, key: str | None = None, absent: tuple[str, ...] = (), **_request: Any
    ) -> Any:
        """As Account.call."""
        self.calls += 1
        assert operation in ABSENT, f"unexpected call of {operation}"
        answer = ABSENT[operation]
        assert answer is not None or absent, f"{operation} would fail: absence was not expected"
        return answer.get(key) if key and answer is not None else answer

    def start(self, question: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As Account.start, at once."""
        done: Future[Any] = Future()
        done.set_result(question(*arguments))
        return done


Check = Callable[..., dict[str, Any]]


@pytest.fixture
def check(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run the action with these options; its result."""

    def run(**options: Any) -> dict[str, Any]:
        loader = DataLoader()
        known = {
            **settings,
            "playbook_dir": str(ROOT / "playbooks"),
            "inventory_hostname": "stg",
            "inventory_file": str(ROOT / "staging"),
        }
        task = Task()
        task.args = {"spec": str(SPEC), "region": "us-east-1", **options}
        action = lifecycle_check.ActionModule(
            task=task,
            connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
            play_context=SimpleNamespace(),
            loader=loader,
            templar=Templar(loader=loader, variables=known),
            shared_loader_obj=None,
        )
        monkeypatch.setattr(action, "_account", lambda _args, attempts: Account())
        return dict(action.run(task_vars=known))

    return run


def test_the_result_is_the_same_whether_it_fails_or_not(check: Check) -> None:
    failed, passed = check(), check(fail_on="never")
    assert failed["failed"]
    assert "failed" not in passed
    assert set(failed) - set(passed) == {"failed", "msg"}
    assert set(failed["errors"]) == FAILING
    assert [f["id"] for f in failed["findings"]] == [f["id"] for f in passed["findings"]]
    assert failed["changed"] is False


def test_the_message_names_the_group_and_every_error(check: Check) -> None:
    message = check()["msg"]
    assert message.startswith("gh-worker-asg is not right: ")
    assert all(id in message for id in FAILING)


def test_findings_are_in_the_runbooks_order_with_all_their_parts(check: Check) -> None:
    findings = check(fail_on="never")["findings"]
    assert [f["section"] for f in findings] == sorted(f["section"] for f in findings)
    assert {frozenset(f) for f in findings} == {
        frozenset({"id", "section", "severity", "ok", "detail", "remedy", "commands", "evidence"})
    }
    json.dumps(findings)  # raises for a value that JSON does not have


def test_a_remedys_command_is_relative_to_the_working_directory(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    remedy = next(f["remedy"] for f in check(fail_on="never")["findings"] if f["id"] == "profile-exists")
    assert remedy == "Run `ansible-playbook playbooks/iam.yml -i staging -l stg`"


def test_a_report_is_written_whole_and_named(check: Check, tmp_path: Path) -> None:
    result = check(report=str(tmp_path / "a" / "b"))
    assert result["report"] == str(tmp_path / "a" / "b" / "report.html")
    assert f"The report: {result['report']}" in result["msg"]
    written = json.loads((tmp_path / "a" / "b" / "report.json").read_text())
    assert {f["id"] for f in written["findings"] if not f["ok"]} >= FAILING
    assert [p.name for p in (tmp_path / "a" / "b").iterdir() if p.name.endswith(".part")] == []


def test_without_a_folder_no_report_is_written(check: Check) -> None:
    assert "report" not in check()


def test_expect_replaces_a_variable(check: Check) -> None:
    assert "gh-canary" in next(
        f["detail"] for f in check(expect={"group_name": "gh-canary"}, fail_on="never")["findings"] if not f["ok"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expect": {"grop_name": "x"}}, "fleet_grop_name"),
        ({"expect": {"min_size": 11}}, "fleet_min_size"),
        (
            {"wait_for": ["hook-exist", "hook-exists"]},
            "wait_for names no check: hook-exist. docs/checks.md lists them.",
        ),
        (
            {"wait_for": ["registry-jobs"]},
            "wait_for cannot wait for registry-jobs: the registry is handed in and read once.",
        ),
        ({"fail_on": "info"}, "fail_on"),
    ],
)
def test_an_impossible_option_is_refused(check: Check, options: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleActionFail, match=message):
        check(**options)


def test_a_wait_for_a_skipped_check_fails(check: Check) -> None:
    message = check(wait_for=["hook-exists"], timeout=0)["msg"]
    assert message.endswith("hook-exists.")


def test_a_wait_for_a_check_that_passes_ends_at_once(check: Check) -> None:
    result = check(wait_for=["account"], timeout=600, fail_on="never")
    assert next(f["ok"] for f in result["findings"] if f["id"] == "account")


def test_the_registry_and_the_hosts_are_taken_as_values(check: Check) -> None:
    registry = {"failed": True, "msg": "the module crashed"}
    hosts = [{"instance": "i-1", "problem": "no route"}, {}]
    failed = {
        f["id"]: f["detail"] for f in check(registry=registry, hosts=hosts, fail_on="never")["findings"] if not f["ok"]
    }
    assert "the module crashed" in failed["registry-reachable"]
    assert "i-1: no route" in failed["host-asked"]
