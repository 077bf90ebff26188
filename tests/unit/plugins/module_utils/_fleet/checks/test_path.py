# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path: what is done, and the one next step with its command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.path import Step, steps
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.launch import Launch
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.worker_secret import SecretKeys

from .test_launch import LINE, READY
from .test_preflight import IMAGE, MET

TITLES = ["Credentials", "Repository", "Worker image", "Roles", "Golden image", "Secret", "Site", "Verify"]
EMPTY = replace(READY, repository=False, digest=None, secret=None)
NOBODY = replace(MET, role_exists=False, image=None, group=None, secret=None)


def on_the_path(settings: dict[str, Any], launch: Launch = READY, **found: Any) -> list[Step]:
    return steps(settings, replace(MET, **found), launch, LINE)


def next_of(path: list[Step]) -> Step:
    (step,) = [step for step in path if step.state == "next"]
    return step


def test_the_steps_are_in_readmes_order(settings: dict[str, Any]) -> None:
    assert [step.title for step in on_the_path(settings)] == [f"{n}. {title}" for n, title in enumerate(TITLES, 1)]


def test_an_empty_account_begins_with_the_repository(settings: dict[str, Any]) -> None:
    path = steps(settings, NOBODY, EMPTY, LINE)
    assert [step.state for step in path] == ["done", "next", *["later"] * 6]
    assert next_of(path).commands == (
        "ansible-playbook playbooks/foundation.yml -i inventories/staging/hosts.yml -l staging",
    )


@pytest.mark.parametrize(
    ("launch", "found", "title", "command"),
    [
        (replace(READY, digest=None), {}, "3. Worker image", "docker push "),
        (READY, {"role_exists": False}, "4. Roles", "iam.yml"),
        (READY, {"image": None}, "5. Golden image", "make image "),
        (READY, {"image": replace(IMAGE, agent_schema=None)}, "5. Golden image", "make image "),
        (READY, {"image": replace(IMAGE, agent_schema="1")}, "5. Golden image", "make image "),
        (replace(READY, secret=None), {}, "6. Secret", "secret.yml"),
        (replace(READY, secret=SecretKeys(problems=("It is empty.",))), {}, "6. Secret", "secret.yml"),
        (READY, {"group": None}, "7. Site", "site.yml"),
        (READY, {}, "8. Verify", "verify.yml"),
    ],
)
def test_the_first_step_that_is_not_done_is_the_next(
    settings: dict[str, Any], launch: Launch, found: dict[str, Any], title: str, command: str
) -> None:
    step = next_of(on_the_path(settings, launch, **found))
    assert step.title == title
    assert command in step.commands[-1]


def test_the_wrong_account_is_the_first_step(settings: dict[str, Any]) -> None:
    assert next_of(on_the_path(settings | {"fleet_account_id": "999999999999"})).title == "1. Credentials"


def test_a_step_that_cannot_be_asked_says_why_and_is_passed_over(settings: dict[str, Any]) -> None:
    refused = Unread("Not allowed.")
    path = on_the_path(settings, Launch(READY.worker_image, refused, refused, refused))
    assert [step.state for step in path if step.detail == "Not allowed."] == ["cannot be asked"] * 3
    assert next_of(path).title == "8. Verify"
    theirs = on_the_path(settings, image=replace(IMAGE, agent_schema=None, owner="999999999999"))
    assert theirs[4].state == "cannot be asked"
