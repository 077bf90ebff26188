# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run Command, with answers written from the API reference: it was never tried on AWS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.aws_call import AwsError
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.doctor import Output
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.hosts.run_command import run_doctor


class Manager:
    """Systems Manager: the hosts that it manages, what each answers, and after how many polls. Fails other calls."""

    def __init__(self, **hosts: dict[str, Any]) -> None:
        self.hosts = {name.replace("_", "-"): host for name, host in hosts.items()}
        self.sent: list[dict[str, Any]] = []
        self.called: list[str] = []
        self.looks = 0
        self.now = 0.0

    def call(self, service: str, operation: str, key: str | None = None, **request: Any) -> Any:
        self.called.append(operation)
        calls: dict[str, Callable[..., Any]] = {
            "describe_instance_information": self._managed,
            "send_command": self._send,
            "list_command_invocations": self._invocations,
            "get_command_invocation": self._invocation,
        }
        assert service == "ssm"
        answer = calls[operation](**request)
        return answer[key] if key else answer

    def _managed(self, Filters: list[dict[str, Any]]) -> Any:
        (only,) = Filters
        assert only["Key"] == "InstanceIds"
        found = [
            {"InstanceId": i, "PingStatus": self.hosts[i].get("ping", "Online")}
            for i in only["Values"]
            if i in self.hosts
        ]
        return {"InstanceInformationList": found}

    def _send(self, **request: Any) -> Any:
        assert set(request["InstanceIds"]) <= self.hosts.keys(), "InvalidInstanceId"
        assert len(request["InstanceIds"]) <= 50
        self.sent.append(request)
        return {"Command": {"CommandId": f"c-{len(self.sent)}", "Status": "Pending"}}

    def _invocations(self, CommandId: str) -> Any:
        self.looks += 1
        asked = self.sent[int(CommandId[2:]) - 1]["InstanceIds"]
        status = {
            i: self.hosts[i].get("status", "Success") if self.looks > self.hosts[i].get("after", 0) else "InProgress"
            for i in asked
        }
        return {
            "CommandInvocations": [{"InstanceId": i, "CommandId": CommandId, "Status": s} for i, s in status.items()]
        }

    def _invocation(self, CommandId: str, InstanceId: str) -> Any:
        if self.hosts[InstanceId].get("denied"):
            raise AwsError("These credentials may not call ssm:GetCommandInvocation")
        host = self.hosts[InstanceId]
        return {
            "StandardOutputContent": host.get("out", ""),
            "StandardErrorContent": host.get("err", ""),
            "StatusDetails": host.get("status", "Success"),
        }

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, *instances: str) -> dict[str, Output]:
        return run_doctor(self.call, instances, lambda: self.now, self.sleep)


def test_each_host_answers_for_itself_also_where_its_doctor_finds_something() -> None:
    manager = Manager(i_1={"out": "well"}, i_2={"out": "ill", "status": "Failed", "after": 2})
    assert manager.run("i-1", "i-2") == {"i-1": Output("well"), "i-2": Output("ill")}
    (sent,) = manager.sent
    assert sent["DocumentName"] == "AWS-RunShellScript"
    assert sent["Parameters"] == {
        "commands": ["/usr/local/bin/ghosthands-agent doctor --json"],
        "executionTimeout": ["90"],
    }
    assert sent["TimeoutSeconds"] >= 30, "SendCommand's least"


def test_hosts_that_are_not_managed_or_offline_say_so_and_the_others_answer() -> None:
    manager = Manager(i_1={"out": "well"}, i_2={"ping": "ConnectionLost"})
    assert manager.run("i-1", "i-2", "i-3") == {
        "i-1": Output("well"),
        "i-2": Output("", "Systems Manager reports it as ConnectionLost"),
        "i-3": Output("", "Systems Manager does not manage it"),
    }
    assert manager.sent[0]["InstanceIds"] == ["i-1"]


def test_where_no_host_is_managed_no_command_is_sent() -> None:
    manager = Manager()
    assert manager.run("i-1") == {"i-1": Output("", "Systems Manager does not manage it")}
    assert manager.called == ["describe_instance_information"]


@pytest.mark.parametrize("status", ["TimedOut", "Cancelled"])
def test_a_host_that_did_not_run_it_says_so(status: str) -> None:
    assert Manager(i_1={"status": status}).run("i-1") == {"i-1": Output("", "no answer by Run Command in time")}


def test_a_host_that_never_finishes_is_given_up_and_the_others_are_read() -> None:
    manager = Manager(i_1={"out": "well"}, i_2={"after": 10**9})
    assert manager.run("i-1", "i-2") == {"i-1": Output("well"), "i-2": Output("", "no answer by Run Command in time")}
    assert manager.now == 150


def test_a_silent_host_is_reported_with_its_errors_or_its_status() -> None:
    manager = Manager(i_1={"err": "not found", "status": "Failed"}, i_2={"status": "Failed"})
    assert manager.run("i-1", "i-2") == {"i-1": Output("", "not found"), "i-2": Output("", "Run Command: Failed")}


def test_an_answer_that_was_cut_off_is_a_problem() -> None:
    assert (
        Manager(i_1={"out": "x" * 24_000}).run("i-1")["i-1"].problem
        == "Run Command cuts answers off at 24000 characters"
    )


def test_an_answer_that_may_not_be_read_is_that_hosts_problem() -> None:
    manager = Manager(i_1={"denied": True}, i_2={"out": "well"})
    assert manager.run("i-1", "i-2") == {
        "i-1": Output("", "These credentials may not call ssm:GetCommandInvocation"),
        "i-2": Output("well"),
    }


def test_a_hundred_and_twenty_hosts_take_three_commands() -> None:
    manager = Manager(**{f"i_{n}": {"out": str(n)} for n in range(120)})
    assert manager.run(*(f"i-{n}" for n in range(120))) == {f"i-{n}": Output(str(n)) for n in range(120)}
    assert [len(sent["InstanceIds"]) for sent in manager.sent] == [50, 50, 20]


def test_a_call_that_is_refused_is_the_problem_of_each_of_its_hosts() -> None:
    def call(_service: str, operation: str, *_key: str, **_request: Any) -> Any:
        raise AwsError(f"may not call {operation}")

    assert run_doctor(call, ["i-1", "i-2"], lambda: 0.0, lambda _seconds: None) == dict.fromkeys(
        ("i-1", "i-2"), Output("", "may not call describe_instance_information")
    )
