# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What site.yml would change, as findings: one a section, in words, and not twice."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.drift import REPORTED, SECTIONS
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.verify import verify
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CHECKS, CommandLine, View
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.change import Change
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.finding import Finding
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import (
    Fleet,
    Group,
    GroupInstance,
    LaunchTemplate,
    Tag,
    Unread,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout import TAG

OLD = GroupInstance("i-1", "InService", "Healthy", "us-east-1a", "t3.medium", "1", protected=False, template_id="lt-1")
GROUP = Group("gh-worker-asg", "arn:g", 0, 4, 1, template_id="lt-1", template_version="2", instances=(OLD,))
TEMPLATE = LaunchTemplate(2, 2, "ami-1", "t3.medium", "", "", {"HttpTokens": "required"}, (), (), {}, "none", id="lt-1")
SITE = "ansible-playbook site.yml -i staging -l stg"
ROLLOUT = "ansible-playbook playbooks/rollout.yml -i staging -l stg"


def change(section: str, module: str, **parameters: tuple[Any, Any]) -> Change:
    return Change(section, "Create it", module, missing=False, parameters=parameters)


def creation(section: str, module: str) -> Change:
    return Change(section, "Create it", module, missing=True, parameters={"name": (None, "x")})


def template(**parameters: tuple[Any, Any]) -> Change:
    return change("launch_template", "ec2_launch_template", **parameters)


def settings_task(**parameters: tuple[Any, Any]) -> Change:
    return change("autoscaling_group", "autoscaling_group_settings", **parameters)


def findings(settings: dict[str, Any], *changes: Change, **parts: Any) -> dict[str, Finding]:
    """The findings of a fleet of which only the group and these changes are known."""
    unread = dict.fromkeys((field.name for field in fields(Fleet)), Unread("not read"))
    fleet = Fleet(**{**unread, "group": GROUP, "changes": changes, **parts})
    view = View(settings, fleet, 0.0, CommandLine("playbooks", "site.yml", "staging", "stg"))
    return {finding.id: finding for finding in verify(view)}


def drift(settings: dict[str, Any], section: str, *changes: Change, **parts: Any) -> Finding:
    return findings(settings, *changes, **parts)[f"drift-{section.replace('_', '-')}"]


def test_every_section_without_a_change_passes(settings: dict[str, Any]) -> None:
    found = findings(settings)
    assert {found[f"drift-{s.replace('_', '-')}"].detail for s in SECTIONS} == {"as site.yml would make it"}


def test_a_change_names_its_task_and_each_value_as_it_is_and_should_be(settings: dict[str, Any]) -> None:
    found = drift(settings, "iam", change("iam", "iam_role", boundary=("", "arn:b"), tags=({"a": "1"}, {"a": "2"})))
    assert not found.ok
    assert found.severity == "error"
    assert found.detail == "site.yml would change 1 thing here: Create it (boundary  -> arn:b, tags.a 1 -> 2)."
    assert found.remedy.commands == ("ansible-playbook playbooks/iam.yml -i staging -l stg",)
    assert found.evidence["changes"][0]["parameters"]["boundary"] == {"is": "", "should_be": "arn:b"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((None, None), "it"),  # a secret
        ((None, 3), "it - -> 3"),
        (({"A": {"B": 1, "C": 2}}, {"A": {"B": 1, "C": 3}}), "it.A.C 2 -> 3"),
        (([{"Ebs": {"Size": 8}}], [{"Ebs": {"Size": 40}}]), "it[0].Ebs.Size 8 -> 40"),
        ((["a", "b"], ["b", "c"]), 'it ["a"] -> ["c"]'),
        ((["a", "b"], ["b"]), 'it ["a"] -> []'),
        ((["a", "b"], ["b", "a"]), 'it ["a", "b"] -> ["b", "a"]'),
        (("a\nb\nrm -rf /\n", "a\nb\n"), "it: - rm -rf /"),
        (("x" * 300, "y"), f"it {'x' * 197}... -> y"),
    ],
)
def test_only_what_differs_of_a_value_is_shown(values: tuple[Any, Any], words: str, settings: dict[str, Any]) -> None:
    assert f"Create it ({words})." in drift(settings, "valet", change("valet", "iam_managed_policy", it=values)).detail


def test_what_does_not_exist_is_named_alone(settings: dict[str, Any]) -> None:
    found = drift(settings, "iam", creation("iam", "iam_role"))
    assert "Create it (does not exist)." in found.detail


@pytest.mark.parametrize(
    ("parameters", "severity"),
    [
        ({"tags": (1, 2)}, "warning"),
        ({"tags": (1, 2), "user_data": ("a", "b")}, "error"),
        ({"image_id": (1, 2)}, "warning"),
    ],
)
def test_a_difference_that_instances_do_not_feel_is_a_warning(
    parameters: dict[str, Any], severity: str, settings: dict[str, Any]
) -> None:
    assert drift(settings, "launch_template", template(**parameters)).severity == severity


def test_what_another_check_reports_is_not_reported_twice(settings: dict[str, Any]) -> None:
    found = findings(settings, settings_task(cooldown_seconds=(None, 300)))
    assert not found["group-cooldown"].ok
    assert found["drift-autoscaling-group"].ok
    assert found["drift-autoscaling-group"].detail == "site.yml would change 1 thing here, which other findings report"


def test_what_another_check_reports_does_not_hide_the_remainder(settings: dict[str, Any]) -> None:
    both = change(
        "autoscaling_group", "autoscaling_group_settings", cooldown_seconds=(None, 300), tags=({}, {"a": "1"})
    )
    found = drift(settings, "autoscaling_group", both)
    assert (found.ok, found.severity) == (False, "warning")


def test_the_version_that_the_group_moves_to_once_the_template_is_right_is_no_change_of_its_own(
    settings: dict[str, Any],
) -> None:
    moves = change(
        "autoscaling_group", "autoscaling_group_settings", launch_template=({"version": "2"}, {"version": "3"})
    )
    found = findings(settings, template(user_data=("a", "b")), moves)
    assert (found["drift-launch-template"].ok, found["drift-autoscaling-group"].ok) == (False, True)
    assert not drift(settings, "autoscaling_group", moves).ok


def test_what_refers_to_something_missing_is_not_known_yet(settings: dict[str, Any]) -> None:
    unknown = template(**{"unknown until applied": (None, "network_interfaces")})
    missing = creation("security_group", "ec2_security_group")
    assert drift(settings, "launch_template", unknown, missing).ok
    assert not drift(settings, "launch_template", unknown).ok


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"group": None}, "Not looked at: there is no group, which group-exists reports."),
        ({"changes": Unread("denied")}, "Not looked at: it could not be read."),
        ({"changes": None}, "Not looked at: the tasks of site.yml were not compared."),
    ],
)
def test_without_a_comparison_nothing_is_said(parts: dict[str, Any], reason: str, settings: dict[str, Any]) -> None:
    assert {drift(settings, section, **parts).detail for section in SECTIONS} == {reason}


def test_instances_of_another_version_are_replaced_by_a_rollout(settings: dict[str, Any]) -> None:
    (command,) = findings(settings, template=TEMPLATE)["instances-current"].remedy.commands
    assert command == ROLLOUT


def test_a_rollout_resumes_first_what_would_stop_it(settings: dict[str, Any]) -> None:
    stopped = replace(GROUP, suspended_processes=frozenset({"AZRebalance", "Terminate"}))
    commands = findings(settings, template=TEMPLATE, group=stopped)["instances-current"].remedy.commands
    assert commands[0].startswith("aws autoscaling resume-processes --scaling-processes Terminate ")
    assert commands[1] == ROLLOUT


def test_while_a_rollout_is_under_way_its_instances_are_no_finding(settings: dict[str, Any]) -> None:
    value = "version=7 from=2 run=1a2b3c4d since=2026-11-27T11:40:08Z going=forward by=arn:aws:iam::1:user/me"
    group = replace(GROUP, tags={**GROUP.tags, TAG: Tag(value, False)})
    current = findings(settings, template=TEMPLATE, group=group)["instances-current"]
    assert current.ok
    assert "a rollout of version 7 (from 2) is under way" in current.detail


def test_a_warm_pool_is_a_warning_with_the_command_that_deletes_it(settings: dict[str, Any]) -> None:
    assert findings(settings)["group-warm-pool"].ok
    found = findings(settings, group=replace(GROUP, warm_pool="Hibernated"))["group-warm-pool"]
    assert (found.ok, found.severity) == (False, "warning")
    assert "delete-warm-pool --auto-scaling-group-name gh-worker-asg" in found.remedy.commands[0]


def test_every_check_that_reports_a_change_exists() -> None:
    assert REPORTED.keys() - {check.id for check in CHECKS} == set()
