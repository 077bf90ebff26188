# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stops a launch, with the command that helps; and where it is only a warning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.launch import (
    Inputs,
    before_launch,
    is_first,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.view import CommandLine
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch import Launch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_secret import SecretKeys

from .test_preflight import GROUP, IMAGE, MET

LINE = CommandLine("playbooks", "site.yml", "inventories/staging/hosts.yml", "staging")
NAME = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands:latest"
READY = Launch(NAME, True, "sha256:1", SecretKeys(frozenset({"DATABASE_URL"})))
OURS = {"fleet_worker_image": NAME}
NOTHING: dict[str, Any] = {}


def inputs(settings: dict[str, Any], launch: Launch | None = READY, ahead: bool = True, **found: Any) -> Inputs:
    return Inputs(settings, replace(MET, **found), launch, ahead, LINE)


def test_a_launch_that_has_everything_gives_no_finding(settings: dict[str, Any]) -> None:
    assert before_launch(inputs(settings)) == []
    assert before_launch(inputs(settings, None, ahead=False)) == []


CASES = [
    (NOTHING, {"image": replace(IMAGE, agent_schema=None)}, "image-origin", "make image "),
    (NOTHING, {"launch": replace(READY, digest=None, repository=False)}, "worker-image", "foundation.yml"),
    (NOTHING, {"launch": replace(READY, digest=None)}, "worker-image", f"docker push {NAME}"),
    (OURS, {"launch": replace(READY, digest=None, repository=False)}, "worker-image", f"docker push {NAME}"),
    (NOTHING, {"secret": None}, "secret", "secret.yml -i inventories/staging/hosts.yml -l staging"),
    (
        NOTHING,
        {"launch": replace(READY, secret=SecretKeys(problems=("DATABASE_URL is missing or empty.",)))},
        "secret-keys",
        "secret.yml -i inventories/staging/hosts.yml -l staging -e fleet_secret_file=worker.env",
    ),
]


@pytest.mark.parametrize(("variables", "found", "id", "command"), CASES)
def test_what_is_missing_stops_a_launch_and_names_the_command(
    settings: dict[str, Any], variables: dict[str, Any], found: dict[str, Any], id: str, command: str
) -> None:
    (only,) = before_launch(inputs(settings | variables, **found))
    assert (only.id, only.severity) == (id, "error")
    assert only.needed_by == {"launch_template", "autoscaling_group"}
    assert any(command in line for line in only.remedy.commands), only.remedy


@pytest.mark.parametrize(("variables", "found", "id", "_command"), CASES)
def test_it_is_a_warning_where_nothing_is_launched_or_the_operator_wants_it_anyway(
    settings: dict[str, Any], variables: dict[str, Any], found: dict[str, Any], id: str, _command: str
) -> None:
    for changes, ahead in (({}, False), ({"fleet_launch_unready": True}, True)):
        (only,) = before_launch(inputs(settings | variables | changes, ahead=ahead, **found))
        assert (only.id, only.severity) == (id, "warning")


@pytest.mark.parametrize(
    ("launch", "id", "severity"),
    [
        (replace(READY, digest=Unread("Not allowed.")), "worker-image", "info"),
        (replace(READY, secret=Unread("Not allowed.")), "secret-keys", "warning"),
    ],
)
def test_what_could_not_be_asked_stops_nothing(
    settings: dict[str, Any], launch: Launch, id: str, severity: str
) -> None:
    (only,) = before_launch(inputs(settings, launch))
    assert (only.id, only.severity) == (id, severity)
    assert only.detail.endswith("Not allowed.")


def test_whether_another_accounts_image_has_an_agent_is_not_known(settings: dict[str, Any]) -> None:
    theirs = replace(IMAGE, agent_schema=None, owner="999999999999")
    (only,) = before_launch(inputs(settings, image=theirs))
    assert (only.id, only.severity) == ("image-origin", "info")


@pytest.mark.parametrize(
    ("sizes", "group", "expected"), [((0, 1), None, True), ((0, 0), None, False), ((0, 1), GROUP, False)]
)
def test_the_first_launch_is_that_of_a_group_with_instances(
    settings: dict[str, Any], sizes: tuple[int, int], group: Any, expected: bool
) -> None:
    of = settings | {"fleet_min_size": sizes[0], "fleet_desired_capacity": sizes[1]}
    assert is_first(of, replace(MET, group=group)) is expected
