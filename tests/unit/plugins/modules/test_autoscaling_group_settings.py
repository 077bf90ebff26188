# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module with a client that answers expected requests only, and records what is sent."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.compare.autoscaling_group_settings import (
    COMPARISON,
)
from ansible_collections.wekruit.ghosthands.plugins.modules.autoscaling_group_settings import (
    DOCUMENTATION,
    OPTIONS,
    run,
)

GROUP = {
    "AutoScalingGroupName": "g",
    "AutoScalingGroupARN": "arn:g",
    "Instances": [],
    "MinSize": 1,
    "MaxSize": 4,
    "DesiredCapacity": 3,
    "TerminationPolicies": ["Default"],
    "Tags": [],
}


class Client:
    """Auto Scaling with these groups."""

    def __init__(self, *groups: dict[str, Any]) -> None:
        self.groups = list(groups)
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def describe_auto_scaling_groups(self, aws_retry: bool, **request: Any) -> dict[str, Any]:
        """The groups, for the one question that is expected."""
        assert (aws_retry, request) == (True, {"AutoScalingGroupNames": ["g"]})
        return {"AutoScalingGroups": self.groups}

    def update_auto_scaling_group(self, aws_retry: bool, **request: Any) -> dict[str, Any]:
        """Record it."""
        return self._record("update_auto_scaling_group", aws_retry, request)

    def suspend_processes(self, aws_retry: bool, **request: Any) -> dict[str, Any]:
        """Record it."""
        return self._record("suspend_processes", aws_retry, request)

    def create_auto_scaling_group(self, aws_retry: bool, **request: Any) -> dict[str, Any]:
        """Record it."""
        return self._record("create_auto_scaling_group", aws_retry, request)

    def _record(self, operation: str, aws_retry: bool, request: dict[str, Any]) -> dict[str, Any]:
        assert aws_retry
        self.sent.append((operation, request))
        return {}


class Failed(Exception):
    """fail_json."""


class Module:
    """What `run` needs of an AnsibleAWSModule."""

    def __init__(self, client: Client, check_mode: bool = False, **params: Any) -> None:
        self.params = dict.fromkeys(OPTIONS) | {"name": "g"} | params
        self.check_mode = check_mode
        self._client = client

    def client(self, service: str, retry_decorator: Any) -> Client:
        """The one client, with retries."""
        assert service == "autoscaling"
        assert retry_decorator
        return self._client

    def fail_json(self, msg: str) -> None:
        """Fail."""
        raise Failed(msg)


def ran(client: Client, check_mode: bool = False, **params: Any) -> dict[str, Any]:
    module: Any = Module(client, check_mode, **params)
    return run(module)


def test_every_option_is_documented_with_its_type_and_known_to_the_comparison() -> None:
    documented = yaml.safe_load(DOCUMENTATION)["options"]
    options: dict[str, Any] = OPTIONS
    assert {n: o["type"] for n, o in documented.items()} == {n: o["type"] for n, o in options.items()}
    assert {n: o.get("choices") for n, o in documented.items()} == {n: o.get("choices") for n, o in options.items()}
    assert {n: sorted(o.get("suboptions", {})) for n, o in documented.items()} == {
        n: sorted(o.get("options", {})) for n, o in options.items()
    }
    assert options.keys() == COMPARISON.parameters.keys()


def test_a_group_as_desired_is_read_and_not_written_to() -> None:
    client = Client(GROUP)
    found = ran(client, min_size=1, max_size=4, termination_policies=["Default"], suspended_processes=[], tags={})
    assert (found["changed"], found["calls"], found["before"], found["after"]) == (False, [], {}, {})
    assert client.sent == []


def test_only_what_differs_is_sent_and_shown() -> None:
    client = Client(GROUP)
    found = ran(client, min_size=2, max_size=4, suspended_processes=["AZRebalance"])
    assert client.sent == [
        ("suspend_processes", {"AutoScalingGroupName": "g", "ScalingProcesses": ["AZRebalance"]}),
        ("update_auto_scaling_group", {"AutoScalingGroupName": "g", "MinSize": 2}),
    ]
    assert found["changed"]
    assert found["diff"] == {
        "before": {"min_size": 1, "suspended_processes": []},
        "after": {"min_size": 2, "suspended_processes": ["AZRebalance"]},
    }


def test_check_mode_returns_the_same_and_sends_nothing() -> None:
    client, real = Client(GROUP), Client(GROUP)
    assert ran(client, check_mode=True, min_size=2) == ran(real, min_size=2)
    assert client.sent == []
    assert real.sent


def test_a_group_that_does_not_exist_fails_with_its_name() -> None:
    with pytest.raises(Failed, match="no Auto Scaling group g"):
        ran(Client(), min_size=2)


def test_a_group_that_does_not_exist_is_created_with_what_the_task_gives_for_that() -> None:
    sizes = {"min_size": 0, "max_size": 1, "desired_capacity": 1, "lifecycle_hooks": []}
    client, checked = Client(), Client()
    found, planned = ran(client, creation=sizes), ran(checked, check_mode=True, creation=sizes)
    assert [operation for operation, _request in client.sent] == found["calls"] == ["create_auto_scaling_group"]
    assert (planned, checked.sent) == (found, [])


def test_check_mode_on_an_empty_account_returns_what_would_be_set() -> None:
    found = ran(Client(), check_mode=True, min_size=2)
    assert (found["changed"], found["calls"], found["after"]) == (True, [], {"name": "g", "min_size": 2})
