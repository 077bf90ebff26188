# Copyright: (c) WeKruit
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollout and a rollback are refused for, before anything changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.checks.rollout import (
    TERMINATING,
    Inputs,
    before_rollout,
)
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.fleet import Hook, LaunchTemplate, Unread
from ansible_collections.wekruit.ghosthands.plugins.module_utils._fleet.facts.rollout_target import Target

from .test_launch import LINE
from .test_preflight import GROUP, IMAGE, KIND

DRAIN = Hook("gh-worker-termination", TERMINATING, 300, 30000, "ABANDON")
OURS = replace(GROUP, template_name="gh-worker-lt")
CONF = {"SCHEMA": "4", "IMAGE": "123456789012.dkr.ecr.us-east-1.amazonaws.com/ghosthands:v5"}
OLD = LaunchTemplate(1, 3, "ami-1", "t3.medium", "", "", {}, (), (), CONF, "", id="lt-1")
TARGET = Target("1", OLD, IMAGE, KIND, "sha256:1")
ELSEWHERE = replace(IMAGE, owner="999999999999")


def inputs(settings: dict[str, Any], **changes: Any) -> Inputs:
    """A rollback to a version that is as it was, with some of it changed."""
    parts: dict[str, Any] = {"group": OURS, "hooks": (DRAIN,), "target": TARGET, **changes}
    return Inputs(settings=settings, account="123456789012", command_line=LINE, **parts)


@pytest.mark.parametrize("target", [TARGET, None])
def test_a_fleet_as_it_should_be_is_refused_nothing(settings: dict[str, Any], target: Target | None) -> None:
    assert before_rollout(inputs(settings, target=target, new_image=IMAGE)) == []


@pytest.mark.parametrize(
    ("changes", "id", "words", "command"),
    [
        ({"group": None}, "rollout-group", "There is no group gh-worker-asg", "site.yml"),
        ({"group": replace(OURS, status="Delete in progress")}, "rollout-group", "AWS is deleting", ""),
        ({"group": replace(OURS, tags={})}, "rollout-group", "This kit did not make", ""),
        ({"group": replace(OURS, template_name="x")}, "rollout-group", "launches from x", "site.yml"),
        ({"group": replace(OURS, template_version="$Latest")}, "rollout-group", "could not be rolled back", "site.yml"),
        ({"hooks": ()}, "rollout-hook", "has no termination hook gh-worker-termination:", "lifecycle_hook.yml"),
        ({"hooks": (replace(DRAIN, name="x"),)}, "rollout-hook", "only x", "lifecycle_hook.yml"),
        ({"hooks": (replace(DRAIN, transition="launching"),)}, "rollout-hook", "has no termination", "lifecycle_hook"),
        (
            {"group": replace(OURS, suspended_processes=frozenset({"AZRebalance", "Launch", "InstanceRefresh"}))},
            "rollout-processes",
            "InstanceRefresh and Launch suspended",
            "resume-processes --scaling-processes InstanceRefresh Launch",
        ),
        (
            {"without_agent": ("i-1", "i-2")},
            "rollout-agents",
            "2 instances without the agent: i-1",
            "replace_unmanaged",
        ),
        ({"target": replace(TARGET, image=ELSEWHERE)}, "rollout-image-owner", "belongs to account 999999999999", ""),
        ({"target": None, "new_image": ELSEWHERE}, "rollout-image-owner", "belongs to account 999999999999", ""),
        ({"target": Target("1")}, "rollout-version", "has no version 1: it was deleted", "rollout.yml"),
        (
            {"target": replace(TARGET, image=None)},
            "rollout-image",
            "Image ami-1 of launch template version 1",
            "rollout",
        ),
        ({"target": replace(TARGET, image=replace(IMAGE, state="pending"))}, "rollout-image", "is pending", "rollout"),
        ({"target": replace(TARGET, instance_type=None)}, "rollout-image", "no instance type t3.medium", "rollout.yml"),
        (
            {"target": replace(TARGET, image=replace(IMAGE, architecture="arm64"))},
            "rollout-image",
            "is for arm64, but t3.medium runs x86_64",
            "rollout.yml",
        ),
        (
            {"target": replace(TARGET, image=replace(IMAGE, agent_schema=None))},
            "rollout-agent",
            "was not baked by this kit",
            "rollout.yml",
        ),
        *(
            ({"target": replace(TARGET, image=replace(IMAGE, agent_schema=schema))}, "rollout-agent", words, "rollout")
            for schema, words in (("3", "reads schema 3"), ("5", "reads schema 5"))
        ),
        (
            {"target": replace(TARGET, template=replace(OLD, agent_conf={}, agent_conf_problem="it has no user data"))},
            "rollout-agent",
            "boots no worker: it has no user data",
            "rollout.yml",
        ),
        (
            {"target": replace(TARGET, digest=None)},
            "rollout-worker-image",
            "ghosthands:v5 of launch template version 1 does not exist any more",
            "rollout.yml",
        ),
    ],
)
def test_what_cannot_be_rolled_to_is_refused_with_one_error(
    settings: dict[str, Any], changes: dict[str, Any], id: str, words: str, command: str
) -> None:
    (only,) = before_rollout(inputs(settings, **changes))
    assert (only.id, only.severity) == (id, "error")
    assert words in only.detail
    assert only.remedy.text
    assert any(command in line for line in only.remedy.commands) if command else not only.remedy.commands


def test_a_group_that_desires_nothing_is_told_what_happens(settings: dict[str, Any]) -> None:
    (only,) = before_rollout(inputs(settings, group=replace(OURS, desired_capacity=0)))
    assert (only.id, only.severity) == ("rollout-empty", "info")
    assert "its version moves at once, and nothing can be verified" in only.detail


def test_a_trusted_accounts_image_is_taken_and_its_tags_are_its_own(settings: dict[str, Any]) -> None:
    trusted = settings | {"fleet_trusted_account_ids": ["999999999999"]}
    image = replace(ELSEWHERE, agent_schema=None)
    assert before_rollout(inputs(trusted, target=replace(TARGET, image=image))) == []


def test_a_registry_that_does_not_answer_stops_nothing(settings: dict[str, Any]) -> None:
    (only,) = before_rollout(inputs(settings, target=replace(TARGET, digest=Unread("Not allowed."))))
    assert (only.id, only.severity) == ("rollout-worker-image", "info")
