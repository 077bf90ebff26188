# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""aws_retry: what is repeated, what is shown, and with which one message it fails."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from ansible_collections.wekruit.ghosthands.plugins.action import aws_retry

NO_PROFILE = (
    "Failed to create Autoscaling Group.: An error occurred (ValidationError) when calling the "
    "CreateAutoScalingGroup operation: Invalid IamInstanceProfile: p"
)
DENIED = "An error occurred (UnauthorizedOperation) when calling the CreateSecurityGroup operation: by an SCP"
FAILED = {"failed": True, "msg": NO_PROFILE}
Retry = Callable[..., "tuple[dict[str, Any] | str, list[Any], list[str]]"]


@pytest.fixture
def retry(monkeypatch: pytest.MonkeyPatch) -> Retry:
    """Run the action with the module's results to come: (its result or message, what it ran, what it showed)."""

    def run(
        refusal: str, *results: dict[str, Any], **options: Any
    ) -> tuple[dict[str, Any] | str, list[Any], list[str]]:
        remaining, ran, shown, now = list(results), list[Any](), list[str](), [0.0]
        task = Task()
        task.args = {
            "module": "a.b.c",
            "arguments": {"name": "g"},
            "refusal": refusal,
            "region": "us-east-1",
            **options,
        }
        loader = DataLoader()
        action = aws_retry.ActionModule(
            task=task,
            connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
            play_context=SimpleNamespace(),
            loader=loader,
            templar=Templar(loader=loader, variables={}),
            shared_loader_obj=None,
        )

        def execute(module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
            ran.append((module_name, module_args))
            return remaining.pop(0) if len(remaining) > 1 else remaining[0]

        monkeypatch.setattr(action, "_execute_module", execute)
        monkeypatch.setattr(action._display, "display", lambda text, **_more: shown.append(text))
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
        try:
            return dict(action.run(task_vars={"inventory_hostname": "h"})), ran, shown
        except AnsibleActionFail as error:
            return str(error), ran, shown

    return run


def test_what_aws_does_not_see_yet_is_repeated_and_said_once(retry: Retry) -> None:
    done = {"changed": True}
    result, ran, shown = retry(NO_PROFILE, FAILED, FAILED, done)
    assert result == done
    assert ran == [("a.b.c", {"name": "g", "region": "us-east-1"})] * 3
    assert shown == [
        "[h] AWS does not see the instance profile yet: trying again for 120 s at most "
        "(CreateAutoScalingGroup: ValidationError: Invalid IamInstanceProfile: p)."
    ]


def test_after_the_timeout_one_message_says_what_is_missing_and_what_to_do(retry: Retry) -> None:
    result, ran, _shown = retry(NO_PROFILE, FAILED, timeout=60, delay=10)
    assert len(ran) == 6
    assert result == (
        f"AWS still does not see the instance profile after 60 s. {NO_PROFILE} "
        "fleet_instance_profile_name has to exist and hold a role: run playbooks/iam.yml."
    )


def test_another_refusal_fails_at_once_with_awss_reason(retry: Retry) -> None:
    result, ran, shown = retry(DENIED, FAILED)
    assert (result, ran, shown) == (DENIED, [], [])


def test_another_refusal_after_the_first_ends_the_waiting(retry: Retry) -> None:
    result, ran, _shown = retry(NO_PROFILE, FAILED, {"failed": True, "msg": DENIED})
    assert (result, len(ran)) == (DENIED, 2)


@pytest.mark.parametrize(
    "exception", [f"Traceback:\n{DENIED}\n", SimpleNamespace(event=SimpleNamespace(formatted_traceback=DENIED))]
)
def test_a_reason_that_the_module_keeps_to_itself_is_added(retry: Retry, exception: Any) -> None:
    vague = "Unable to create security group: Failed to create security group"
    result, ran, _shown = retry(vague, {"failed": True, "msg": vague, "exception": exception})
    assert result == f"{vague}. AWS's reason: CreateSecurityGroup: UnauthorizedOperation: by an SCP"
    assert len(ran) == 1


def test_a_refusal_that_is_over_when_the_reason_is_asked_for_is_none(retry: Retry) -> None:
    result, _ran, _shown = retry("vague", {"changed": True, "group_id": "sg-1"})
    assert result == {"changed": True, "group_id": "sg-1"}


def test_every_run_of_the_module_may_show_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "_update_module_args", lambda self, name, args, *more: args.update(a=1))
    given: dict[str, Any] = {}
    aws_retry.ActionModule._update_module_args(object.__new__(aws_retry.ActionModule), "a.b.c", given, False, {})
    assert given == {"a": 1, "_ansible_tracebacks_for": ["error"]}
